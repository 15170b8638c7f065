import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, unwrap } from "../../api/client.ts";
import { ApiError } from "../../api/error.ts";
import { useRefresh } from "../../api/queries.ts";
import type { Connection, RotatedKey } from "../../api/types.ts";
import { formatCount } from "../../format/numbers.ts";
import { formatDateTime } from "../../format/times.ts";
import { Button } from "../../ui/Button.tsx";
import { CopyField } from "../../ui/Copy.tsx";
import { Dialog, FormDialog } from "../../ui/Dialog.tsx";
import { SelectField, TextField } from "../../ui/Field.tsx";
import { CloseIcon, MoreIcon, PencilIcon, RotateIcon, TrashIcon } from "../../ui/icons.tsx";
import { Menu } from "../../ui/Menu.tsx";
import { Alert, Badge } from "../../ui/feedback.tsx";
import { RelativeTime } from "../../ui/RelativeTime.tsx";
import { showToast } from "../../ui/toast.ts";
import { usageQuery } from "../usage/queries.ts";

type Action = "rename" | "rotate" | "revoke" | "delete";

interface Props {
  connection: Connection;
  onClose: () => void;
}

export function ConnectionStateBadge({ state }: { state: Connection["state"] }) {
  return state === "active" ? <Badge kind="good">Active</Badge> : <Badge kind="bad">Revoked</Badge>;
}

/** Menu of a connection. Each action opens a dialog for confirmation. */
export function ConnectionMenu({ connection, className, onDeleted }: { connection: Connection; className?: string; onDeleted?: () => void }) {
  const [action, setAction] = useState<Action>();
  const close = () => setAction(undefined);
  return (
    <>
      <Menu className={className} label={`Actions for ${connection.name}`} button={<MoreIcon />} items={[
        { label: "Rename", icon: <PencilIcon />, onSelect: () => setAction("rename") },
        { label: "Rotate key", icon: <RotateIcon />, onSelect: () => setAction("rotate") },
        null,
        { label: "Revoke", icon: <CloseIcon />, danger: true, disabled: connection.state === "revoked", onSelect: () => setAction("revoke") },
        { label: "Delete", icon: <TrashIcon />, danger: true, onSelect: () => setAction("delete") },
      ]} />
      {action === "rename" && <Rename connection={connection} onClose={close} />}
      {action === "rotate" && <Rotate connection={connection} onClose={close} />}
      {action === "revoke" && <Revoke connection={connection} onClose={close} />}
      {action === "delete" && <Delete connection={connection} onClose={close} onDeleted={onDeleted} />}
    </>
  );
}

const pathParams = (connection: Connection) => ({ params: { path: { connectionId: connection.connectionId } } });

function Rename({ connection, onClose }: Props) {
  const [name, setName] = useState(connection.name);
  const refresh = useRefresh();
  const rename = useMutation({
    mutationFn: () => unwrap(api.PATCH("/api/v1/connections/{connectionId}", { ...pathParams(connection), body: { name: name.trim() } })),
    onSuccess: () => {
      void refresh(["connections"]);
      onClose();
    },
  });
  const nameError = rename.error instanceof ApiError ? rename.error.fieldError("name") : undefined;
  return (
    <FormDialog title="Rename connection" submitLabel="Save" busy={rename.isPending} error={nameError ? null : rename.error} disabled={!name.trim()} onClose={onClose} onSubmit={() => rename.mutate()}>
      <TextField label="Name" value={name} onChange={(event) => setName(event.target.value)} maxLength={100} error={nameError} autoFocus />
    </FormDialog>
  );
}

