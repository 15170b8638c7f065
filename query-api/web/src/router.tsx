import { createBrowserRouter, Navigate } from "react-router";
import { NotFound, RouteError } from "./pages/NotFound.tsx";
import { Shell } from "./shell/Shell.tsx";

/** Routes of the page. Each page is a separate chunk, which is loaded when it is first opened. */
export const router = createBrowserRouter([
  {
    element: <Shell />,
    errorElement: <RouteError />,
    hydrateFallbackElement: <></>,
    children: [
      {
        errorElement: <RouteError />,
        children: [
          { index: true, element: <Navigate to="/dashboards" replace /> },
          { path: "dashboards", lazy: async () => ({ Component: (await import("./pages/dashboards/Dashboards.tsx")).Dashboards }) },
          { path: "dashboards/:dashboardId", lazy: async () => ({ Component: (await import("./pages/dashboards/Dashboard.tsx")).DashboardPage }) },
          { path: "metrics", lazy: async () => ({ Component: (await import("./pages/metrics/Metrics.tsx")).Metrics }) },
          { path: "metrics/:metricId", lazy: async () => ({ Component: (await import("./pages/metrics/Metric.tsx")).MetricPage }) },
          { path: "integrations", lazy: async () => ({ Component: (await import("./pages/integrations/Integrations.tsx")).Integrations }) },
          { path: "integrations/custom-webhooks", lazy: async () => ({ Component: (await import("./pages/integrations/Webhooks.tsx")).Webhooks }) },
          { path: "integrations/custom-webhooks/connect", lazy: async () => ({ Component: (await import("./pages/integrations/Connect.tsx")).Connect }) },
          { path: "integrations/custom-webhooks/:connectionId", lazy: async () => ({ Component: (await import("./pages/integrations/Connection.tsx")).ConnectionPage }) },
          { path: "alerts", lazy: async () => ({ Component: (await import("./pages/alerts/Alerts.tsx")).Alerts }) },
          { path: "alerts/new", lazy: async () => ({ Component: (await import("./pages/alerts/AlertEditor.tsx")).NewAlertPage }) },
          { path: "alerts/channels", lazy: async () => ({ Component: (await import("./pages/alerts/Channels.tsx")).Channels }) },
          { path: "alerts/:alertId", lazy: async () => ({ Component: (await import("./pages/alerts/Alert.tsx")).AlertPage }) },
          { path: "alerts/:alertId/edit", lazy: async () => ({ Component: (await import("./pages/alerts/AlertEditor.tsx")).EditAlertPage }) },
          { path: "inbox", lazy: async () => ({ Component: (await import("./pages/inbox/Inbox.tsx")).Inbox }) },
          { path: "usage", lazy: async () => ({ Component: (await import("./pages/usage/Usage.tsx")).Usage }) },
          { path: "settings", lazy: async () => ({ Component: (await import("./pages/settings/Settings.tsx")).Settings }) },
          { path: "*", element: <NotFound /> },
        ],
      },
    ],
  },
]);
