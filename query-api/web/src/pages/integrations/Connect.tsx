import { useMutation } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { api, unwrap } from "../../api/client.ts";
import { ApiError, errorMessage } from "../../api/error.ts";
import { useCanManage, useRefresh } from "../../api/queries.ts";
import type { CreatedConnection } from "../../api/types.ts";
import { Button, ButtonLink } from "../../ui/Button.tsx";
import { CopyField } from "../../ui/Copy.tsx";
import { TextField } from "../../ui/Field.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Alert } from "../../ui/feedback.tsx";
import { FirstMetric } from "./FirstMetric.tsx";
import { Snippets } from "./Snippets.tsx";

const BACK = { to: "/integrations/custom-webhooks", label: "Custom Webhooks" };

/** Creates a connection, then shows its key and waits for the first metric. */
export function Connect() {
  const [created, setCreated] = useState<CreatedConnection>();
  return created ? <CreatedConnectionDetails connection={created} /> : <NameForm onCreated={setCreated} />;
}

function NameForm({ onCreated }: { onCreated: (connection: CreatedConnection) => void }) {
  const [name, setName] = useState("");
  const manage = useCanManage();
  const refresh = useRefresh();
  const create = useMutation({
    mutationFn: () => unwrap(api.POST("/api/v1/connections", { body: { name: name.trim() } })),
    onSuccess: (connection) => {
      onCreated(connection);
      void refresh(["connections"]);
    },
  });
  const nameError = create.error instanceof ApiError ? create.error.fieldError("name") : undefined;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim()) create.mutate();
  };
  return (
    <Page title="Connect a webhook" description="A connection is a source of metrics, such as a job, a tool or a service." back={BACK}>
      {manage ? (
        <Card>
          <form className="fields narrow" onSubmit={submit} noValidate>
            <TextField label="Name" placeholder="Cron Job Metrics" value={name} onChange={(event) => setName(event.target.value)} maxLength={100} autoFocus error={nameError} hint="Helps you identify the connection. You can change it later." />
            {create.error && !nameError ? <Alert>{errorMessage(create.error)}</Alert> : null}
            <div><Button type="submit" variant="primary" busy={create.isPending} disabled={!name.trim()}>Create</Button></div>
          </form>
        </Card>
      ) : (
        <Alert kind="info">Your key cannot make changes. Sign in with a key that has the “manage” scope to connect a webhook.</Alert>
      )}
    </Page>
  );
}

function CreatedConnectionDetails({ connection }: { connection: CreatedConnection }) {
  return (
    <Page title={connection.name} description="The connection is ready. Send a metric with one of the examples below." back={BACK}
      actions={<ButtonLink to="/integrations/custom-webhooks">Done</ButtonLink>}>
      <FirstMetric />
      <Card title="Connection details">
        <div className="fields">
          <CopyField label="Webhook URL" value={connection.webhookUrl} />
          <div className="fields-two">
            <CopyField label="API key" value={connection.apiKey} />
            <CopyField label="Project ID" value={connection.projectId} />
          </div>
          <Alert kind="warn">Copy the key now. It will not be shown again. Anyone who has the key can send metrics, so keep it in an environment variable and out of client-side code.</Alert>
        </div>
      </Card>
      <Card title="Send your first metric">
        <Snippets webhookUrl={connection.webhookUrl} apiKey={connection.apiKey} projectId={connection.projectId} />
      </Card>
    </Page>
  );
}
