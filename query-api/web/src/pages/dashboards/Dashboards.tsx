import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { messageOf } from "../../api/error.ts";
import { metricsQuery, useMayManage, useRefresh } from "../../api/queries.ts";
import type { Dashboard, Metric } from "../../api/types.ts";
import { useLiveRefresh } from "../../live/hooks.ts";
import { Button, ButtonLink } from "../../ui/Button.tsx";
import { DashboardIcon, MoreIcon, PencilIcon, PlusIcon, TrashIcon } from "../../ui/icons.tsx";
import { Menu } from "../../ui/Menu.tsx";
import { Page } from "../../ui/Page.tsx";
import { Alert, Empty, Failed, Skeleton } from "../../ui/states.tsx";
import { Ago } from "../../ui/Time.tsx";
import { DeleteDashboard, NewDashboard, RenameDashboard } from "./dialogs.tsx";
import { firstDashboard, offered } from "./offer.ts";
import { createDashboard, dashboardsQuery } from "./queries.ts";

/** All dashboards; where there are none, the way to the first. */
export function Dashboards() {
  const dashboards = useQuery(dashboardsQuery);
  const metrics = useQuery(metricsQuery());
  const refresh = useRefresh();
  const manage = useMayManage();
  const [params] = useSearchParams();
  const [making, setMaking] = useState(false);
  const items = dashboards.data?.items ?? [];
  const known = metrics.data?.items ?? [];
  // The first metric turns up by itself.
  useLiveRefresh(known.length === 0 ? undefined : [], () => void refresh(["metrics"]));
  const pending = dashboards.isPending || metrics.isPending;
  const error = dashboards.error ?? metrics.error;
  const create = manage && <Button look="primary" icon={<PlusIcon />} onClick={() => setMaking(true)}>New dashboard</Button>;
  return (
    <Page title="Dashboards" about={items.length > 0 ? "Your metrics, live." : undefined} actions={items.length > 0 && create}>
      {pending ? (
        <Skeleton rows={2} tall />
      ) : error && !dashboards.data ? (
        <Failed error={error} onRetry={() => void refresh(["dashboards"], ["metrics"])} />
      ) : items.length === 0 && known.length === 0 ? (
        <Empty icon={<DashboardIcon size={26} />} title="Let’s get your first metric in" action={manage && <ButtonLink look="primary" to="/integrations/custom-webhooks/connect">Connect a webhook</ButtonLink>}>
          <p>Connect whatever sends it: a script, a cron job, Zapier, Make or n8n. It takes a minute, and then you can put it on a dashboard.</p>
        </Empty>
      ) : (
        <>
          {(items.length === 0 || params.has("offer")) && known.length > 0 && manage && <Offer metrics={known} first={items.length === 0} onEmpty={() => setMaking(true)} />}
          {items.length === 0 && !manage && <Empty icon={<DashboardIcon size={26} />} title="No dashboards yet"><p>A key that may manage the project can make one.</p></Empty>}
          {items.length > 0 && (
            <div className="dashboard-cards">
              {items.map((one) => <DashboardCard key={one.dashboardId} dashboard={one} manage={manage} />)}
            </div>
          )}
        </>
      )}
      {making && <NewDashboard onClose={() => setMaking(false)} />}
    </Page>
  );
}

function Offer({ metrics, first, onEmpty }: { metrics: Metric[]; first: boolean; onEmpty: () => void }) {
  const navigate = useNavigate();
  const refresh = useRefresh();
  const create = useMutation({
    mutationFn: () => createDashboard({ name: first ? "Overview" : "New metrics", widgets: firstDashboard(metrics) }),
    onSuccess: (made) => {
      void refresh(["dashboards"]);
      navigate(`/dashboards/${made.dashboardId}`);
    },
  });
  return (
    <section className="offer" aria-label="A dashboard to begin with">
      <div>
        <h2>{first ? "Your metrics are here. Make the first dashboard?" : "A dashboard of your newest metrics?"}</h2>
        <p className="quiet">It shows these, and everything on it can be changed.</p>
      </div>
      <ul className="offer-metrics">{offered(metrics).map((metric) => <li key={metric.metricId}>{metric.metricName}</li>)}</ul>
      {create.error ? <Alert>{messageOf(create.error)}</Alert> : null}
      <div className="row">
        <Button look="primary" busy={create.isPending} onClick={() => create.mutate()}>Make it</Button>
        <Button onClick={onEmpty}>Begin with an empty one</Button>
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
      <Miniature dashboard={dashboard} />
      <h2><Link to={dashboard.dashboardId}>{dashboard.name}</Link></h2>
      <div className="dashboard-card-foot">
        <span>{count} {count === 1 ? "widget" : "widgets"} · <Ago at={dashboard.updatedAt} /></span>
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

/** The shape of a dashboard. */
function Miniature({ dashboard }: { dashboard: Dashboard }) {
  return (
    <div className="miniature" aria-hidden="true">
      {dashboard.widgets.map((widget) => (
        <span key={widget.id} style={{ gridColumn: `${widget.x + 1} / span ${widget.w}`, gridRow: `${widget.y + 1} / span ${widget.h}` }} />
      ))}
    </div>
  );
}
