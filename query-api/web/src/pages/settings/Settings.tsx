import { useMutation, useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { api, unwrap } from "../../api/client.ts";
import { ApiError, errorMessage } from "../../api/error.ts";
import { projectQuery, useCanManage, useRefresh, useSession } from "../../api/queries.ts";
import { formatCount } from "../../format/numbers.ts";
import { Button } from "../../ui/Button.tsx";
import { CopyField } from "../../ui/Copy.tsx";
import { TextField } from "../../ui/Field.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Alert, Badge, ErrorState, Skeleton } from "../../ui/feedback.tsx";
import { showToast } from "../../ui/toast.ts";
import { Keys } from "./Keys.tsx";

/** Settings page: project, plan and keys. */
export function Settings() {
  const { projectId, scopes } = useSession();
  const manage = useCanManage();
  const project = useQuery(projectQuery(projectId));
  return (
    <Page title="Settings">
      {!manage && <Alert kind="info">Your key cannot make changes (scopes: {scopes.join(", ")}). Sign in with a key that has the “manage” scope to change settings.</Alert>}
      {project.isPending ? (
        <Skeleton rows={2} tall />
      ) : project.isError ? (
        <ErrorState error={project.error} onRetry={() => project.refetch()} />
      ) : (
        <>
          <Card title="Project">
            <div className="fields narrow">
              <ProjectNameForm key={project.data.name} name={project.data.name} projectId={projectId} />
              <CopyField label="Project ID" value={projectId} hint="Include it in every request that sends metrics." />
            </div>
          </Card>
          <Card title="Plan">
            <dl className="facts">
              <div><dt>Plan</dt><dd><span className="plan"><Badge kind="accent">{project.data.plan}</Badge></span></dd></div>
              <div><dt>Requests per hour</dt><dd className="numeric">{project.data.quota.limit == null ? "No limit" : formatCount(project.data.quota.limit)}</dd></div>
              {project.data.quota.limit != null && <div><dt>Used this hour</dt><dd className="numeric">{formatCount(project.data.quota.used)}</dd></div>}
            </dl>
            <p className="muted small gap-above">To change the plan, ask the operator of this installation.</p>
          </Card>
        </>
      )}
      {manage && <Keys />}
    </Page>
  );
}

function ProjectNameForm({ name, projectId }: { name: string; projectId: string }) {
  const [text, setText] = useState(name);
  const manage = useCanManage();
  const refresh = useRefresh();
  const rename = useMutation({
    mutationFn: () => unwrap(api.PATCH("/api/v1/projects/{projectId}", { params: { path: { projectId } }, body: { name: text.trim() } })),
    onSuccess: () => {
      showToast("Project renamed");
      void refresh(["project"], ["session"]);
    },
  });
  const nameError = rename.error instanceof ApiError ? rename.error.fieldError("name") : undefined;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (text.trim() && text.trim() !== name) rename.mutate();
  };
  return (
    <form onSubmit={submit} className="inline-form" noValidate>
      <TextField label="Name" value={text} onChange={(event) => setText(event.target.value)} maxLength={100} readOnly={!manage} error={nameError} />
      {manage && <Button type="submit" busy={rename.isPending} disabled={!text.trim() || text.trim() === name}>Rename</Button>}
      {rename.error && !nameError ? <Alert>{errorMessage(rename.error)}</Alert> : null}
    </form>
  );
}
