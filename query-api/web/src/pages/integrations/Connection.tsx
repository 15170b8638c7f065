import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate, useParams } from "react-router";
import { connectionQuery, useMayManage, useSession } from "../../api/queries.ts";
import { Button } from "../../ui/Button.tsx";
import { RotateIcon } from "../../ui/icons.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Failed, Skeleton } from "../../ui/states.tsx";
import { Ago } from "../../ui/Time.tsx";
import { Outcomes } from "../usage/Outcomes.tsx";
import { usageQuery } from "../usage/query.ts";
import { ConnectionMenu, Rotate, StateBadge } from "./actions.tsx";
import { Snippets } from "./Snippets.tsx";
import { HIDDEN_KEY } from "./snippets.ts";

/** One connection: what it is used for, and how to use it. */
export function ConnectionPage() {
  const { connectionId = "" } = useParams();
  const connection = useQuery(connectionQuery(connectionId));
  const usage = useQuery(usageQuery("24h"));
  const { projectId } = useSession();
  const manage = useMayManage();
  const navigate = useNavigate();
  const [rotating, setRotating] = useState(false);
  const back = { to: "/integrations/custom-webhooks", label: "Custom Webhooks" };
  if (connection.isPending) return <Page title="Connection" back={back}><Skeleton /></Page>;
  if (connection.isError) return <Page title="Connection" back={back}><Failed error={connection.error} onRetry={() => connection.refetch()} /></Page>;
  const one = connection.data;
  const used = usage.data?.connections.find((other) => other.connectionId === connectionId);
  return (
    <Page title={one.name} back={back} heading={<span className="row">{one.name} <StateBadge state={one.state} /></span>}
      actions={manage && <>
        <Button icon={<RotateIcon />} onClick={() => setRotating(true)}>Rotate key</Button>
        <ConnectionMenu className="button button-bare" connection={one} onDeleted={() => navigate("/integrations/custom-webhooks")} />
      </>}>
      <Card label="About the connection">
        <dl className="facts">
          <div><dt>Last used</dt><dd><Ago at={one.lastUsedAt} /></dd></div>
          <div><dt>Key ends in</dt><dd><code>{one.keyHint}</code></dd></div>
          <div><dt>Addresses in 24 hours</dt><dd className="numeric">{used?.addresses ?? 0}</dd></div>
          <div><dt>Made</dt><dd><Ago at={one.createdAt} /></dd></div>
        </dl>
      </Card>
      <Card title="Requests of the last 24 hours">
        {usage.isPending ? <Skeleton /> : usage.isError ? <Failed error={usage.error} onRetry={() => usage.refetch()} /> : (
          <Outcomes items={usage.data.items.filter((item) => item.connectionId === connectionId)} span="24h" />
        )}
      </Card>
      <Card title="How to send">
        <p className="quiet gap">The key is not shown again: put yours in the place of <code>{HIDDEN_KEY}</code>.</p>
        <Snippets webhookUrl={one.webhookUrl} apiKey={HIDDEN_KEY} projectId={projectId} />
      </Card>
      {rotating && <Rotate connection={one} onClose={() => setRotating(false)} />}
    </Page>
  );
}
