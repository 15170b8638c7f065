// The path of a new user on the real pipeline: sign-in, connection, first metric, dashboard, alert; key rotation and
// sessions.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { call, createProject, send, waitUntil } from "./support/installation.mjs";
import { suite } from "./support/suite.mjs";

const run = promisify(execFile);
const { openWindow, deleteAfterwards } = suite();

const copyFieldValue = (page, label) => page.locator(".copy-field", { hasText: label }).locator("code").innerText();

/** Creates a connection through the page. Returns the displayed webhook URL, key and project id. */
async function connect(page, name) {
  await page.getByRole("link", { name: "Integrations" }).click();
  await page.getByRole("link", { name: "Connect" }).click();
  await page.getByLabel("Name").fill(name);
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { name: "Waiting for your first metric" }).waitFor();
  return { webhookUrl: await copyFieldValue(page, "Webhook URL"), apiKey: await copyFieldValue(page, "API key"), projectId: await copyFieldValue(page, "Project ID") };
}

async function snippetCode(page, name) {
  await page.getByRole("tab", { name, exact: true }).click();
  return page.getByRole("tabpanel").locator("pre").innerText();
}

test("new user gets from sign-in to a dashboard and an alert", async (t) => {
  const project = deleteAfterwards(await createProject("Onboarding", "pro"));
  const { page, context } = await openWindow();
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);

  await page.goto("/");
  await page.getByLabel("Project key").fill("tm_wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("API key is unknown").waitFor();
  await page.getByLabel("Project key").fill(project.manageKey);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Send your first metric" }).waitFor();

  const connection = await connect(page, "Cron Job Metrics");
  assert.equal(connection.projectId, project.projectId);
  await page.getByText("appears here within a second").waitFor();
  await page.getByRole("button", { name: "Copy curl: Shell" }).click();
  const copied = await waitUntil("the command is copied", async () => {
    const text = await page.evaluate(() => navigator.clipboard.readText());
    return text.includes("curl") && text;
  });
  const { stdout } = await run("sh", ["-c", copied]);
  const acknowledgedAt = Date.now();
  assert.equal(JSON.parse(stdout).accepted, 1);
  await page.getByRole("heading", { name: "Metric received" }).waitFor();
  t.diagnostic(`from the 200 to the connection page: ${Date.now() - acknowledgedAt} ms`);
  await page.locator(".received-point", { hasText: "Daily Signups" }).getByText("42", { exact: true }).waitFor();

  await page.getByRole("link", { name: "Add to a dashboard" }).click();
  await page.getByRole("button", { name: "Create dashboard" }).click();
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  const number = page.getByRole("article", { name: "Daily Signups" }).locator(".number-value");
  await page.getByText("Live").waitFor();
  await waitUntil("the number shows the first point", async () => (await number.innerText()) === "42");
  const response = await send(connection.apiKey, project.projectId, [{ metricId: "daily_signups", value: 8 }]);
  const sentAt = Date.now();
  assert.equal(response.status, 200);
  await waitUntil("the number is updated", async () => (await number.innerText()) === "50");
  t.diagnostic(`from the 200 to the dashboard: ${Date.now() - sentAt} ms`);

  await page.getByRole("link", { name: "Alerts" }).click();
  await page.getByRole("link", { name: "Channels" }).click();
  await page.getByRole("button", { name: "New channel" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("My inbox");
  await page.getByRole("dialog").getByRole("button", { name: "Create" }).click();
  await page.getByRole("cell", { name: "My inbox", exact: true }).waitFor();
  await page.getByRole("link", { name: "Rules" }).click();
  await page.getByRole("link", { name: "New alert" }).click();
  await page.getByRole("combobox", { name: "Metric", exact: true }).fill("daily_signups");
  await page.keyboard.press("Escape");
  await page.getByLabel("Aggregation").selectOption("last");
  await page.getByLabel("Threshold").fill("100");
  await page.getByLabel("Name", { exact: true }).fill("Many signups");
  await page.getByText("This rule would not have fired.").waitFor();
  await page.getByLabel("My inbox").check();
  await page.getByRole("button", { name: "Create alert" }).click();
  await page.getByRole("heading", { level: 1, name: "Many signups" }).waitFor();
  await page.getByRole("heading", { level: 1 }).getByText("OK").waitFor();

  await send(connection.apiKey, project.projectId, [{ metricId: "daily_signups", value: 150 }]);
  await page.getByRole("heading", { level: 1 }).getByText("Firing").waitFor();
  await page.locator(".transition").getByText("delivered").waitFor();
  await page.getByRole("link", { name: "Inbox , unread: 1" }).waitFor();
  await page.getByRole("button", { name: "Acknowledge" }).click();
  await page.getByLabel("Note (optional)").fill("Ann is looking into it");
  await page.getByRole("dialog").getByRole("button", { name: "Acknowledge" }).click();
  await page.getByRole("heading", { level: 1 }).getByText("Firing, acknowledged").waitFor();
  await page.getByText("“Ann is looking into it”").waitFor();

  await page.getByRole("link", { name: "Inbox" }).click();
  await page.locator(".notification", { hasText: "Many signups" }).waitFor();
  await page.getByRole("button", { name: "Mark all as read" }).click();
  await page.getByRole("link", { name: "Inbox", exact: true }).waitFor();
});

test("every snippet sends its metric", async () => {
  const project = deleteAfterwards(await createProject("Snippets", "unlimited"));
  const { page } = await openWindow(project.manageKey);
  const { webhookUrl, apiKey } = await connect(page, "Tools");
  const points = async () => (await call("GET", "/metrics", project.manageKey)).items[0]?.points ?? 0;
  let count = 0;
  const waitForPoint = async (name) => {
    count += 1;
    await waitUntil(`the point of ${name} has arrived`, async () => (await points()) === count);
  };
  const post = (body) => fetch(webhookUrl, { method: "POST", headers: { Authorization: `Bearer ${apiKey}`, "Content-Type": "application/json" }, body });

  await run("sh", ["-c", await snippetCode(page, "curl")]);
  await waitForPoint("curl");
  await run("node", ["--input-type=module", "-e", await snippetCode(page, "JavaScript")]);
  await waitForPoint("JavaScript");
  await run("python3", ["-c", await snippetCode(page, "Python")]);
  await waitForPoint("Python");
  for (const tool of ["Zapier", "Make", "n8n"]) {
    assert.equal((await post(await snippetCode(page, tool))).status, 200, tool);
    await waitForPoint(tool);
  }
});

test("key is rotated and revoked, and connection is deleted", async () => {
  const project = deleteAfterwards(await createProject("Keys", "unlimited"));
  const { page } = await openWindow(project.manageKey);
  const { apiKey } = await connect(page, "Nightly");
  const status = async (key) => (await send(key, project.projectId, [{ metricId: "a", value: 1 }])).status;
  assert.equal(await status(apiKey), 200);

  await page.getByRole("link", { name: "Done" }).click();
  const chooseAction = async (name) => {
    await page.getByRole("button", { name: "Actions for Nightly" }).click();
    await page.getByRole("menuitem", { name }).click();
  };
  await chooseAction("Rotate key");
  await page.getByLabel("Grace period of the old key").selectOption("600");
  await page.getByRole("dialog").getByRole("button", { name: "Rotate key" }).click();
  await page.getByRole("heading", { name: "New API key" }).waitFor();
  const second = await copyFieldValue(page, "API key");
  await page.getByRole("button", { name: "Done" }).click();
  assert.deepEqual([await status(apiKey), await status(second)], [200, 200]);

  await chooseAction("Rotate key");
  await page.getByRole("dialog").getByRole("button", { name: "Rotate key" }).click();
  const third = await copyFieldValue(page, "API key");
  await page.getByRole("button", { name: "Done" }).click();
  await waitUntil("the second key is rejected", async () => (await status(second)) === 401);
  assert.equal(await status(third), 200);

  await chooseAction("Revoke");
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("row", { name: /Nightly/ }).getByText("Revoked").waitFor();
  await waitUntil("the third key is rejected", async () => (await status(third)) === 401);

  await chooseAction("Delete");
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByRole("heading", { name: "No connections yet" }).waitFor();
});

test("session ends with its key and by signing out", async () => {
  const project = deleteAfterwards(await createProject("Sessions", "pro"));
  const created = await call("POST", "/keys", project.manageKey, { name: "Guest", scopes: ["read"] });
  const { page } = await openWindow(created.key);
  await call("DELETE", `/keys/${created.keyId}`, project.manageKey);
  await page.getByText("Your session has ended").waitFor();

  await page.getByLabel("Project key").fill(project.manageKey);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
});
