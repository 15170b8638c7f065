import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { useNavigate, useParams, useSearchParams } from "react-router";
import { useMayManage } from "../../api/queries.ts";
import { seriesQuery } from "../../api/series.ts";
import type { Dashboard, Widget } from "../../api/types.ts";
import { isSpan, readRange, writeRange, type Range } from "../../format/range.ts";
import { useIsLive, useLiveRefresh } from "../../live/hooks.ts";
import { Button } from "../../ui/Button.tsx";
import { CheckIcon, DashboardIcon, ExpandIcon, MoreIcon, PencilIcon, PlusIcon, TrashIcon, ZoomOutIcon } from "../../ui/icons.tsx";
import { Menu } from "../../ui/Menu.tsx";
import { Page } from "../../ui/Page.tsx";
import { RangePicker } from "../../ui/RangePicker.tsx";
import { Alert, Badge, Empty, Failed, Skeleton } from "../../ui/states.tsx";
import { coloursOf, wantedBy } from "./data.ts";
import { DeleteDashboard, RenameDashboard } from "./dialogs.tsx";
import { Grid } from "./Grid.tsx";
import { freePlace, sizeOf, step } from "./layout.ts";
import { dashboardQuery } from "./queries.ts";
import { useSaveWidgets } from "./save.ts";
import { useFullScreen } from "./useFullScreen.ts";
import { WidgetEditor } from "./WidgetEditor.tsx";
import { WidgetFrame } from "./WidgetFrame.tsx";

const BACK = { to: "/dashboards", label: "Dashboards" };

/** A dashboard. */
export function DashboardPage() {
  const { dashboardId = "" } = useParams();
  const dashboard = useQuery(dashboardQuery(dashboardId));
  if (dashboard.isPending) return <Page wide title="Dashboard" back={BACK}><Skeleton rows={3} tall /></Page>;
  if (dashboard.isError && !dashboard.data) return <Page wide title="Dashboard" back={BACK}><Failed error={dashboard.error} onRetry={() => dashboard.refetch()} /></Page>;
  return dashboard.data ? <Shown key={dashboardId} dashboard={dashboard.data} /> : null;
}

type Edited = { widget: Widget; isNew: boolean };

