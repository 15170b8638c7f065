// What one sees when things are not as they should be.
import assert from "node:assert/strict";
import { test } from "node:test";
import { call, createConnection, createProject, send, until } from "./support/installation.mjs";
import { suite } from "./support/suite.mjs";

const { window, owns } = suite();

test("without a connection the page says so, and goes on by itself", async () => {
  const project = owns(await createProject("Offline", "pro"));
  const { page, context } = await window(project.manageKey);
  await context.setOffline(true);
  await page.getByText("You are offline.").waitFor();
  await context.setOffline(false);
  await page.getByText("You are offline.").waitFor({ state: "detached" });
});

test("what the server refuses is told, and can be tried again", async () => {
  const project = owns(await createProject("Refused", "pro"));
  const { page } = await window(project.manageKey);
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

test("an hour that is used up is told on every page, with when it ends", async () => {
  // The hour must not turn meanwhile.
  const left = 3_600_000 - (Date.now() % 3_600_000);
  if (left < 120_000) await new Promise((resolve) => setTimeout(resolve, left + 1000));
  const project = owns(await createProject("Quota", "free"));
  const { apiKey } = await createConnection(project.manageKey, "Busy");
  for (;;) {
    const response = await send(apiKey, project.projectId, [{ metricId: "a", value: 1 }]);
    if (response.status === 429) break;
    assert.equal(response.status, 200);
  }
  const { page } = await window(project.manageKey);
  await page.getByText("This hour’s 100 requests are used up.").waitFor();
  await page.goto("/usage");
  await page.getByText("of 100 requests").waitFor();
  assert.equal(await page.getByRole("meter").getAttribute("aria-valuenow"), "100");
  await page.getByText("Over quota").waitFor();
});

test("a plan without alerts says which one has them", async () => {
  const project = owns(await createProject("Free", "free"));
  const { page } = await window(project.manageKey);
  await page.getByRole("link", { name: "Alerts" }).click();
  await page.getByRole("heading", { name: "Alerts come with the plan Pro" }).waitFor();
});

test("a key that may only read is offered nothing to change", async () => {
  const project = owns(await createProject("Reader", "pro"));
  const { key } = await call("POST", "/keys", project.manageKey, { name: "Reader", scopes: ["read"] });
  const dashboard = await call("POST", "/dashboards", project.manageKey, { name: "Shown", widgets: [{ type: "number", series: [{ metricId: "a" }] }] });
  const { apiKey } = await createConnection(project.manageKey, "Sender");
  await send(apiKey, project.projectId, [{ metricId: "a", value: 1 }]);
  await until("there is a metric", async () => (await call("GET", "/metrics", project.manageKey)).items.length === 1);
  const { page } = await window(key);
  for (const path of ["/dashboards", "/metrics/a", "/integrations", `/dashboards/${dashboard.dashboardId}`, "/alerts", "/alerts/channels", "/integrations/custom-webhooks", "/settings", "/inbox"]) {
    await page.goto(path);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.getByRole("status", { name: "Loading" }).first().waitFor({ state: "detached" });
    const offered = await page.locator("main").getByRole("button", { name: /new|add|edit|create|connect|rename|delete|actions|mark/i }).or(page.locator("main").getByRole("link", { name: /new|connect$/i })).count();
    assert.equal(offered, 0, path);
  }
});

test("an address without a page says so, whether it is nobody's or something that was deleted", async () => {
  const project = owns(await createProject("Lost", "pro"));
  const { page } = await window(project.manageKey);
  await page.goto("/nowhere");
  await page.getByRole("heading", { name: "There is no such page" }).waitFor();
  for (const path of ["/dashboards/dsh_gone", "/metrics/gone", "/alerts/alr_gone", "/integrations/custom-webhooks/con_gone"]) {
    await page.goto(path);
    await page.getByRole("heading", { name: "There is nothing here" }).waitFor();
  }
});
