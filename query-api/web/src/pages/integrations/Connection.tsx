import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate, useParams } from "react-router";
import { connectionQuery, useCanManage, useSession } from "../../api/queries.ts";
import { Button } from "../../ui/Button.tsx";
import { RotateIcon } from "../../ui/icons.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { ErrorState, Skeleton } from "../../ui/feedback.tsx";
import { RelativeTime } from "../../ui/RelativeTime.tsx";
import { Outcomes } from "../usage/Outcomes.tsx";
import { usageQuery } from "../usage/queries.ts";
import { ConnectionMenu, Rotate, ConnectionStateBadge } from "./actions.tsx";
import { Snippets } from "./Snippets.tsx";
import { HIDDEN_KEY } from "./snippets.ts";

/** Page of a connection: details, recent requests and examples. */
export function ConnectionPage() {
  const { connectionId = "" } = useParams();
  const connection = useQuery(connectionQuery(connectionId));
  const usage = useQuery(usageQuery("24h"));
  const { projectId } = useSession();
  const manage = useCanManage();
  const navigate = useNavigate();
  const [rotating, setRotating] = useState(false);
  const back = { to: "/integrations/custom-webhooks", label: "Custom Webhooks" };
  if (connection.isPending) return <Page title="Connection" back={back}><Skeleton /></Page>;
  if (connection.isError) return <Page title="Connection" back={back}><ErrorState error={connection.error} onRetry={() => connection.refetch()} /></Page>;
  const details = connection.data;
  const connectionUsage = usage.data?.connections.find((candidate) => candidate.connectionId === connectionId);
  return (
    <Page title={details.name} back={back} heading={<span className="row">{details.name} <ConnectionStateBadge state={details.state} /></span>}
      actions={manage && <>
        <Button icon={<RotateIcon />} onClick={() => setRotating(true)}>Rotate key</Button>
        <ConnectionMenu className="button button-icon-only" connection={details} onDeleted={() => navigate("/integrations/custom-webhooks")} />
      </>}>
      <Card label="Connection details">
        <dl className="facts">
          <div><dt>Last used</dt><dd><RelativeTime at={details.lastUsedAt} /></dd></div>
          <div><dt>Key ends in</dt><dd><code>{details.keyHint}</code></dd></div>
          <div><dt>IP addresses (24 hours)</dt><dd className="numeric">{connectionUsage?.addresses ?? 0}</dd></div>
          <div><dt>Created</dt><dd><RelativeTime at={details.createdAt} /></dd></div>
        </dl>
      </Card>
      <Card title="Requests in the last 24 hours">
        {usage.isPending ? <Skeleton /> : usage.isError ? <ErrorState error={usage.error} onRetry={() => usage.refetch()} /> : (
          <Outcomes items={usage.data.items.filter((item) => item.connectionId === connectionId)} period="24h" />
        )}
      </Card>
      <Card title="Send metrics">
        <p className="muted gap">The key cannot be shown again. Replace <code>{HIDDEN_KEY}</code> with your key.</p>
        <Snippets webhookUrl={details.webhookUrl} apiKey={HIDDEN_KEY} projectId={projectId} />
      </Card>
      {rotating && <Rotate connection={details} onClose={() => setRotating(false)} />}
    </Page>
  );
}
