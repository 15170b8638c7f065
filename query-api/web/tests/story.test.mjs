// From a key to an own dashboard, with alerts: what a newcomer does, on the real pipeline.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { call, createProject, send, until } from "./support/installation.mjs";
import { suite } from "./support/suite.mjs";

const run = promisify(execFile);
const { window, owns } = suite();

const field = (page, label) => page.locator(".copy-field", { hasText: label }).locator("code").innerText();

/** Makes a connection as people do; gives what the page shows of it. */
async function connect(page, name) {
  await page.getByRole("link", { name: "Integrations" }).click();
  await page.getByRole("link", { name: "Connect" }).click();
  await page.getByLabel("Name").fill(name);
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { name: "Waiting for the first metric" }).waitFor();
  return { webhookUrl: await field(page, "Webhook URL"), apiKey: await field(page, "API key"), projectId: await field(page, "Project id") };
}

async function snippet(page, name) {
  await page.getByRole("tab", { name, exact: true }).click();
  return page.getByRole("tabpanel").locator("pre").innerText();
}

test("from a key to a metric on an own dashboard, and to an alert that fires and is acknowledged", async (t) => {
  const project = owns(await createProject("Story", "pro"));
  const { page, context } = await window();
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);

  await page.goto("/");
  await page.getByLabel("Project key").fill("tm_wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("This API key is not known").waitFor();
  await page.getByLabel("Project key").fill(project.manageKey);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "get your first metric in" }).waitFor();

  const connection = await connect(page, "Cron Job Metrics");
  assert.equal(connection.projectId, project.projectId);
  await page.getByText("appears here within a second").waitFor();
  await page.getByRole("button", { name: "Copy curl: Shell" }).click();
  const copied = await until("the line is copied", async () => {
    const text = await page.evaluate(() => navigator.clipboard.readText());
    return text.includes("curl") && text;
  });
  const { stdout } = await run("sh", ["-c", copied]);
  const answered = Date.now();
  assert.equal(JSON.parse(stdout).accepted, 1);
  await page.getByRole("heading", { name: "It arrived" }).waitFor();
  t.diagnostic(`from the 200 to the waiting panel: ${Date.now() - answered} ms`);
  await page.locator(".arrival", { hasText: "Daily Signups" }).getByText("42", { exact: true }).waitFor();

  await page.getByRole("link", { name: "Put it on a dashboard" }).click();
  await page.getByRole("button", { name: "Make it" }).click();
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  const number = page.getByRole("article", { name: "Daily Signups" }).locator(".number-value");
  await page.getByText("Live").waitFor();
  await until("the number shows the first point", async () => (await number.innerText()) === "42");
  const response = await send(connection.apiKey, project.projectId, [{ metricId: "daily_signups", value: 8 }]);
  const sent = Date.now();
  assert.equal(response.status, 200);
  await until("the number grows by itself", async () => (await number.innerText()) === "50");
  t.diagnostic(`from the 200 to the dashboard: ${Date.now() - sent} ms`);

  await page.getByRole("link", { name: "Alerts" }).click();
  await page.getByRole("link", { name: "Channels" }).click();
  await page.getByRole("button", { name: "New channel" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("The page");
  await page.getByRole("dialog").getByRole("button", { name: "Create" }).click();
  await page.getByRole("cell", { name: "The page", exact: true }).waitFor();
  await page.getByRole("link", { name: "Rules" }).click();
  await page.getByRole("link", { name: "New alert" }).click();
  await page.getByRole("combobox", { name: "Metric", exact: true }).fill("daily_signups");
  await page.keyboard.press("Escape");
  await page.getByLabel("Aggregation").selectOption("last");
  await page.getByLabel("Threshold").fill("100");
  await page.getByLabel("Name", { exact: true }).fill("Many signups");
  await page.getByText("It would not have fired.").waitFor();
  await page.getByLabel("The page").check();
  await page.getByRole("button", { name: "Create alert" }).click();
  await page.getByRole("heading", { level: 1, name: "Many signups" }).waitFor();
  await page.getByRole("heading", { level: 1 }).getByText("OK").waitFor();

  await send(connection.apiKey, project.projectId, [{ metricId: "daily_signups", value: 150 }]);
  await page.getByRole("heading", { level: 1 }).getByText("Firing").waitFor();
  await page.locator(".change").getByText("delivered").waitFor();
  await page.getByRole("link", { name: "Inbox , unread: 1" }).waitFor();
  await page.getByRole("button", { name: "Acknowledge" }).click();
  await page.getByLabel("Note (optional)").fill("Ann looks into it");
  await page.getByRole("dialog").getByRole("button", { name: "Acknowledge" }).click();
  await page.getByRole("heading", { level: 1 }).getByText("Firing, acknowledged").waitFor();
  await page.getByText("“Ann looks into it”").waitFor();

  await page.getByRole("link", { name: "Inbox" }).click();
  await page.locator(".notice", { hasText: "Many signups" }).waitFor();
  await page.getByRole("button", { name: "Mark all as read" }).click();
  await page.getByRole("link", { name: "Inbox", exact: true }).waitFor();
});

