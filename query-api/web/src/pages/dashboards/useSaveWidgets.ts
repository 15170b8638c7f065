import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useRef, useState } from "react";
import { ApiError, errorMessage } from "../../api/error.ts";
import type { Dashboard, Widget } from "../../api/types.ts";
import { showToast } from "../../ui/toast.ts";
import { dashboardQuery, replaceDashboard } from "./queries.ts";

/**
 * Shows changes of widgets immediately and saves them one after the other, each based on the version before. Changes by
 * other users are not overwritten: the page loads them, and the user has to make the lost change again.
 */
export function useSaveWidgets(dashboardId: string): { save: (widgets: Widget[]) => void; saving: boolean } {
  const client = useQueryClient();
  const [saving, setSaving] = useState(false);
  const pending = useRef<Widget[]>(undefined);
  const running = useRef(false);
  const { queryKey } = dashboardQuery(dashboardId);

  const run = useCallback(async () => {
    if (running.current) return;
    running.current = true;
    setSaving(true);
    // The cached version is always the server's. The cached widgets may be newer.
    while (pending.current) {
      const widgets = pending.current;
      pending.current = undefined;
      const from = client.getQueryData<Dashboard>(queryKey);
      if (!from) break;
      try {
        const saved = await replaceDashboard(from, { name: from.name, widgets });
        client.setQueryData<Dashboard>(queryKey, pending.current ? { ...saved, widgets: pending.current } : saved);
      } catch (error) {
        pending.current = undefined;
        const outdated = error instanceof ApiError && error.code === "version_mismatch";
        showToast(outdated ? "Someone else changed this dashboard. The page shows the new version; make your change again." : `Could not save: ${errorMessage(error)}`, "error");
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
      pending.current = widgets;
      void run();
    },
    [client, queryKey, run],
  );
  return { save, saving };
}
