import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { errorMessage } from "../../api/error.ts";
import { metricsQuery, useCanManage, useRefresh } from "../../api/queries.ts";
import type { Dashboard, Metric } from "../../api/types.ts";
import { useLiveRefresh } from "../../live/hooks.ts";
import { Button, ButtonLink } from "../../ui/Button.tsx";
import { DashboardIcon, MoreIcon, PencilIcon, PlusIcon, TrashIcon } from "../../ui/icons.tsx";
import { Menu } from "../../ui/Menu.tsx";
import { Page } from "../../ui/Page.tsx";
import { Alert, EmptyState, ErrorState, Skeleton } from "../../ui/feedback.tsx";
import { RelativeTime } from "../../ui/RelativeTime.tsx";
import { DeleteDashboard, NewDashboard, RenameDashboard } from "./dialogs.tsx";
import { suggestedWidgets, suggestedMetrics } from "./suggestedDashboard.ts";
import { createDashboard, dashboardsQuery } from "./queries.ts";

/** List of dashboards. Without any, it leads to the first metric and the first dashboard. */
export function Dashboards() {
  const dashboards = useQuery(dashboardsQuery);
  const metrics = useQuery(metricsQuery());
  const refresh = useRefresh();
  const manage = useCanManage();
  const [params] = useSearchParams();
  const [creating, setCreating] = useState(false);
  const items = dashboards.data?.items ?? [];
  const knownMetrics = metrics.data?.items ?? [];
  // Shows the first metric when it arrives.
  useLiveRefresh(knownMetrics.length === 0 ? undefined : [], () => void refresh(["metrics"]));
  const pending = dashboards.isPending || metrics.isPending;
  const error = dashboards.error ?? metrics.error;
  const create = manage && <Button variant="primary" icon={<PlusIcon />} onClick={() => setCreating(true)}>New dashboard</Button>;
  return (
    <Page title="Dashboards" description={items.length > 0 ? "Your metrics, live." : undefined} actions={items.length > 0 && create}>
      {pending ? (
        <Skeleton rows={2} tall />
      ) : error && !dashboards.data ? (
        <ErrorState error={error} onRetry={() => void refresh(["dashboards"], ["metrics"])} />
      ) : items.length === 0 && knownMetrics.length === 0 ? (
        <EmptyState icon={<DashboardIcon size={26} />} title="Send your first metric" action={manage && <ButtonLink variant="primary" to="/integrations/custom-webhooks/connect">Connect a webhook</ButtonLink>}>
          <p>Connect a script, a cron job, Zapier, Make or n8n. It takes about a minute. Then add the metric to a dashboard.</p>
        </EmptyState>
      ) : (
        <>
          {(items.length === 0 || params.has("offer")) && knownMetrics.length > 0 && manage && <SuggestedDashboard metrics={knownMetrics} first={items.length === 0} onEmpty={() => setCreating(true)} />}
          {items.length === 0 && !manage && <EmptyState icon={<DashboardIcon size={26} />} title="No dashboards yet"><p>Sign in with a key that has the “manage” scope to create one.</p></EmptyState>}
          {items.length > 0 && (
            <div className="dashboard-cards">
              {items.map((dashboard) => <DashboardCard key={dashboard.dashboardId} dashboard={dashboard} manage={manage} />)}
            </div>
          )}
        </>
      )}
      {creating && <NewDashboard onClose={() => setCreating(false)} />}
    </Page>
  );
}

function SuggestedDashboard({ metrics, first, onEmpty }: { metrics: Metric[]; first: boolean; onEmpty: () => void }) {
  const navigate = useNavigate();
  const refresh = useRefresh();
  const create = useMutation({
    mutationFn: () => createDashboard({ name: first ? "Overview" : "New metrics", widgets: suggestedWidgets(metrics) }),
    onSuccess: (created) => {
      void refresh(["dashboards"]);
      navigate(`/dashboards/${created.dashboardId}`);
    },
  });
  return (
    <section className="suggestion" aria-label="Suggested dashboard">
      <div>
        <h2>{first ? "Your metrics have arrived. Create your first dashboard?" : "Create a dashboard for your newest metrics?"}</h2>
        <p className="muted">It shows the metrics below. You can change everything later.</p>
      </div>
      <ul className="suggestion-metrics">{suggestedMetrics(metrics).map((metric) => <li key={metric.metricId}>{metric.metricName}</li>)}</ul>
      {create.error ? <Alert>{errorMessage(create.error)}</Alert> : null}
      <div className="row">
        <Button variant="primary" busy={create.isPending} onClick={() => create.mutate()}>Create dashboard</Button>
        <Button onClick={onEmpty}>Start with an empty dashboard</Button>
      </div>
    </section>
  );
}

function DashboardCard({ dashboard, manage }: { dashboard: Dashboard; manage: boolean }) {
  const [action, setAction] = useState<"rename" | "delete">();
  const close = () => setAction(undefined);
  const count = dashboard.widgets.length;
  return (
    <article className="dashboard-card">
      <Thumbnail dashboard={dashboard} />
      <h2><Link to={dashboard.dashboardId}>{dashboard.name}</Link></h2>
      <div className="dashboard-card-foot">
        <span>{count} {count === 1 ? "widget" : "widgets"} · <RelativeTime at={dashboard.updatedAt} /></span>
        {manage && (
          <Menu label={`Actions for ${dashboard.name}`} button={<MoreIcon />} items={[
            { label: "Rename", icon: <PencilIcon />, onSelect: () => setAction("rename") },
            { label: "Delete", icon: <TrashIcon />, danger: true, onSelect: () => setAction("delete") },
          ]} />
        )}
      </div>
      {action === "rename" && <RenameDashboard dashboard={dashboard} onClose={close} />}
      {action === "delete" && <DeleteDashboard dashboard={dashboard} onClose={close} />}
    </article>
  );
}

/** Outline of the widgets of a dashboard. */
function Thumbnail({ dashboard }: { dashboard: Dashboard }) {
  return (
    <div className="thumbnail" aria-hidden="true">
      {dashboard.widgets.map((widget) => (
        <span key={widget.id} style={{ gridColumn: `${widget.x + 1} / span ${widget.w}`, gridRow: `${widget.y + 1} / span ${widget.h}` }} />
      ))}
    </div>
  );
}
