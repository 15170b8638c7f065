import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, unwrap } from "../../api/client.ts";
import { ApiError } from "../../api/error.ts";
import { keysQuery, useRefresh } from "../../api/queries.ts";
import type { Key, KeyScope } from "../../api/types.ts";
import { Button } from "../../ui/Button.tsx";
import { CopyField } from "../../ui/Copy.tsx";
import { Dialog, FormDialog } from "../../ui/Dialog.tsx";
import { CheckField, TextField } from "../../ui/Field.tsx";
import { KeyIcon, PlusIcon } from "../../ui/icons.tsx";
import { Card } from "../../ui/Page.tsx";
import { Alert, Badge, EmptyState, ErrorState, Skeleton } from "../../ui/feedback.tsx";
import { RelativeTime } from "../../ui/RelativeTime.tsx";
import { showToast } from "../../ui/toast.ts";

const SCOPES: readonly (readonly [KeyScope, string, string])[] = [
  ["read", "Read", "View metrics, dashboards and alerts, on this page and through the API."],
  ["manage", "Manage", "View and change everything in the project."],
  ["ingest", "Send metrics", "Send metrics only. Prefer a connection, because its key can be rotated."],
];

/** API keys of the project that do not belong to a connection. */
export function Keys() {
  const keys = useQuery(keysQuery);
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<Key>();
  const items = keys.data?.items ?? [];
  return (
    <Card title="Keys" flush actions={<Button small icon={<PlusIcon size={16} />} onClick={() => setCreating(true)}>New key</Button>}>
      <p className="muted card-note">For people who sign in here, and for programs that read or manage the project. Connections have their own keys.</p>
      {keys.isPending ? (
        <div className="card-body"><Skeleton /></div>
      ) : keys.isError ? (
        <ErrorState error={keys.error} onRetry={() => keys.refetch()} />
      ) : items.length === 0 ? (
        <EmptyState icon={<KeyIcon size={26} />} title="No keys yet" />
      ) : (
        <div className="table-box">
          <table className="table">
            <thead><tr><th>Name</th><th>Scopes</th><th className="hide-on-phone">Key</th><th className="hide-on-phone">Created</th><th className="tight"><span className="sr-only">Actions</span></th></tr></thead>
            <tbody>
              {items.map((key) => (
                <tr key={key.keyId}>
                  <td className="table-name">{key.name}</td>
                  <td><span className="row">{key.scopes.map((scope) => <Badge key={scope} kind={scope === "manage" ? "accent" : "neutral"}>{scope}</Badge>)}</span></td>
                  <td className="hide-on-phone tight"><code className="muted">{key.keyHint}</code></td>
                  <td className="hide-on-phone"><RelativeTime at={key.createdAt} /></td>
                  <td className="tight"><Button small variant="quiet" onClick={() => setRevoking(key)} aria-label={`Revoke ${key.name}`}>Revoke</Button></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {creating && <NewKey onClose={() => setCreating(false)} />}
      {revoking && <RevokeKey apiKey={revoking} onClose={() => setRevoking(undefined)} />}
    </Card>
  );
}

function NewKey({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<KeyScope[]>(["read"]);
  const refresh = useRefresh();
  const create = useMutation({
    mutationFn: () => unwrap(api.POST("/api/v1/keys", { body: { name: name.trim(), scopes } })),
    onSuccess: () => void refresh(["keys"]),
  });
  if (create.data) {
    return (
      <Dialog title={`Key “${create.data.name}” created`} onClose={onClose}>
        <div className="dialog-body">
          <CopyField label="Key" value={create.data.key} />
          <Alert kind="warn">Copy it now. It will not be shown again.</Alert>
        </div>
        <div className="dialog-foot"><Button variant="primary" onClick={onClose}>Done</Button></div>
      </Dialog>
    );
  }
  const nameError = create.error instanceof ApiError ? create.error.fieldError("name") : undefined;
  const toggleScope = (scope: KeyScope) => setScopes((scopes) => (scopes.includes(scope) ? scopes.filter((other) => other !== scope) : [...scopes, scope]));
  return (
    <FormDialog title="New key" submitLabel="Create" busy={create.isPending} error={nameError ? null : create.error} disabled={!name.trim() || scopes.length === 0} onClose={onClose} onSubmit={() => create.mutate()}>
      <TextField label="Name" placeholder="Reports" value={name} maxLength={100} onChange={(event) => setName(event.target.value)} error={nameError} autoFocus />
      <fieldset className="choices">
        <legend className="field-label">Scopes</legend>
        {SCOPES.map(([scope, label, hint]) => <CheckField key={scope} label={label} hint={hint} checked={scopes.includes(scope)} onChange={() => toggleScope(scope)} />)}
      </fieldset>
    </FormDialog>
  );
}

function RevokeKey({ apiKey, onClose }: { apiKey: Key; onClose: () => void }) {
  const refresh = useRefresh();
  const revoke = useMutation({
    mutationFn: () => unwrap(api.DELETE("/api/v1/keys/{keyId}", { params: { path: { keyId: apiKey.keyId } } })),
    onSuccess: () => {
      showToast(`“${apiKey.name}” revoked`);
      onClose();
      void refresh(["keys"], ["session"]);
    },
  });
  return (
    <FormDialog title={`Revoke key “${apiKey.name}”?`} submitLabel="Revoke" danger busy={revoke.isPending} error={revoke.error} onClose={onClose} onSubmit={() => revoke.mutate()}>
      <p>The key is rejected within a second. Sessions that were started with it end, including yours if you signed in with this key.</p>
    </FormDialog>
  );
}