/** Recent usage of the connection, so that the user sees what a revocation would stop. */
function RecentUsage({ connection }: { connection: Connection }) {
  const usage = useQuery(usageQuery("24h"));
  const items = usage.data?.items.filter((item) => item.connectionId === connection.connectionId) ?? [];
  const requests = items.reduce((sum, item) => sum + item.requests, 0);
  return (
    <dl className="facts">
      <div><dt>Last used</dt><dd><RelativeTime at={connection.lastUsedAt} /></dd></div>
      <div><dt>Requests (24 hours)</dt><dd className="numeric">{usage.data ? formatCount(requests) : "…"}</dd></div>
    </dl>
  );
}

const GRACE_PERIODS = [["0", "None: reject the old key immediately"], ["600", "10 minutes"], ["3600", "1 hour"], ["86400", "24 hours"]] as const;

export function Rotate({ connection, onClose }: Props) {
  const [grace, setGrace] = useState("0");
  const [newKey, setNewKey] = useState<RotatedKey>();
  const refresh = useRefresh();
  const rotate = useMutation({
    mutationFn: () => unwrap(api.POST("/api/v1/connections/{connectionId}/rotate", { ...pathParams(connection), body: { graceSeconds: Number(grace) } })),
    onSuccess: (key) => {
      setNewKey(key);
      void refresh(["connections"]);
    },
  });
  if (newKey) {
    return (
      <Dialog title="New API key" onClose={onClose}>
        <div className="dialog-body">
          <CopyField label="API key" value={newKey.apiKey} />
          <Alert kind="warn">Copy it now. It will not be shown again.</Alert>
          <p className="muted">{grace === "0" ? "The old key no longer works." : `The old key works until ${formatDateTime(newKey.previousKeyEndsAt)}.`}</p>
        </div>
        <div className="dialog-foot"><Button variant="primary" onClick={onClose}>Done</Button></div>
      </Dialog>
    );
  }
  return (
    <FormDialog title={`Rotate the key of “${connection.name}”?`} submitLabel="Rotate key" busy={rotate.isPending} error={rotate.error} onClose={onClose} onSubmit={() => rotate.mutate()}>
      <RecentUsage connection={connection} />
      <p>The connection gets a new key. {connection.state === "revoked" && "This makes it active again."}</p>
      {connection.state === "active" && (
        <SelectField label="Grace period of the old key" options={GRACE_PERIODS} value={grace} onChange={(event) => setGrace(event.target.value)} hint="Both keys work during the grace period, so you can replace the key without losing metrics." />
      )}
    </FormDialog>
  );
}

function Revoke({ connection, onClose }: Props) {
  const refresh = useRefresh();
  const revoke = useMutation({
    mutationFn: () => unwrap(api.POST("/api/v1/connections/{connectionId}/revoke", pathParams(connection))),
    onSuccess: () => {
      showToast(`“${connection.name}” revoked`);
      void refresh(["connections"]);
      onClose();
    },
  });
  return (
    <FormDialog title={`Revoke “${connection.name}”?`} submitLabel="Revoke" danger busy={revoke.isPending} error={revoke.error} onClose={onClose} onSubmit={() => revoke.mutate()}>
      <RecentUsage connection={connection} />
      <p>All keys of this connection are rejected within a second, including a key in its grace period. Stored metrics are kept. To use the connection again, rotate its key.</p>
    </FormDialog>
  );
}

function Delete({ connection, onClose, onDeleted }: Props & { onDeleted?: () => void }) {
  const refresh = useRefresh();
  const remove = useMutation({
    mutationFn: () => unwrap(api.DELETE("/api/v1/connections/{connectionId}", pathParams(connection))),
    onSuccess: () => {
      showToast(`“${connection.name}” deleted`);
      onClose();
      onDeleted?.();
      void refresh(["connections"]);
    },
  });
  return (
    <FormDialog title={`Delete “${connection.name}”?`} submitLabel="Delete" danger busy={remove.isPending} error={remove.error} onClose={onClose} onSubmit={() => remove.mutate()}>
      <RecentUsage connection={connection} />
      <p>Its keys are rejected within a second. This cannot be undone. Stored metrics are kept.</p>
    </FormDialog>
  );
}