test("every snippet sends what it says it sends", async () => {
  const project = owns(await createProject("Snippets", "unlimited"));
  const { page } = await window(project.manageKey);
  const { webhookUrl, apiKey } = await connect(page, "Tools");
  const points = async () => (await call("GET", "/metrics", project.manageKey)).items[0]?.points ?? 0;
  let count = 0;
  const arrives = async (name) => {
    count += 1;
    await until(`the point of ${name}`, async () => (await points()) === count);
  };
  const post = (body) => fetch(webhookUrl, { method: "POST", headers: { Authorization: `Bearer ${apiKey}`, "Content-Type": "application/json" }, body });

  await run("sh", ["-c", await snippet(page, "curl")]);
  await arrives("curl");
  await run("node", ["--input-type=module", "-e", await snippet(page, "JavaScript")]);
  await arrives("JavaScript");
  await run("python3", ["-c", await snippet(page, "Python")]);
  await arrives("Python");
  for (const tool of ["Zapier", "Make", "n8n"]) {
    assert.equal((await post(await snippet(page, tool))).status, 200, tool);
    await arrives(tool);
  }
});

test("a key is rotated with grace, then revoked, and the connection deleted", async () => {
  const project = owns(await createProject("Keys", "unlimited"));
  const { page } = await window(project.manageKey);
  const { apiKey } = await connect(page, "Nightly");
  const status = async (key) => (await send(key, project.projectId, [{ metricId: "a", value: 1 }])).status;
  assert.equal(await status(apiKey), 200);

  await page.getByRole("link", { name: "Done" }).click();
  const act = async (name) => {
    await page.getByRole("button", { name: "Actions for Nightly" }).click();
    await page.getByRole("menuitem", { name }).click();
  };
  await act("Rotate key");
  await page.getByLabel("Grace for the old key").selectOption("600");
  await page.getByRole("dialog").getByRole("button", { name: "Rotate key" }).click();
  await page.getByRole("heading", { name: "The new key" }).waitFor();
  const second = await field(page, "API key");
  await page.getByRole("button", { name: "Done" }).click();
  assert.deepEqual([await status(apiKey), await status(second)], [200, 200]);

  await act("Rotate key");
  await page.getByRole("dialog").getByRole("button", { name: "Rotate key" }).click();
  const third = await field(page, "API key");
  await page.getByRole("button", { name: "Done" }).click();
  await until("the second key is refused", async () => (await status(second)) === 401);
  assert.equal(await status(third), 200);

  await act("Revoke");
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("row", { name: /Nightly/ }).getByText("Revoked").waitFor();
  await until("the third key is refused", async () => (await status(third)) === 401);

  await act("Delete");
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByRole("heading", { name: "No connections yet" }).waitFor();
});

test("a session ends with its key, and by signing out", async () => {
  const project = owns(await createProject("Sessions", "pro"));
  const made = await call("POST", "/keys", project.manageKey, { name: "Guest", scopes: ["read"] });
  const { page } = await window(made.key);
  await call("DELETE", `/keys/${made.keyId}`, project.manageKey);
  await page.getByText("Your session has ended").waitFor();

  await page.getByLabel("Project key").fill(project.manageKey);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
});
