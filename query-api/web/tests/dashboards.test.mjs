// Dashboards, widgets, and the metric pages.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { call, send, waitUntil } from "./support/installation.mjs";
import { seed } from "./support/seed.mjs";
import { suite } from "./support/suite.mjs";

const { openWindow, deleteAfterwards } = suite();
let shop;

before(async () => {
  shop = deleteAfterwards(await seed("Dashboards", "unlimited"));
});

const widget = (index, part = {}) => ({
  id: `w${index}`, type: "line", title: `Widget ${index}`, series: [{ metricId: "revenue", aggregation: "avg" }], range: "24h", interval: "auto", x: (index % 4) * 3, y: Math.floor(index / 4) * 4, w: 3, h: 4, ...part,
});
const create = (name, widgets) => call("POST", "/dashboards", shop.manageKey, { name, widgets });
const sendMetric = async (metricId) => {
  assert.equal((await send(shop.connections.shop.apiKey, shop.projectId, [{ metricId, value: 1 }])).status, 200);
  await waitUntil("the metric is in the catalogue", () => call("GET", `/metrics/${metricId}`, shop.manageKey).catch(() => undefined));
};
const fetchDashboard = (id) => call("GET", `/dashboards/${id}`, shop.manageKey);

/** Records the number of queries in each request of the page to `/query`. */
function recordQueryCounts(page) {
  const counts = [];
  page.on("request", (request) => {
    if (request.url().endsWith("/api/v1/query")) counts.push(request.postDataJSON().queries.length);
  });
  return counts;
}

test("twenty widgets are read with one request", async () => {
  const types = ["number", "line", "area", "bar", "table", "gauge"];
  const metrics = ["revenue", "daily_signups", "api_response_time", "error_rate", "queue_depth"];
  const { dashboardId } = await create(
    "Twenty",
    Array.from({ length: 20 }, (_, index) => widget(index, { type: types[index % 6], series: [{ metricId: metrics[index % 5], aggregation: "avg" }] })),
  );
  const { page } = await openWindow(shop.manageKey);
  const queryCounts = recordQueryCounts(page);
  await page.goto(`/dashboards/${dashboardId}`);
  await waitUntil("all widgets are drawn", async () => (await page.locator(".widget-body canvas, .number-value, .widget-table, .gauge svg").count()) === 20);
  // On a slow machine the page may refresh meanwhile. Each refresh is one request with the series of all widgets.
  assert.ok(queryCounts.length > 0 && queryCounts.every((count) => count === queryCounts[0] && count >= metrics.length), queryCounts.join());
});

test("widgets do not move when a dashboard opens", async () => {
  const { dashboardId } = await create("Still", [widget(0, { w: 6, h: 6 }), widget(1, { x: 6, w: 6, h: 6 })]);
  for (const viewport of [{ width: 1100, height: 900 }, { width: 390, height: 844 }]) {
    const { page } = await openWindow(shop.manageKey, { viewport });
    // Records the horizontal positions and sizes in each frame. Content above may still grow.
    await page.addInitScript(() => {
      globalThis.layouts = new Set();
      const recordLayout = () => {
        const boxes = [...document.querySelectorAll(".react-grid-item")].map((element) => element.getBoundingClientRect());
        if (boxes.length) globalThis.layouts.add(boxes.map(({ x, width, height }) => [x, width, height].map(Math.round)).join());
        requestAnimationFrame(recordLayout);
      };
      recordLayout();
    });
    await page.goto(`/dashboards/${dashboardId}`);
    await page.getByRole("article", { name: "Widget 1" }).locator("canvas").waitFor();
    const layouts = await page.evaluate(() => [...globalThis.layouts]);
    assert.equal(layouts.length, 1, layouts.join(" then "));
  }
});

