import { createBrowserRouter, Navigate } from "react-router";
import { NotFound, RouteFailed } from "./pages/NotFound.tsx";
import { Shell } from "./shell/Shell.tsx";

/** Pages are loaded when they are first opened. */
export const router = createBrowserRouter([
  {
    element: <Shell />,
    errorElement: <RouteFailed />,
    hydrateFallbackElement: <></>,
    children: [
      {
        errorElement: <RouteFailed />,
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
          { path: "usage", lazy: async () => ({ Component: (await import("./pages/usage/Usage.tsx")).Usage }) },
          { path: "settings", lazy: async () => ({ Component: (await import("./pages/settings/Settings.tsx")).Settings }) },
          { path: "*", element: <NotFound /> },
        ],
      },
    ],
  },
]);
