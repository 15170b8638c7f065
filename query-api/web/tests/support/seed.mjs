// Creates the project of a small shop: two weeks of points of six metrics.
import { call, createConnection, createProject, send, waitUntil } from "./installation.mjs";

const HOUR = 3_600_000;
const HOURS = 24 * 14;

const METRICS = [
  { metricId: "daily_signups", metricName: "Daily Signups", unit: "count", at: (day, noise) => Math.round(6 + 5 * day + 4 * noise) },
  { metricId: "revenue", metricName: "Revenue", unit: "USD", at: (day, noise) => Math.round((120 + 260 * day + 90 * noise) * 100) / 100 },
  { metricId: "api_response_time", metricName: "API Response Time", unit: "ms", at: (day, noise) => Math.round(95 + 60 * day + 40 * noise) },
  { metricId: "error_rate", metricName: "Error Rate", unit: "%", at: (day, noise) => Math.round((0.4 + 0.5 * day * noise + (noise > 0.93 ? 3.2 : 0)) * 100) / 100 },
  { metricId: "queue_depth", metricName: "Queue Depth", unit: "jobs", at: (day, noise) => Math.round(40 * day * day + 25 * noise) },
  { metricId: "disk_used", metricName: "Disk Used", unit: "%", at: (day, noise, hour) => Math.round((48 + (hour / HOURS) * 22 + noise) * 10) / 10 },
];

/** Creates the project and returns its keys. */
export async function seed(name, plan = "pro") {
  const project = await createProject(name, plan);
  const shop = await createConnection(project.manageKey, "Shop Backend");
  const cron = await createConnection(project.manageKey, "Cron Job Metrics");
  const zapier = await createConnection(project.manageKey, "Zapier");
  const now = Date.now();
  const points = [];
  const noise = randomSource(7);
  for (let hour = HOURS - 1; hour >= 0; hour--) {
    const timestamp = now - hour * HOUR - 60_000;
    // Highest at noon, lowest at midnight (UTC).
    const day = 0.5 - 0.5 * Math.cos((((timestamp / HOUR) % 24) / 24) * 2 * Math.PI);
    for (const { at, ...metric } of METRICS) points.push({ ...metric, timestamp, value: at(day, noise(), HOURS - hour) });
  }
  for (let from = 0; from < points.length; from += 100) {
    const response = await send(from % 300 === 0 ? cron.apiKey : shop.apiKey, project.projectId, points.slice(from, from + 100));
    if (!response.ok) throw new Error(`sending metrics failed: ${response.status} ${await response.text()}`);
  }
  // Rejected requests, so that the usage report contains errors.
  await send(zapier.apiKey, project.projectId, [{ metricId: "daily_signups", value: "42" }]);
  await send(zapier.apiKey, "prj_another", [{ metricId: "daily_signups", value: 42 }]);
  await call("POST", `/connections/${zapier.connectionId}/revoke`, project.manageKey);
  await waitUntil("all points are queryable", async () => {
    const { items } = await call("GET", "/metrics", project.manageKey);
    return items.length === METRICS.length && items.every((metric) => metric.points === HOURS);
  });
  return { ...project, connections: { shop, cron, zapier } };
}

/** Deterministic random numbers in [0, 1): the linear congruential generator of Numerical Recipes. */
function randomSource(state) {
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
