import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { api, unwrap } from "../../api/client.ts";
import { metricQuery, useRefresh } from "../../api/queries.ts";
import type { Metric } from "../../api/types.ts";
import { formatCount } from "../../format/numbers.ts";
import { formatDate } from "../../format/times.ts";
import { FormDialog } from "../../ui/Dialog.tsx";
import { TextField } from "../../ui/Field.tsx";
import { showToast } from "../../ui/toast.ts";

/** Dialog for deleting a metric. Points cannot be restored, so the user must type the metric id. */
export function DeleteMetric({ metric, onClose }: { metric: Metric; onClose: () => void }) {
  const [typed, setTyped] = useState("");
  const client = useQueryClient();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const { metricId, metricName } = metric;
  const remove = useMutation({
    mutationFn: () => unwrap(api.DELETE("/api/v1/metrics/{metricId}", { params: { path: { metricId } } })),
    onSuccess: async () => {
      showToast(`“${metricName}” deleted`);
      await navigate("/metrics");
      client.removeQueries({ queryKey: metricQuery(metricId).queryKey });
      void refresh(["metrics"], ["catalogue"], ["series"]);
    },
  });
  return (
    <FormDialog title={`Delete “${metricName}”?`} submitLabel="Delete" danger busy={remove.isPending} error={remove.error} disabled={typed.trim() !== metricId} onClose={onClose} onSubmit={() => remove.mutate()}>
      <p>{pointCount(metric.points)} since {formatDate(metric.firstSeenAt)} {metric.points === 1 ? "is" : "are"} deleted permanently for everyone. Widgets and alerts that use the metric will have no data. If the metric is sent again, it starts a new history.</p>
      <TextField label={`Type ${metricId} to confirm`} value={typed} onChange={(event) => setTyped(event.target.value)} spellCheck={false} autoCapitalize="off" autoFocus />
    </FormDialog>
  );
}

const pointCount = (count: number) => (count === 1 ? "The only point" : `All ${formatCount(count)} points`);
