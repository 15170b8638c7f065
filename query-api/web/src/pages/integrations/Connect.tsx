import { useMutation } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { api, of } from "../../api/client.ts";
import { ApiError, messageOf } from "../../api/error.ts";
import { useMayManage, useRefresh } from "../../api/queries.ts";
import type { CreatedConnection } from "../../api/types.ts";
import { Button, ButtonLink } from "../../ui/Button.tsx";
import { CopyField } from "../../ui/Copy.tsx";
import { TextField } from "../../ui/Field.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Alert } from "../../ui/states.tsx";
import { FirstMetric } from "./FirstMetric.tsx";
import { Snippets } from "./Snippets.tsx";

const BACK = { to: "/integrations/custom-webhooks", label: "Custom Webhooks" };

/** From a name to the first metric. */
export function Connect() {
  const [made, setMade] = useState<CreatedConnection>();
  return made ? <Made connection={made} /> : <Name onMade={setMade} />;
}

function Name({ onMade }: { onMade: (connection: CreatedConnection) => void }) {
  const [name, setName] = useState("");
  const manage = useMayManage();
  const refresh = useRefresh();
  const create = useMutation({
    mutationFn: () => of(api.POST("/api/v1/connections", { body: { name: name.trim() } })),
    onSuccess: (connection) => {
      onMade(connection);
      void refresh(["connections"]);
    },
  });
  const fault = create.error instanceof ApiError ? create.error.fault("name") : undefined;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim()) create.mutate();
  };
  return (
    <Page title="Connect a webhook" about="A connection is whatever sends metrics: a job, a tool, a service." back={BACK}>
      {manage ? (
        <Card label="Name">
          <form className="fields narrow" onSubmit={submit} noValidate>
            <TextField label="Name" placeholder="Cron Job Metrics" value={name} onChange={(event) => setName(event.target.value)} maxLength={100} autoFocus error={fault} hint="So that you recognise it among others. You can change it later." />
            {create.error && !fault ? <Alert>{messageOf(create.error)}</Alert> : null}
            <div><Button type="submit" look="primary" busy={create.isPending} disabled={!name.trim()}>Create</Button></div>
          </form>
        </Card>
      ) : (
        <Alert kind="info">This key may only read. Sign in with one that may manage the project to connect a webhook.</Alert>
      )}
    </Page>
  );
}

function Made({ connection }: { connection: CreatedConnection }) {
  return (
    <Page title={connection.name} about="The connection is made. Send it a metric with one of these." back={BACK}
      actions={<ButtonLink to="/integrations/custom-webhooks">Done</ButtonLink>}>
      <FirstMetric />
      <Card title="Where to send, and with what">
        <div className="fields">
          <CopyField label="Webhook URL" value={connection.webhookUrl} />
          <div className="fields-two">
            <CopyField label="API key" value={connection.apiKey} />
            <CopyField label="Project id" value={connection.projectId} />
          </div>
          <Alert kind="warn">Copy the key now: it is not shown again. Whoever has it can send metrics, so keep it in an environment variable and out of client-side code.</Alert>
        </div>
      </Card>
      <Card title="Send the first metric">
        <Snippets webhookUrl={connection.webhookUrl} apiKey={connection.apiKey} projectId={connection.projectId} />
      </Card>
    </Page>
  );
}
