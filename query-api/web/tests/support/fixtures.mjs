// Dashboards, channels, alerts and usage notices of a project, and the pages that show them.
import { call, send, waitUntil } from "./installation.mjs";

const series = (metricId, aggregation) => ({ metricId, aggregation });

const DASHBOARD = {
  name: "Shop Overview",
  widgets: [
    { id: "w1", type: "number", title: "Revenue", series: [series("revenue", "sum")], range: "24h", interval: "auto", x: 0, y: 0, w: 3, h: 3 },
    { id: "w2", type: "number", title: "Signups", series: [series("daily_signups", "sum")], range: "24h", interval: "auto", x: 3, y: 0, w: 3, h: 3 },
    { id: "w3", type: "number", title: "API Response Time", series: [series("api_response_time", "p90")], range: "24h", interval: "auto", x: 6, y: 0, w: 3, h: 3 },
    { id: "w4", type: "number", title: "Error Rate", series: [series("error_rate", "avg")], range: "24h", interval: "auto", x: 9, y: 0, w: 3, h: 3 },
    { id: "w5", type: "area", title: "Revenue", series: [series("revenue", "sum")], range: "7d", interval: "hour", x: 0, y: 3, w: 8, h: 6 },
    { id: "w6", type: "gauge", title: "Disk", series: [series("disk_used", "last")], range: "24h", interval: "auto", x: 8, y: 3, w: 4, h: 6 },
    { id: "w7", type: "line", title: "Response time", series: [series("api_response_time", "p50"), series("api_response_time", "p90"), series("api_response_time", "p99")], range: "7d", interval: "hour", x: 0, y: 9, w: 6, h: 6 },
    { id: "w8", type: "bar", title: "Signups per day", series: [series("daily_signups", "sum")], range: "30d", interval: "day", x: 6, y: 9, w: 6, h: 6 },
    { id: "w9", type: "table", title: "At a glance", series: [series("revenue", "sum"), series("daily_signups", "sum"), series("error_rate", "avg"), series("queue_depth", "max")], range: "7d", interval: "auto", x: 0, y: 15, w: 6, h: 5 },
    { id: "w10", type: "line", title: "Queue", series: [series("queue_depth", "max")], range: "7d", interval: "auto", x: 6, y: 15, w: 6, h: 5 },
  ],
};

/** Creates dashboards and alert rules, two of which fire. Returns the pages of the project. */
export async function createFixtures({ projectId, manageKey, connections }) {
  const { dashboardId } = await call("POST", "/dashboards", manageKey, DASHBOARD);
  await call("POST", "/dashboards", manageKey, { name: "On Call", widgets: DASHBOARD.widgets.slice(4, 8).map((widget) => ({ ...widget, y: widget.y - 3 })) });
  const channel = await call("POST", "/channels", manageKey, { name: "On call", kind: "in_app" });
  await call("POST", "/channels", manageKey, { name: "Ops in Slack", kind: "slack", url: "https://hooks.slack.com/services/T000/B000/secret" });
  const createRule = (part) => call("POST", "/alerts", manageKey, { aggregation: "avg", range: "1h", channels: [channel.channelId], ...part });
  const slowApi = await createRule({ name: "API is slow", metricId: "api_response_time", aggregation: "last", operator: ">", threshold: 90, range: "24h" });
  await createRule({ name: "Disk almost full", metricId: "disk_used", aggregation: "max", operator: ">=", threshold: 95, range: "24h" });
  await createRule({ name: "Backup is missing", metricId: "backup_finished", aggregation: "count", operator: "<", threshold: 1, range: "24h", enabled: false });
  // Rules are evaluated when points arrive.
  await send(connections.shop.apiKey, projectId, [{ metricId: "api_response_time", value: 184 }]);
  const waitForNotification = async (subject) => {
    const inbox = await waitUntil(`the inbox has a notification about ${subject}`, async () => {
      const inbox = await call("GET", "/inbox", manageKey);
      return inbox.unread > 0 && inbox;
    });
    return inbox.items[0].at;
  };
  // One alert is acknowledged, the other one is not.
  await call("POST", "/inbox/read", manageKey, { until: await waitForNotification("the slow API") });
  await call("POST", `/alerts/${slowApi.alertId}/acknowledge`, manageKey, { note: "Ann is looking into it" });
  const fewSignups = await createRule({ name: "Too few signups", metricId: "daily_signups", aggregation: "sum", operator: "<", threshold: 1000, range: "24h" });
  await send(connections.shop.apiKey, projectId, [{ metricId: "daily_signups", value: 3 }]);
  await waitForNotification("too few signups");
  // A sender continues with a revoked key.
  await waitUntil("the key is rejected", async () => (await send(connections.zapier.apiKey, projectId, [])).status === 401);
  await Promise.all(Array.from({ length: 30 }, () => send(connections.zapier.apiKey, projectId, [])));
  await waitUntil("the usage report has a notice", async () => (await call("GET", "/usage", manageKey)).notices.length > 0);
  const waitForChart = async (page) => {
    await page.locator("canvas").first().waitFor();
  };
  return [
    { name: "dashboards", path: "/dashboards" },
    { name: "dashboard", path: `/dashboards/${dashboardId}`, prepare: waitForChart },
    { name: "dashboard-edit", path: `/dashboards/${dashboardId}?edit=1&range=7d`, prepare: waitForChart },
    {
      name: "widget-editor",
      path: `/dashboards/${dashboardId}`,
      prepare: async (page) => {
        await page.getByRole("button", { name: "Actions for Response time" }).click();
        await page.getByRole("menuitem", { name: "Edit" }).click();
        await page.getByRole("dialog").locator("canvas").waitFor();
      },
    },
    { name: "metrics", path: "/metrics" },
    { name: "metric", path: "/metrics/api_response_time?range=7d", prepare: waitForChart },
    {
      name: "metric-delete",
      path: "/metrics/api_response_time",
      prepare: async (page) => {
        await page.getByRole("button", { name: "More actions" }).click();
        await page.getByRole("menuitem", { name: "Delete" }).click();
        await page.getByRole("dialog").waitFor();
      },
    },
    { name: "integrations", path: "/integrations" },
    { name: "webhooks", path: "/integrations/custom-webhooks" },
    { name: "connection", path: `/integrations/custom-webhooks/${connections.shop.connectionId}`, prepare: waitForChart },
    {
      name: "connect",
      path: "/integrations/custom-webhooks/connect",
      prepare: async (page) => {
        await page.getByLabel("Name").fill("Nightly Backup");
        await page.getByRole("button", { name: "Create" }).click();
        await page.getByRole("heading", { name: "Send your first metric" }).waitFor();
        await page.getByRole("tab", { name: "Zapier" }).click();
      },
    },
    { name: "alerts", path: "/alerts" },
    { name: "alert", path: `/alerts/${fewSignups.alertId}`, prepare: waitForChart },
    { name: "alert-acknowledged", path: `/alerts/${slowApi.alertId}`, prepare: waitForChart },
    { name: "alert-edit", path: `/alerts/${slowApi.alertId}/edit`, prepare: waitForChart },
    { name: "channels", path: "/alerts/channels" },
    {
      name: "channel-new",
      path: "/alerts/channels",
      prepare: async (page) => {
        await page.getByRole("button", { name: "New channel" }).click();
        await page.getByRole("dialog").getByLabel("Type").selectOption("webhook");
      },
    },
    { name: "inbox", path: "/inbox" },
    { name: "usage", path: "/usage", prepare: waitForChart },
    { name: "settings", path: "/settings" },
  ];
}
