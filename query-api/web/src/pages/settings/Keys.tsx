import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, of } from "../../api/client.ts";
import { ApiError } from "../../api/error.ts";
import { keysQuery, useRefresh } from "../../api/queries.ts";
import type { Key, KeyScope } from "../../api/types.ts";
import { Button } from "../../ui/Button.tsx";
import { CopyField } from "../../ui/Copy.tsx";
import { Dialog, FormDialog } from "../../ui/Dialog.tsx";
import { CheckField, TextField } from "../../ui/Field.tsx";
import { KeyIcon, PlusIcon } from "../../ui/icons.tsx";
import { Card } from "../../ui/Page.tsx";
import { Alert, Badge, Empty, Failed, Skeleton } from "../../ui/states.tsx";
import { Ago } from "../../ui/Time.tsx";
import { tell } from "../../ui/toast.ts";

const SCOPES: readonly (readonly [KeyScope, string, string])[] = [
  ["read", "Read", "See metrics, dashboards and alerts, here and over the API."],
  ["manage", "Manage", "Change anything of the project, and read."],
  ["ingest", "Send metrics", "What a connection’s key may do. A connection is better: it can be rotated."],
];

/** Keys for people and programs. */
export function Keys() {
  const keys = useQuery(keysQuery);
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Key>();
  const items = keys.data?.items ?? [];
  return (
    <Card title="Keys" flush actions={<Button small icon={<PlusIcon size={16} />} onClick={() => setMaking(true)}>New key</Button>}>
      <p className="quiet card-note">For people who sign in here and for programs that read or manage. Connections have keys of their own.</p>
      {keys.isPending ? (
        <div className="card-body"><Skeleton /></div>
      ) : keys.isError ? (
        <Failed error={keys.error} onRetry={() => keys.refetch()} />
      ) : items.length === 0 ? (
        <Empty icon={<KeyIcon size={26} />} title="No keys" />
      ) : (
        <div className="table-box">
          <table className="table">
            <thead><tr><th>Name</th><th>May</th><th className="phone-hide">Key</th><th className="phone-hide">Made</th><th className="tight"><span className="sr-only">Actions</span></th></tr></thead>
            <tbody>
              {items.map((key) => (
                <tr key={key.keyId}>
                  <td className="table-name">{key.name}</td>
                  <td><span className="row">{key.scopes.map((scope) => <Badge key={scope} kind={scope === "manage" ? "accent" : "neutral"}>{scope}</Badge>)}</span></td>
                  <td className="phone-hide tight"><code className="quiet">{key.keyHint}</code></td>
                  <td className="phone-hide"><Ago at={key.createdAt} /></td>
                  <td className="tight"><Button small look="quiet" onClick={() => setRevoking(key)} aria-label={`Revoke ${key.name}`}>Revoke</Button></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {making && <NewKey onClose={() => setMaking(false)} />}
      {revoking && <RevokeKey one={revoking} onClose={() => setRevoking(undefined)} />}
    </Card>
  );
}

function NewKey({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<KeyScope[]>(["read"]);
  const refresh = useRefresh();
  const create = useMutation({
    mutationFn: () => of(api.POST("/api/v1/keys", { body: { name: name.trim(), scopes } })),
    onSuccess: () => void refresh(["keys"]),
  });
  if (create.data) {
    return (
      <Dialog title={`The key “${create.data.name}”`} onClose={onClose}>
        <div className="dialog-body">
          <CopyField label="Key" value={create.data.key} />
          <Alert kind="warn">Copy it now: it is not shown again.</Alert>
        </div>
        <div className="dialog-foot"><Button look="primary" onClick={onClose}>Done</Button></div>
      </Dialog>
    );
  }
  const fault = create.error instanceof ApiError ? create.error.fault("name") : undefined;
  const flip = (scope: KeyScope) => setScopes((scopes) => (scopes.includes(scope) ? scopes.filter((one) => one !== scope) : [...scopes, scope]));
  return (
    <FormDialog title="New key" action="Create" busy={create.isPending} error={fault ? null : create.error} disabled={!name.trim() || scopes.length === 0} onClose={onClose} onSubmit={() => create.mutate()}>
      <TextField label="Name" placeholder="Reports" value={name} maxLength={100} onChange={(event) => setName(event.target.value)} error={fault} autoFocus />
      <fieldset className="choices">
        <legend className="field-label">It may</legend>
        {SCOPES.map(([scope, label, hint]) => <CheckField key={scope} label={label} hint={hint} checked={scopes.includes(scope)} onChange={() => flip(scope)} />)}
      </fieldset>
    </FormDialog>
  );
}

function RevokeKey({ one, onClose }: { one: Key; onClose: () => void }) {
  const refresh = useRefresh();
  const revoke = useMutation({
    mutationFn: () => of(api.DELETE("/api/v1/keys/{keyId}", { params: { path: { keyId: one.keyId } } })),
    onSuccess: () => {
      tell(`“${one.name}” is revoked`);
      onClose();
      void refresh(["keys"], ["session"]);
    },
  });
  return (
    <FormDialog title={`Revoke the key “${one.name}”?`} action="Revoke" danger busy={revoke.isPending} error={revoke.error} onClose={onClose} onSubmit={() => revoke.mutate()}>
      <p>It is refused within a second, and sessions that were begun with it end: yours too, if this is the key that you are signed in with.</p>
    </FormDialog>
  );
}
