import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { connectionsQuery, useCanManage } from "../../api/queries.ts";
import { formatCount } from "../../format/numbers.ts";
import { ButtonLink } from "../../ui/Button.tsx";
import { Page } from "../../ui/Page.tsx";
import { Badge } from "../../ui/feedback.tsx";
import { WebhookIcon } from "./WebhookIcon.tsx";

/** List of integrations. */
export function Integrations() {
  const connections = useQuery(connectionsQuery);
  const manage = useCanManage();
  const active = connections.data?.items.filter((connection) => connection.state === "active").length ?? 0;
  return (
    <Page title="Integrations" description="Where your metrics come from.">
      <h2 className="group-title">Custom</h2>
      <div className="integration-cards">
        <article className="integration">
          <div className="integration-head">
            <WebhookIcon />
            {active > 0 && <Badge kind="good">{formatCount(active)} connected</Badge>}
          </div>
          <h3><Link to="/integrations/custom-webhooks">Custom Webhooks</Link></h3>
          <p className="muted">Send any metric as JSON with one POST request, from Zapier, Make, n8n, a cron job or your own code. You do not have to declare metrics first.</p>
          <div className="integration-foot">
            {(active > 0 || !manage) && <ButtonLink to="/integrations/custom-webhooks">{manage ? "Manage" : "View connections"}</ButtonLink>}
            {manage && <ButtonLink to="/integrations/custom-webhooks/connect" variant="primary">Connect</ButtonLink>}
          </div>
        </article>
      </div>
    </Page>
  );
}
