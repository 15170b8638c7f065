import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { ApiError } from "../../api/error.ts";
import { useRefresh } from "../../api/queries.ts";
import type { Dashboard } from "../../api/types.ts";
import { FormDialog } from "../../ui/Dialog.tsx";
import { TextField } from "../../ui/Field.tsx";
import { showToast } from "../../ui/toast.ts";
import { createDashboard, removeDashboard, replaceDashboard } from "./queries.ts";

const nameError = (error: unknown) => (error instanceof ApiError ? error.fieldError("name") : undefined);

export function NewDashboard({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const navigate = useNavigate();
  const refresh = useRefresh();
  const create = useMutation({
    mutationFn: () => createDashboard({ name: name.trim(), widgets: [] }),
    onSuccess: (dashboard) => {
      void refresh(["dashboards"]);
      navigate(`/dashboards/${dashboard.dashboardId}?edit=1`);
    },
  });
  return (
    <FormDialog title="New dashboard" submitLabel="Create" busy={create.isPending} error={nameError(create.error) ? null : create.error} disabled={!name.trim()} onClose={onClose} onSubmit={() => create.mutate()}>
      <TextField label="Name" placeholder="Shop" value={name} maxLength={100} onChange={(event) => setName(event.target.value)} error={nameError(create.error)} autoFocus />
    </FormDialog>
  );
}

export function RenameDashboard({ dashboard, onClose }: { dashboard: Dashboard; onClose: () => void }) {
  const [name, setName] = useState(dashboard.name);
  const refresh = useRefresh();
  const rename = useMutation({
    mutationFn: () => replaceDashboard(dashboard, { name: name.trim(), widgets: dashboard.widgets }),
    onSuccess: () => {
      void refresh(["dashboards"]);
      onClose();
    },
  });
  return (
    <FormDialog title="Rename dashboard" submitLabel="Save" busy={rename.isPending} error={nameError(rename.error) ? null : rename.error} disabled={!name.trim()} onClose={onClose} onSubmit={() => rename.mutate()}>
      <TextField label="Name" value={name} maxLength={100} onChange={(event) => setName(event.target.value)} error={nameError(rename.error)} autoFocus />
    </FormDialog>
  );
}

export function DeleteDashboard({ dashboard, onClose, onDeleted }: { dashboard: Dashboard; onClose: () => void; onDeleted?: () => void }) {
  const refresh = useRefresh();
  const remove = useMutation({
    mutationFn: () => removeDashboard(dashboard),
    onSuccess: () => {
      showToast(`“${dashboard.name}” deleted`);
      onClose();
      onDeleted?.();
      void refresh(["dashboards"]);
    },
  });
  return (
    <FormDialog title={`Delete “${dashboard.name}”?`} submitLabel="Delete" danger busy={remove.isPending} error={remove.error} onClose={onClose} onSubmit={() => remove.mutate()}>
      <p>This cannot be undone. The metrics are kept.</p>
    </FormDialog>
  );
}