test("widgets are added, moved, resized and removed", async () => {
  const { page } = await openWindow(shop.manageKey);
  await page.getByRole("button", { name: "Start with an empty dashboard" }).or(page.getByRole("button", { name: "New dashboard" })).first().click();
  await page.getByRole("dialog").getByLabel("Name").fill("Shop");
  await page.getByRole("dialog").getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { level: 1, name: "Shop" }).waitFor();
  const id = new URL(page.url()).pathname.split("/").pop();
  const saved = async () => (await fetchDashboard(id)).widgets;
  const rect = ({ x, y, w, h }) => [x, y, w, h];

  await page.getByRole("button", { name: "Add the first widget" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("combobox", { name: "Metric", exact: true }).fill("resp");
  await page.getByRole("option", { name: "API Response Time" }).click();
  await dialog.getByLabel("Aggregation").selectOption("p90");
  await dialog.getByRole("button", { name: "Add metric" }).click();
  await dialog.getByRole("combobox", { name: "Metric 2" }).fill("queue_depth");
  await page.keyboard.press("Escape");
  await dialog.locator("canvas").waitFor();
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  const frame = page.getByRole("article", { name: "API Response Time" });
  await frame.locator("canvas").waitFor();
  await waitUntil("the widget is saved", async () => (await saved())[0]?.series.length === 2);

  await page.getByRole("button", { name: "Add widget" }).click();
  await dialog.getByLabel("Number").check({ force: true });
  await dialog.getByRole("combobox", { name: "Metric", exact: true }).fill("revenue");
  await page.keyboard.press("Escape");
  await dialog.getByLabel("Title").fill("Money");
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await waitUntil("both widgets are saved", async () => (await saved()).length === 2);
  await waitUntil("the second widget is to the right of the first", async () => rect((await saved())[1]).join() === "6,0,3,3");

  const handle = page.getByRole("button", { name: /Move Money/ });
  await handle.press("ArrowRight");
  await waitUntil("the key press has moved the widget", async () => rect((await saved())[1]).join() === "7,0,3,3");
  await handle.press("Shift+ArrowDown");
  await waitUntil("the key press has resized the widget", async () => rect((await saved())[1]).join() === "7,0,3,4");

  // The widget moves with an animation.
  let box = await handle.boundingBox();
  await waitUntil("the animation has ended", async () => {
    const before = box;
    await new Promise((resolve) => setTimeout(resolve, 300));
    box = await handle.boundingBox();
    return box.x === before.x && box.y === before.y;
  });
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + 300, box.y + 20, { steps: 8 });
  await page.mouse.up();
  await waitUntil("the mouse has moved the widget", async () => (await saved())[1].x === 9);

  const grip = page.getByRole("article", { name: "API Response Time" }).locator("xpath=..").locator(".react-resizable-handle");
  const corner = await grip.boundingBox();
  await page.mouse.move(corner.x + 8, corner.y + 8);
  await page.mouse.down();
  await page.mouse.move(corner.x + 8, corner.y + 130, { steps: 8 });
  await page.mouse.up();
  await waitUntil("the mouse has resized the widget", async () => (await saved())[0].h > 6);

  await page.getByRole("button", { name: "Done" }).click();
  await page.reload();
  await page.getByRole("article", { name: "Money" }).locator(".number-value").waitFor();
  await page.getByRole("button", { name: "Actions for Money" }).click();
  await page.getByRole("menuitem", { name: "Remove" }).click();
  await waitUntil("the widget is removed", async () => (await saved()).length === 1);

  await page.getByRole("button", { name: "More actions" }).click();
  await page.getByRole("menuitem", { name: "Rename" }).click();
  await dialog.getByLabel("Name").fill("Shop, renamed");
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByRole("heading", { level: 1, name: "Shop, renamed" }).waitFor();
  await page.getByRole("button", { name: "More actions" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("heading", { level: 1, name: "Dashboards" }).waitFor();
  await assert.rejects(fetchDashboard(id), /404/);
});

test("widget can be added with the keyboard alone", async () => {
  const { dashboardId } = await create("Keys", [widget(0)]);
  const { page } = await openWindow(shop.manageKey);
  await page.goto(`/dashboards/${dashboardId}`);
  const add = page.getByRole("button", { name: "Add widget" });
  await add.press("Enter");
  const dialog = page.getByRole("dialog");
  await waitUntil("the widget type has the focus", () => dialog.getByLabel("Line").evaluate((radio) => radio === document.activeElement));
  await page.keyboard.press("Tab");
  await page.keyboard.type("depth");
  const options = page.getByRole("listbox", { name: "Metric" }).getByRole("option");
  await waitUntil("only matching metrics are listed", async () => /^Queue Depth[^,]*$/.test((await options.allInnerTexts()).join()));
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await waitUntil("the metric is chosen", async () => (await dialog.getByRole("combobox", { name: "Metric", exact: true }).inputValue()) === "queue_depth");
  await page.keyboard.press("Enter");
  await page.getByRole("article", { name: "Queue Depth" }).waitFor();
  await waitUntil("the focus returns to the button", () => add.evaluate((button) => button === document.activeElement));
});

test("range is in the URL, and zooming changes all charts", async () => {
  const { dashboardId } = await create("Zoom", [widget(0, { w: 6, h: 6 }), widget(1, { x: 6, w: 6, h: 6, title: "Other", series: [{ metricId: "error_rate", aggregation: "max" }] })]);
  const { page } = await openWindow(shop.manageKey);
  await page.goto(`/dashboards/${dashboardId}`);
  await page.getByRole("button", { name: "Last 7 days" }).click();
  await page.waitForURL(/range=7d/);
  await page.reload();
  await page.getByRole("button", { name: "Last 7 days", pressed: true }).waitFor();

  const canvas = page.getByRole("article", { name: "Widget 0" }).locator("canvas");
  await canvas.waitFor();
  const box = await canvas.boundingBox();
  await page.mouse.move(box.x + box.width * 0.3, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + box.height / 2, { steps: 8 });
  await page.mouse.up();
  await page.waitForURL(/from=.*to=/);
  const [from, to] = ["from", "to"].map((name) => Date.parse(new URL(page.url()).searchParams.get(name)));
  assert.ok(to - from > 86_400_000 && to - from < 4 * 86_400_000, `${from} to ${to}`);
  await page.getByRole("button", { name: /Custom range: / }).waitFor();
  await page.goBack();
  await page.getByRole("button", { name: "Last 7 days", pressed: true }).waitFor();
});

test("full screen is in the URL and ends with Escape", async () => {
  const { dashboardId } = await create("Wall", [widget(0, { w: 6, h: 6 })]);
  const { page } = await openWindow(shop.manageKey);
  await page.goto(`/dashboards/${dashboardId}?range=7d`);
  const navigation = page.getByRole("navigation", { name: "Main" });
  await navigation.waitFor();
  const full = () => new URL(page.url()).searchParams.get("full");
  await page.getByRole("button", { name: "Full screen" }).click();
  await navigation.waitFor({ state: "hidden" });
  assert.equal(full(), "1");
  await waitUntil("the browser is in full screen", () => page.evaluate(() => document.fullscreenElement !== null));
  await page.getByRole("article", { name: "Widget 0" }).locator("canvas").waitFor();
  await page.evaluate(() => document.exitFullscreen());
  await navigation.waitFor();
  assert.equal(full(), null);

  // The URL alone hides the navigation. Browsers enter full screen only after a user action.
  await page.goto(`/dashboards/${dashboardId}?range=7d&full=1`);
  await page.getByRole("article", { name: "Widget 0" }).waitFor();
  assert.ok(!(await navigation.isVisible()));
  await page.keyboard.press("Escape");
  await navigation.waitFor();
  assert.equal(full(), null);
  assert.equal(new URL(page.url()).searchParams.get("range"), "7d");
  // Other pages are not affected.
  await page.getByRole("button", { name: "Full screen" }).click();
  await navigation.waitFor({ state: "hidden" });
  await page.goBack();
  await page.goto("/metrics");
  await navigation.waitFor();
});

test("concurrent change of another user is not overwritten", async () => {
  const { dashboardId, version } = await create("Shared", [widget(0), widget(1)]);
  const { page } = await openWindow(shop.manageKey);
  await page.goto(`/dashboards/${dashboardId}`);
  await page.getByRole("article", { name: "Widget 1" }).waitFor();
  await call("PUT", `/dashboards/${dashboardId}`, shop.manageKey, { name: "Shared", widgets: [widget(0), widget(1), widget(2, { title: "Theirs" })] }, { "If-Match": `"${version}"` });
  await page.getByRole("button", { name: "Actions for Widget 1" }).click();
  await page.getByRole("menuitem", { name: "Remove" }).click();
  await page.getByText("Someone else changed this dashboard").waitFor();
  await page.getByRole("article", { name: "Theirs" }).waitFor();
  assert.equal((await fetchDashboard(dashboardId)).widgets.length, 3);
});

test("metric is found by search and its points are downloaded", async () => {
  const { page } = await openWindow(shop.manageKey);
  await page.getByRole("link", { name: "Metrics" }).click();
  await page.getByLabel("Search metrics").fill("resp");
  await waitUntil("one metric is listed", async () => (await page.locator("tbody tr").count()) === 1);
  await page.getByRole("link", { name: "API Response Time" }).click();
  await page.locator("canvas").waitFor();
  await page.getByLabel("Aggregation").selectOption("max");
  await page.getByLabel("Interval").selectOption("day");
  await page.getByRole("button", { name: "Last 7 days" }).click();
  await page.waitForURL(/aggregation=max.*interval=day.*range=7d/);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV" }).last().click()]);
  assert.equal(download.suggestedFilename(), "api_response_time-points.csv");
  let text = "";
  for await (const chunk of await download.createReadStream()) text += chunk;
  const lines = text.trim().split(/\r?\n/);
  assert.equal(lines[0], "timestamp,value,receivedAt");
  assert.equal(lines.length, 1 + 7 * 24);
});

test("deleting a metric requires typing its id", async () => {
  await sendMetric("short_lived");
  const { page } = await openWindow(shop.manageKey);
  await page.goto("/metrics/short_lived");
  await page.getByRole("button", { name: "More actions" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  const dialog = page.getByRole("dialog", { name: "Delete “Short Lived”?" });
  const remove = dialog.getByRole("button", { name: "Delete" });
  assert.ok(await remove.isDisabled());
  await dialog.getByLabel("Type short_lived to confirm").fill("short");
  assert.ok(await remove.isDisabled());
  await dialog.getByLabel("Type short_lived to confirm").fill("short_lived");
  await remove.click();
  await page.getByRole("heading", { level: 1, name: "Metrics" }).waitFor();
  await page.getByText("“Short Lived” deleted").waitFor();
  await page.getByRole("link", { name: "Revenue" }).waitFor();
  assert.equal(await page.getByRole("link", { name: "Short Lived" }).count(), 0);
  await assert.rejects(call("GET", "/metrics/short_lived", shop.manageKey), /404/);
});
