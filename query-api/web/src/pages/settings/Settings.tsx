import { useMutation, useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { api, of } from "../../api/client.ts";
import { ApiError, messageOf } from "../../api/error.ts";
import { projectQuery, useMayManage, useRefresh, useSession } from "../../api/queries.ts";
import { formatCount } from "../../format/numbers.ts";
import { Button } from "../../ui/Button.tsx";
import { CopyField } from "../../ui/Copy.tsx";
import { TextField } from "../../ui/Field.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Alert, Badge, Failed, Skeleton } from "../../ui/states.tsx";
import { tell } from "../../ui/toast.ts";
import { Keys } from "./Keys.tsx";

/** The project, its plan, its keys. */
export function Settings() {
  const { projectId, scopes } = useSession();
  const manage = useMayManage();
  const project = useQuery(projectQuery(projectId));
  return (
    <Page title="Settings">
      {!manage && <Alert kind="info">You are signed in with a key that may only read ({scopes.join(", ")}). To change anything, sign in with one that may manage the project.</Alert>}
      {project.isPending ? (
        <Skeleton rows={2} tall />
      ) : project.isError ? (
        <Failed error={project.error} onRetry={() => project.refetch()} />
      ) : (
        <>
          <Card title="Project">
            <div className="fields narrow">
              <Name key={project.data.name} name={project.data.name} projectId={projectId} />
              <CopyField label="Project id" value={projectId} hint="Every request names it." />
            </div>
          </Card>
          <Card title="Plan">
            <dl className="facts">
              <div><dt>Plan</dt><dd><span className="plan"><Badge kind="accent">{project.data.plan}</Badge></span></dd></div>
              <div><dt>Requests per hour</dt><dd className="numeric">{project.data.quota.limit == null ? "No limit" : formatCount(project.data.quota.limit)}</dd></div>
              {project.data.quota.limit != null && <div><dt>Used this hour</dt><dd className="numeric">{formatCount(project.data.quota.used)}</dd></div>}
            </dl>
            <p className="quiet small gap-above">The plan is changed by whoever runs this installation.</p>
          </Card>
        </>
      )}
      {manage && <Keys />}
    </Page>
  );
}

function Name({ name, projectId }: { name: string; projectId: string }) {
  const [text, setText] = useState(name);
  const manage = useMayManage();
  const refresh = useRefresh();
  const rename = useMutation({
    mutationFn: () => of(api.PATCH("/api/v1/projects/{projectId}", { params: { path: { projectId } }, body: { name: text.trim() } })),
    onSuccess: () => {
      tell("The project is renamed");
      void refresh(["project"], ["session"]);
    },
  });
  const fault = rename.error instanceof ApiError ? rename.error.fault("name") : undefined;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (text.trim() && text.trim() !== name) rename.mutate();
  };
  return (
    <form onSubmit={submit} className="inline-form" noValidate>
      <TextField label="Name" value={text} onChange={(event) => setText(event.target.value)} maxLength={100} readOnly={!manage} error={fault} />
      {manage && <Button type="submit" busy={rename.isPending} disabled={!text.trim() || text.trim() === name}>Rename</Button>}
      {rename.error && !fault ? <Alert>{messageOf(rename.error)}</Alert> : null}
    </form>
  );
}