function Shown({ dashboard }: { dashboard: Dashboard }) {
  const [params, setParams] = useSearchParams();
  const manage = useMayManage();
  const range = useStable(readRange(params));
  const editing = manage && params.get("edit") === "1";
  const { widgets } = dashboard;
  const { save, saving } = useSaveWidgets(dashboard.dashboardId);
  const [edited, setEdited] = useState<Edited>();
  const [said, setSaid] = useState("");
  const fullScreen = useFullScreen();

  const wanted = useMemo(() => widgets.flatMap((widget) => wantedBy(widget, range)), [widgets, range]);
  const answers = useQuery(seriesQuery(wanted));
  const colours = useMemo(() => coloursOf(widgets), [widgets]);
  const client = useQueryClient();
  const metrics = useMemo(() => [...new Set(wanted.map((one) => one.metricId))].sort(), [wanted]);
  useLiveRefresh(metrics, () => void client.invalidateQueries({ queryKey: ["series"] }));

  const chooseRange = (next: Range | undefined) => setParams(writeRange(params, next));
  const edit = (on: boolean) => {
    const next = new URLSearchParams(params);
    if (on) next.set("edit", "1");
    else next.delete("edit");
    setParams(next, { replace: true });
  };
  const add = () => {
    const ids = new Set(widgets.map((widget) => widget.id));
    let number = widgets.length + 1;
    while (ids.has(`w${number}`)) number += 1;
    setEdited({ isNew: true, widget: { id: `w${number}`, type: "line", title: "", series: [{ metricId: "", aggregation: "avg" }], range: "24h", interval: "auto", x: 0, y: 0, w: 0, h: 0 } });
  };
  const put = ({ isNew }: Edited, widget: Widget) => {
    setEdited(undefined);
    save(isNew ? [...widgets, { ...widget, ...freePlace(widgets, sizeOf(widget.type)) }] : widgets.map((one) => (one.id === widget.id ? widget : one)));
  };
  const duplicate = (widget: Widget) => {
    let number = widgets.length + 1;
    while (widgets.some((one) => one.id === `w${number}`)) number += 1;
    save([...widgets, { ...widget, id: `w${number}`, ...freePlace(widgets, widget) }]);
  };

  return (
    <Page wide title={dashboard.name} back={fullScreen.on ? undefined : BACK} heading={<span className="row">{dashboard.name} <Live /></span>}
      actions={<>
        {saving && <span className="quiet small" role="status">Saving …</span>}
        {manage && <Button icon={<PlusIcon />} onClick={add}>Add widget</Button>}
        {manage && widgets.length > 0 && (editing
          ? <Button look="primary" icon={<CheckIcon />} onClick={() => edit(false)}>Done</Button>
          : <Button icon={<PencilIcon />} onClick={() => edit(true)}>Edit</Button>)}
        <Button icon={<ExpandIcon />} onClick={fullScreen.flip} aria-pressed={fullScreen.on} aria-label="Full screen" title="Full screen" />
        {manage && <DashboardMenu dashboard={dashboard} />}
      </>}>
      {widgets.length > 0 && (
        <div className="toolbar">
          <RangePicker value={range} onChange={chooseRange} none="As set" />
          {range && !isSpan(range) && <Button small look="quiet" icon={<ZoomOutIcon size={16} />} onClick={() => chooseRange(undefined)}>Reset zoom</Button>}
          {editing && <span className="quiet small spread phone-hide">Drag widgets by their handle, resize them at the corner. With the keyboard: arrow keys on the handle, with Shift to resize.</span>}
        </div>
      )}
      {answers.isError && <Alert>The values could not be read: {answers.error.message}</Alert>}
      {widgets.length === 0 ? (
        <Empty icon={<DashboardIcon size={26} />} title="This dashboard is empty" action={manage && <Button look="primary" icon={<PlusIcon />} onClick={add}>Add the first widget</Button>}>
          <p>A widget shows one metric or several: as a number, a chart, a table or a gauge.</p>
        </Empty>
      ) : (
        <Grid widgets={widgets} editing={editing} onLayout={save}>
          {(widget) => (
            <WidgetFrame widget={widget} range={range} answers={answers.data} colours={colours} editing={editing} manage={manage}
              onEdit={() => setEdited({ widget, isNew: false })} onRemove={() => save(widgets.filter((one) => one.id !== widget.id))} onDuplicate={() => duplicate(widget)}
              onStep={(by) => {
                const next = step(widgets, widget.id, by);
                const place = next.find((one) => one.id === widget.id);
                save(next);
                if (place) setSaid(`Column ${place.x + 1}, row ${place.y + 1}, ${place.w} wide, ${place.h} high`);
              }}
              onZoom={(startDate, endDate) => chooseRange({ startDate, endDate })} />
          )}
        </Grid>
      )}
      <div className="sr-only" role="status">{said}</div>
      {edited && <WidgetEditor widget={edited.widget} isNew={edited.isNew} onClose={() => setEdited(undefined)} onSave={(widget) => put(edited, widget)} />}
    </Page>
  );
}

function Live() {
  return useIsLive() ? <Badge kind="good">Live</Badge> : null;
}

function DashboardMenu({ dashboard }: { dashboard: Dashboard }) {
  const [action, setAction] = useState<"rename" | "delete">();
  const navigate = useNavigate();
  const close = () => setAction(undefined);
  return (
    <>
      <Menu className="button button-bare" label="More actions" button={<MoreIcon />} items={[
        { label: "Rename", icon: <PencilIcon />, onSelect: () => setAction("rename") },
        { label: "Delete", icon: <TrashIcon />, danger: true, onSelect: () => setAction("delete") },
      ]} />
      {action === "rename" && <RenameDashboard dashboard={dashboard} onClose={close} />}
      {action === "delete" && <DeleteDashboard dashboard={dashboard} onClose={close} onDeleted={() => navigate("/dashboards")} />}
    </>
  );
}

/** The same object as long as it says the same. */
function useStable<T>(value: T): T {
  const [held, setHeld] = useState(value);
  const same = JSON.stringify(held) === JSON.stringify(value);
  useEffect(() => {
    if (!same) setHeld(value);
  });
  return same ? held : value;
}
