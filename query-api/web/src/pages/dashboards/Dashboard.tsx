import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { useNavigate, useParams, useSearchParams } from "react-router";
import { useCanManage } from "../../api/queries.ts";
import { seriesQuery } from "../../api/series.ts";
import type { Dashboard, Widget } from "../../api/types.ts";
import { isPreset, rangeFromParams, rangeToParams, type Range } from "../../format/range.ts";
import { useIsLive, useLiveRefresh } from "../../live/hooks.ts";
import { Button } from "../../ui/Button.tsx";
import { CheckIcon, DashboardIcon, ExpandIcon, MoreIcon, PencilIcon, PlusIcon, TrashIcon, ZoomOutIcon } from "../../ui/icons.tsx";
import { Menu } from "../../ui/Menu.tsx";
import { Page } from "../../ui/Page.tsx";
import { RangePicker } from "../../ui/RangePicker.tsx";
import { Alert, Badge, EmptyState, ErrorState, Skeleton } from "../../ui/feedback.tsx";
import { assignColours, widgetRequests } from "./widgetData.ts";
import { DeleteDashboard, RenameDashboard } from "./dialogs.tsx";
import { Grid } from "./Grid.tsx";
import { firstFreeRect, defaultSize, applyStep } from "./layout.ts";
import { dashboardQuery } from "./queries.ts";
import { useSaveWidgets } from "./useSaveWidgets.ts";
import { useFullScreen } from "./useFullScreen.ts";
import { WidgetEditor } from "./WidgetEditor.tsx";
import { WidgetFrame } from "./WidgetFrame.tsx";

const BACK = { to: "/dashboards", label: "Dashboards" };

/** Page of a dashboard. */
export function DashboardPage() {
  const { dashboardId = "" } = useParams();
  const dashboard = useQuery(dashboardQuery(dashboardId));
  if (dashboard.isPending) return <Page wide title="Dashboard" back={BACK}><Skeleton rows={3} tall /></Page>;
  if (dashboard.isError && !dashboard.data) return <Page wide title="Dashboard" back={BACK}><ErrorState error={dashboard.error} onRetry={() => dashboard.refetch()} /></Page>;
  return dashboard.data ? <DashboardView key={dashboardId} dashboard={dashboard.data} /> : null;
}

type WidgetDraft = { widget: Widget; isNew: boolean };

