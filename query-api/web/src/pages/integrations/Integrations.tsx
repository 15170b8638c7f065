import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { connectionsQuery, useMayManage } from "../../api/queries.ts";
import { formatCount } from "../../format/numbers.ts";
import { ButtonLink } from "../../ui/Button.tsx";
import { Page } from "../../ui/Page.tsx";
import { Badge } from "../../ui/states.tsx";
import { WebhookMark } from "./WebhookMark.tsx";

/** Where metrics can come from. */
export function Integrations() {
  const connections = useQuery(connectionsQuery);
  const manage = useMayManage();
  const active = connections.data?.items.filter((one) => one.state === "active").length ?? 0;
  return (
    <Page title="Integrations" about="Where your metrics come from.">
      <h2 className="group-title">Custom</h2>
      <div className="integration-cards">
        <article className="integration">
          <div className="integration-head">
            <WebhookMark />
            {active > 0 && <Badge kind="good">{formatCount(active)} connected</Badge>}
          </div>
          <h3><Link to="/integrations/custom-webhooks">Custom Webhooks</Link></h3>
          <p className="quiet">Send any metric with one POST of JSON: from Zapier, Make, n8n, cron jobs, your own code. No metric has to be declared first.</p>
          <div className="integration-foot">
            {(active > 0 || !manage) && <ButtonLink to="/integrations/custom-webhooks">{manage ? "Manage" : "See connections"}</ButtonLink>}
            {manage && <ButtonLink to="/integrations/custom-webhooks/connect" look="primary">Connect</ButtonLink>}
          </div>
        </article>
      </div>
    </Page>
  );
}
