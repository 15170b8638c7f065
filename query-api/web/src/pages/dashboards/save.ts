import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useRef, useState } from "react";
import { ApiError, messageOf } from "../../api/error.ts";
import type { Dashboard, Widget } from "../../api/types.ts";
import { tell } from "../../ui/toast.ts";
import { dashboardQuery, replaceDashboard } from "./queries.ts";

/**
 * Changes of widgets are shown at once and saved one after the other, each upon the version before. What somebody else
 * has changed meanwhile is not overwritten: it is shown, and the change has to be made again.
 */
export function useSaveWidgets(dashboardId: string): { save: (widgets: Widget[]) => void; saving: boolean } {
  const client = useQueryClient();
  const [saving, setSaving] = useState(false);
  const waiting = useRef<Widget[]>(undefined);
  const running = useRef(false);
  const { queryKey } = dashboardQuery(dashboardId);

  const run = useCallback(async () => {
    if (running.current) return;
    running.current = true;
    setSaving(true);
    // The version is the server's; the widgets in the cache may be ahead of it.
    while (waiting.current) {
      const widgets = waiting.current;
      waiting.current = undefined;
      const from = client.getQueryData<Dashboard>(queryKey);
      if (!from) break;
      try {
        const saved = await replaceDashboard(from, { name: from.name, widgets });
        client.setQueryData<Dashboard>(queryKey, waiting.current ? { ...saved, widgets: waiting.current } : saved);
      } catch (error) {
        waiting.current = undefined;
        const outdated = error instanceof ApiError && error.code === "version_mismatch";
        tell(outdated ? "Somebody else has changed this dashboard: here is how it is now" : `Not saved: ${messageOf(error)}`, "error");
        await client.invalidateQueries({ queryKey });
      }
    }
    running.current = false;
    setSaving(false);
    void client.invalidateQueries({ queryKey: ["dashboards"], exact: true });
  }, [client, queryKey]);

  const save = useCallback(
    (widgets: Widget[]) => {
      client.setQueryData<Dashboard>(queryKey, (dashboard) => dashboard && { ...dashboard, widgets });
      waiting.current = widgets;
      void run();
    },
    [client, queryKey, run],
  );
  return { save, saving };
}
