// States of the page when something is wrong: offline, errors, quota, plan, scope and unknown addresses.
import assert from "node:assert/strict";
import { test } from "node:test";
import { call, createConnection, createProject, send, waitUntil } from "./support/installation.mjs";
import { suite } from "./support/suite.mjs";

const { openWindow, deleteAfterwards } = suite();

test("offline banner appears and disappears with the connection", async () => {
  const project = deleteAfterwards(await createProject("Offline", "pro"));
  const { page, context } = await openWindow(project.manageKey);
  await context.setOffline(true);
  await page.getByText("You are offline.").waitFor();
  await context.setOffline(false);
  await page.getByText("You are offline.").waitFor({ state: "detached" });
});

test("server error is shown and can be retried", async () => {
  const project = deleteAfterwards(await createProject("Refused", "pro"));
  const { page } = await openWindow(project.manageKey);
  let broken = true;
  await page.route("**/api/v1/metrics?*", (route) =>
    broken ? route.fulfill({ status: 400, contentType: "application/json", body: JSON.stringify({ error: "invalid_parameter", message: "It is broken on purpose.", requestId: "req-1" }) }) : route.continue(),
  );
  await page.goto("/metrics");
  await page.getByText("It is broken on purpose.").waitFor();
  await page.getByText("req-1").waitFor();
  broken = false;
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("heading", { name: "No metrics yet" }).waitFor();
});

test("exhausted quota is shown on every page", async () => {
  // The quota window must not end during the test.
  const left = 3_600_000 - (Date.now() % 3_600_000);
  if (left < 120_000) await new Promise((resolve) => setTimeout(resolve, left + 1000));
  const project = deleteAfterwards(await createProject("Quota", "free"));
  const { apiKey } = await createConnection(project.manageKey, "Busy");
  for (;;) {
    const response = await send(apiKey, project.projectId, [{ metricId: "a", value: 1 }]);
    if (response.status === 429) break;
    assert.equal(response.status, 200);
  }
  const { page } = await openWindow(project.manageKey);
  await page.getByText("You have used all 100 requests for this hour.").waitFor();
  await page.goto("/usage");
  await page.getByText("of 100 requests").waitFor();
  assert.equal(await page.getByRole("meter").getAttribute("aria-valuenow"), "100");
  await page.getByText("Quota exceeded").waitFor();
});

test("plan without alerts names the required plan", async () => {
  const project = deleteAfterwards(await createProject("Free", "free"));
  const { page } = await openWindow(project.manageKey);
  await page.getByRole("link", { name: "Alerts" }).click();
  await page.getByRole("heading", { name: "Alerts require the Pro plan" }).waitFor();
});

test("read-only key sees no controls for changes", async () => {
  const project = deleteAfterwards(await createProject("Reader", "pro"));
  const { key } = await call("POST", "/keys", project.manageKey, { name: "Reader", scopes: ["read"] });
  const dashboard = await call("POST", "/dashboards", project.manageKey, { name: "Shown", widgets: [{ type: "number", series: [{ metricId: "a" }] }] });
  const { apiKey } = await createConnection(project.manageKey, "Sender");
  await send(apiKey, project.projectId, [{ metricId: "a", value: 1 }]);
  await waitUntil("the metric is in the catalogue", async () => (await call("GET", "/metrics", project.manageKey)).items.length === 1);
  const { page } = await openWindow(key);
  for (const path of ["/dashboards", "/metrics/a", "/integrations", `/dashboards/${dashboard.dashboardId}`, "/alerts", "/alerts/channels", "/integrations/custom-webhooks", "/settings", "/inbox"]) {
    await page.goto(path);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.getByRole("status", { name: "Loading" }).first().waitFor({ state: "detached" });
    const controls = await page.locator("main").getByRole("button", { name: /new|add|edit|create|connect|rename|delete|actions|mark/i }).or(page.locator("main").getByRole("link", { name: /new|connect$/i })).count();
    assert.equal(controls, 0, path);
  }
});

test("unknown addresses and deleted items show an error", async () => {
  const project = deleteAfterwards(await createProject("Lost", "pro"));
  const { page } = await openWindow(project.manageKey);
  await page.goto("/nowhere");
  await page.getByRole("heading", { name: "This page does not exist" }).waitFor();
  for (const path of ["/dashboards/dsh_gone", "/metrics/gone", "/alerts/alr_gone", "/integrations/custom-webhooks/con_gone"]) {
    await page.goto(path);
    await page.getByRole("heading", { name: "Not found" }).waitFor();
  }
});
