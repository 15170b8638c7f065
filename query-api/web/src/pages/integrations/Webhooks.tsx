import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { connectionsQuery, useCanManage } from "../../api/queries.ts";
import { ButtonLink } from "../../ui/Button.tsx";
import { PlugIcon, PlusIcon } from "../../ui/icons.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { EmptyState, ErrorState, Skeleton } from "../../ui/feedback.tsx";
import { RelativeTime } from "../../ui/RelativeTime.tsx";
import { ConnectionMenu, ConnectionStateBadge } from "./actions.tsx";

/** List of connections. */
export function Webhooks() {
  const connections = useQuery(connectionsQuery);
  const manage = useCanManage();
  const connect = manage ? <ButtonLink to="connect" variant="primary" icon={<PlusIcon />}>Connect</ButtonLink> : null;
  const items = connections.data?.items ?? [];
  return (
    <Page title="Custom Webhooks" description="Each connection has its own key, so you can rotate or revoke one without affecting the others."
      back={{ to: "/integrations", label: "Integrations" }} actions={items.length > 0 && connect}>
      <Card flush label="Connections">
        {connections.isPending ? (
          <div className="card-body"><Skeleton /></div>
        ) : connections.isError ? (
          <ErrorState error={connections.error} onRetry={() => connections.refetch()} />
        ) : items.length === 0 ? (
          <EmptyState icon={<PlugIcon size={26} />} title="No connections yet" action={connect}>
            <p>{manage ? "Create one to get a URL and a key for your first metric." : "Sign in with a key that has the “manage” scope to create one."}</p>
          </EmptyState>
        ) : (
          <div className="table-box">
            <table className="table">
              <thead>
                <tr><th>Name</th><th>State</th><th className="hide-on-phone">Key</th><th>Last used</th><th className="hide-on-phone">Created</th><th className="tight"><span className="sr-only">Actions</span></th></tr>
              </thead>
              <tbody>
                {items.map((connection) => (
                  <tr key={connection.connectionId}>
                    <td><Link to={connection.connectionId} className="table-name">{connection.name}</Link></td>
                    <td><ConnectionStateBadge state={connection.state} /></td>
                    <td className="hide-on-phone tight"><code className="muted">{connection.keyHint}</code></td>
                    <td><RelativeTime at={connection.lastUsedAt} /></td>
                    <td className="hide-on-phone"><RelativeTime at={connection.createdAt} /></td>
                    <td className="tight">{manage && <ConnectionMenu connection={connection} />}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Card>
    </Page>
  );
}
