import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { connectionsQuery, useMayManage } from "../../api/queries.ts";
import { ButtonLink } from "../../ui/Button.tsx";
import { PlugIcon, PlusIcon } from "../../ui/icons.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Empty, Failed, Skeleton } from "../../ui/states.tsx";
import { Ago } from "../../ui/Time.tsx";
import { ConnectionMenu, StateBadge } from "./actions.tsx";

/** The connections of Custom Webhooks. */
export function Webhooks() {
  const connections = useQuery(connectionsQuery);
  const manage = useMayManage();
  const connect = manage ? <ButtonLink to="connect" look="primary" icon={<PlusIcon />}>Connect</ButtonLink> : null;
  const items = connections.data?.items ?? [];
  return (
    <Page title="Custom Webhooks" about="Each connection has a key of its own, so that one can be replaced or revoked without the others."
      back={{ to: "/integrations", label: "Integrations" }} actions={items.length > 0 && connect}>
      <Card flush label="Connections">
        {connections.isPending ? (
          <div className="card-body"><Skeleton /></div>
        ) : connections.isError ? (
          <Failed error={connections.error} onRetry={() => connections.refetch()} />
        ) : items.length === 0 ? (
          <Empty icon={<PlugIcon size={26} />} title="No connections yet" action={connect}>
            <p>{manage ? "Make one, and you get a URL and a key to send your first metric with." : "A key that may manage the project can make one."}</p>
          </Empty>
        ) : (
          <div className="table-box">
            <table className="table">
              <thead>
                <tr><th>Name</th><th>State</th><th className="phone-hide">Key</th><th>Last used</th><th className="phone-hide">Made</th><th className="tight"><span className="sr-only">Actions</span></th></tr>
              </thead>
              <tbody>
                {items.map((one) => (
                  <tr key={one.connectionId}>
                    <td><Link to={one.connectionId} className="table-name">{one.name}</Link></td>
                    <td><StateBadge state={one.state} /></td>
                    <td className="phone-hide tight"><code className="quiet">{one.keyHint}</code></td>
                    <td><Ago at={one.lastUsedAt} /></td>
                    <td className="phone-hide"><Ago at={one.createdAt} /></td>
                    <td className="tight">{manage && <ConnectionMenu connection={one} />}</td>
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
