import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, of } from "../../api/client.ts";
import { ApiError } from "../../api/error.ts";
import { useRefresh } from "../../api/queries.ts";
import type { Connection, RotatedKey } from "../../api/types.ts";
import { formatCount } from "../../format/numbers.ts";
import { formatDateTime } from "../../format/times.ts";
import { Button } from "../../ui/Button.tsx";
import { CopyField } from "../../ui/Copy.tsx";
import { Dialog, FormDialog } from "../../ui/Dialog.tsx";
import { SelectField, TextField } from "../../ui/Field.tsx";
import { CrossIcon, MoreIcon, PencilIcon, RotateIcon, TrashIcon } from "../../ui/icons.tsx";
import { Menu } from "../../ui/Menu.tsx";
import { Alert, Badge } from "../../ui/states.tsx";
import { Ago } from "../../ui/Time.tsx";
import { tell } from "../../ui/toast.ts";
import { usageQuery } from "../usage/query.ts";

type Action = "rename" | "rotate" | "revoke" | "delete";

interface Props {
  connection: Connection;
  onClose: () => void;
}

export function StateBadge({ state }: { state: Connection["state"] }) {
  return state === "active" ? <Badge kind="good">Active</Badge> : <Badge kind="bad">Revoked</Badge>;
}

/** What can be done with a connection; each is asked again before it is done. */
export function ConnectionMenu({ connection, className, onDeleted }: { connection: Connection; className?: string; onDeleted?: () => void }) {
  const [action, setAction] = useState<Action>();
  const close = () => setAction(undefined);
  return (
    <>
      <Menu className={className} label={`Actions for ${connection.name}`} button={<MoreIcon />} items={[
        { label: "Rename", icon: <PencilIcon />, onSelect: () => setAction("rename") },
        { label: "Rotate key", icon: <RotateIcon />, onSelect: () => setAction("rotate") },
        null,
        { label: "Revoke", icon: <CrossIcon />, danger: true, disabled: connection.state === "revoked", onSelect: () => setAction("revoke") },
        { label: "Delete", icon: <TrashIcon />, danger: true, onSelect: () => setAction("delete") },
      ]} />
      {action === "rename" && <Rename connection={connection} onClose={close} />}
      {action === "rotate" && <Rotate connection={connection} onClose={close} />}
      {action === "revoke" && <Revoke connection={connection} onClose={close} />}
      {action === "delete" && <Delete connection={connection} onClose={close} onDeleted={onDeleted} />}
    </>
  );
}

const path = (connection: Connection) => ({ params: { path: { connectionId: connection.connectionId } } });

function Rename({ connection, onClose }: Props) {
  const [name, setName] = useState(connection.name);
  const refresh = useRefresh();
  const rename = useMutation({
    mutationFn: () => of(api.PATCH("/api/v1/connections/{connectionId}", { ...path(connection), body: { name: name.trim() } })),
    onSuccess: () => {
      void refresh(["connections"]);
      onClose();
    },
  });
  const fault = rename.error instanceof ApiError ? rename.error.fault("name") : undefined;
  return (
    <FormDialog title="Rename the connection" action="Save" busy={rename.isPending} error={fault ? null : rename.error} disabled={!name.trim()} onClose={onClose} onSubmit={() => rename.mutate()}>
      <TextField label="Name" value={name} onChange={(event) => setName(event.target.value)} maxLength={100} error={fault} autoFocus />
    </FormDialog>
  );
}

/** What is about to be cut off. */
function LastUse({ connection }: { connection: Connection }) {
  const usage = useQuery(usageQuery("24h"));
  const used = usage.data?.items.filter((item) => item.connectionId === connection.connectionId) ?? [];
  const requests = used.reduce((sum, item) => sum + item.requests, 0);
  return (
    <dl className="facts">
      <div><dt>Last used</dt><dd><Ago at={connection.lastUsedAt} /></dd></div>
      <div><dt>Requests in 24 hours</dt><dd className="numeric">{usage.data ? formatCount(requests) : "…"}</dd></div>
    </dl>
  );
}

const GRACE = [["0", "None: the old key is refused at once"], ["600", "10 minutes"], ["3600", "1 hour"], ["86400", "24 hours"]] as const;

export function Rotate({ connection, onClose }: Props) {
  const [grace, setGrace] = useState("0");
  const [made, setMade] = useState<RotatedKey>();
  const refresh = useRefresh();
  const rotate = useMutation({
    mutationFn: () => of(api.POST("/api/v1/connections/{connectionId}/rotate", { ...path(connection), body: { graceSeconds: Number(grace) } })),
    onSuccess: (key) => {
      setMade(key);
      void refresh(["connections"]);
    },
  });
  if (made) {
    return (
      <Dialog title="The new key" onClose={onClose}>
        <div className="dialog-body">
          <CopyField label="API key" value={made.apiKey} />
          <Alert kind="warn">Copy it now: it is not shown again.</Alert>
          <p className="quiet">{grace === "0" ? "The old key is refused from now on." : `The old key works until ${formatDateTime(made.previousKeyEndsAt)}.`}</p>
        </div>
        <div className="dialog-foot"><Button look="primary" onClick={onClose}>Done</Button></div>
      </Dialog>
    );
  }
  return (
    <FormDialog title={`Rotate the key of “${connection.name}”`} action="Rotate key" busy={rotate.isPending} error={rotate.error} onClose={onClose} onSubmit={() => rotate.mutate()}>
      <LastUse connection={connection} />
      <p>The connection gets a new key. {connection.state === "revoked" && "It can be used again with it."}</p>
      {connection.state === "active" && (
        <SelectField label="Grace for the old key" options={GRACE} value={grace} onChange={(event) => setGrace(event.target.value)} hint="As long as it lasts both keys work, so that you can replace the key without losing a metric." />
      )}
    </FormDialog>
  );
}

function Revoke({ connection, onClose }: Props) {
  const refresh = useRefresh();
  const revoke = useMutation({
    mutationFn: () => of(api.POST("/api/v1/connections/{connectionId}/revoke", path(connection))),
    onSuccess: () => {
      tell(`“${connection.name}” is revoked`);
      void refresh(["connections"]);
      onClose();
    },
  });
  return (
    <FormDialog title={`Revoke “${connection.name}”?`} action="Revoke" danger busy={revoke.isPending} error={revoke.error} onClose={onClose} onSubmit={() => revoke.mutate()}>
      <LastUse connection={connection} />
      <p>Every key of it is refused within a second, those in their grace too. Metrics that were sent stay. Rotating the key makes it usable again.</p>
    </FormDialog>
  );
}

function Delete({ connection, onClose, onDeleted }: Props & { onDeleted?: () => void }) {
  const refresh = useRefresh();
  const remove = useMutation({
    mutationFn: () => of(api.DELETE("/api/v1/connections/{connectionId}", path(connection))),
    onSuccess: () => {
      tell(`“${connection.name}” is deleted`);
      onClose();
      onDeleted?.();
      void refresh(["connections"]);
    },
  });
  return (
    <FormDialog title={`Delete “${connection.name}”?`} action="Delete" danger busy={remove.isPending} error={remove.error} onClose={onClose} onSubmit={() => remove.mutate()}>
      <LastUse connection={connection} />
      <p>Its keys are refused within a second, and it cannot be brought back. Metrics that were sent stay.</p>
    </FormDialog>
  );
}