function DashboardView({ dashboard }: { dashboard: Dashboard }) {
  const [params, setParams] = useSearchParams();
  const manage = useCanManage();
  const range = useStableValue(rangeFromParams(params));
  const editing = manage && params.get("edit") === "1";
  const { widgets } = dashboard;
  const { save, saving } = useSaveWidgets(dashboard.dashboardId);
  const [draft, setDraft] = useState<WidgetDraft>();
  const [announcement, setAnnouncement] = useState("");
  const fullScreen = useFullScreen();

  const requests = useMemo(() => widgets.flatMap((widget) => widgetRequests(widget, range)), [widgets, range]);
  const results = useQuery(seriesQuery(requests));
  const colours = useMemo(() => assignColours(widgets), [widgets]);
  const client = useQueryClient();
  const metricIds = useMemo(() => [...new Set(requests.map((request) => request.metricId))].sort(), [requests]);
  useLiveRefresh(metricIds, () => void client.invalidateQueries({ queryKey: ["series"] }));

  const chooseRange = (next: Range | undefined) => setParams(rangeToParams(params, next));
  const setEditing = (on: boolean) => {
    const next = new URLSearchParams(params);
    if (on) next.set("edit", "1");
    else next.delete("edit");
    setParams(next, { replace: true });
  };
  const addWidget = () => {
    const ids = new Set(widgets.map((widget) => widget.id));
    let number = widgets.length + 1;
    while (ids.has(`w${number}`)) number += 1;
    setDraft({ isNew: true, widget: { id: `w${number}`, type: "line", title: "", series: [{ metricId: "", aggregation: "avg" }], range: "24h", interval: "auto", x: 0, y: 0, w: 0, h: 0 } });
  };
  const applyEdit = ({ isNew }: WidgetDraft, widget: Widget) => {
    setDraft(undefined);
    save(isNew ? [...widgets, { ...widget, ...firstFreeRect(widgets, defaultSize(widget.type)) }] : widgets.map((other) => (other.id === widget.id ? widget : other)));
  };
  const duplicateWidget = (widget: Widget) => {
    let number = widgets.length + 1;
    while (widgets.some((other) => other.id === `w${number}`)) number += 1;
    save([...widgets, { ...widget, id: `w${number}`, ...firstFreeRect(widgets, widget) }]);
  };

  return (
    <Page wide title={dashboard.name} back={fullScreen.on ? undefined : BACK} heading={<span className="row">{dashboard.name} <LiveBadge /></span>}
      actions={<>
        {saving && <span className="muted small" role="status">Saving…</span>}
        {manage && <Button icon={<PlusIcon />} onClick={addWidget}>Add widget</Button>}
        {manage && widgets.length > 0 && (editing
          ? <Button variant="primary" icon={<CheckIcon />} onClick={() => setEditing(false)}>Done</Button>
          : <Button icon={<PencilIcon />} onClick={() => setEditing(true)}>Edit</Button>)}
        <Button icon={<ExpandIcon />} onClick={fullScreen.toggle} aria-pressed={fullScreen.on} aria-label="Full screen" title="Full screen" />
        {manage && <DashboardMenu dashboard={dashboard} />}
      </>}>
      {widgets.length > 0 && (
        <div className="toolbar">
          <RangePicker value={range} onChange={chooseRange} noneLabel="Default" />
          {range && !isPreset(range) && <Button small variant="quiet" icon={<ZoomOutIcon size={16} />} onClick={() => chooseRange(undefined)}>Reset zoom</Button>}
          {editing && <span className="muted small push-right hide-on-phone">Drag the handle to move a widget, or its corner to resize it. Keyboard: focus the handle and press the arrow keys; hold Shift to resize.</span>}
        </div>
      )}
      {results.isError && <Alert>Could not load the data: {results.error.message}</Alert>}
      {widgets.length === 0 ? (
        <EmptyState icon={<DashboardIcon size={26} />} title="This dashboard is empty" action={manage && <Button variant="primary" icon={<PlusIcon />} onClick={addWidget}>Add the first widget</Button>}>
          <p>A widget shows one or more metrics as a number, chart, table or gauge.</p>
        </EmptyState>
      ) : (
        <Grid widgets={widgets} editing={editing} onLayout={save}>
          {(widget) => (
            <WidgetFrame widget={widget} range={range} results={results.data} colours={colours} editing={editing} manage={manage}
              onEdit={() => setDraft({ widget, isNew: false })} onRemove={() => save(widgets.filter((other) => other.id !== widget.id))} onDuplicate={() => duplicateWidget(widget)}
              onStep={(layoutStep) => {
                const next = applyStep(widgets, widget.id, layoutStep);
                const moved = next.find((other) => other.id === widget.id);
                save(next);
                if (moved) setAnnouncement(`Column ${moved.x + 1}, row ${moved.y + 1}, width ${moved.w}, height ${moved.h}`);
              }}
              onZoom={(startDate, endDate) => chooseRange({ startDate, endDate })} />
          )}
        </Grid>
      )}
      <div className="sr-only" role="status">{announcement}</div>
      {draft && <WidgetEditor widget={draft.widget} isNew={draft.isNew} onClose={() => setDraft(undefined)} onSave={(widget) => applyEdit(draft, widget)} />}
    </Page>
  );
}

function LiveBadge() {
  return useIsLive() ? <Badge kind="good">Live</Badge> : null;
}

function DashboardMenu({ dashboard }: { dashboard: Dashboard }) {
  const [action, setAction] = useState<"rename" | "delete">();
  const navigate = useNavigate();
  const close = () => setAction(undefined);
  return (
    <>
      <Menu className="button button-icon-only" label="More actions" button={<MoreIcon />} items={[
        { label: "Rename", icon: <PencilIcon />, onSelect: () => setAction("rename") },
        { label: "Delete", icon: <TrashIcon />, danger: true, onSelect: () => setAction("delete") },
      ]} />
      {action === "rename" && <RenameDashboard dashboard={dashboard} onClose={close} />}
      {action === "delete" && <DeleteDashboard dashboard={dashboard} onClose={close} onDeleted={() => navigate("/dashboards")} />}
    </>
  );
}

/** Returns the previous object as long as the new one serializes to the same JSON, so that memoized values stay valid. */
function useStableValue<T>(value: T): T {
  const [stable, setStable] = useState(value);
  const same = JSON.stringify(stable) === JSON.stringify(value);
  useEffect(() => {
    if (!same) setStable(value);
  });
  return same ? stable : value;
}
