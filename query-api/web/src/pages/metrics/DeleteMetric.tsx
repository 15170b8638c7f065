import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { api, of } from "../../api/client.ts";
import { metricQuery, useRefresh } from "../../api/queries.ts";
import type { Metric } from "../../api/types.ts";
import { formatCount } from "../../format/numbers.ts";
import { formatDate } from "../../format/times.ts";
import { FormDialog } from "../../ui/Dialog.tsx";
import { TextField } from "../../ui/Field.tsx";
import { tell } from "../../ui/toast.ts";

/** Points cannot be brought back, so the id has to be typed before they go. */
export function DeleteMetric({ metric, onClose }: { metric: Metric; onClose: () => void }) {
  const [typed, setTyped] = useState("");
  const client = useQueryClient();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const { metricId, metricName } = metric;
  const remove = useMutation({
    mutationFn: () => of(api.DELETE("/api/v1/metrics/{metricId}", { params: { path: { metricId } } })),
    onSuccess: async () => {
      tell(`“${metricName}” is deleted`);
      await navigate("/metrics");
      client.removeQueries({ queryKey: metricQuery(metricId).queryKey });
      void refresh(["metrics"], ["catalogue"], ["series"]);
    },
  });
  return (
    <FormDialog title={`Delete “${metricName}”?`} action="Delete" danger busy={remove.isPending} error={remove.error} disabled={typed.trim() !== metricId} onClose={onClose} onSubmit={() => remove.mutate()}>
      <p>{points(metric.points)} since {formatDate(metric.firstSeenAt)} {metric.points === 1 ? "goes" : "go"} for good, for everybody. Widgets and alerts that use the metric stay without values. If it is sent again, it begins anew.</p>
      <TextField label={`Type ${metricId} to confirm`} value={typed} onChange={(event) => setTyped(event.target.value)} spellCheck={false} autoCapitalize="off" autoFocus />
    </FormDialog>
  );
}

const points = (count: number) => (count === 1 ? "Its one point" : `Its ${formatCount(count)} points`);
