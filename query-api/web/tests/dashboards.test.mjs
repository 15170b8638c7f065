// Dashboards are made, changed, and keep what was done.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { call, send, until } from "./support/installation.mjs";
import { seed } from "./support/seed.mjs";
import { suite } from "./support/suite.mjs";

const { window, owns } = suite();
let shop;

before(async () => {
  shop = owns(await seed("Dashboards", "unlimited"));
});

const widget = (index, part = {}) => ({
  id: `w${index}`, type: "line", title: `Widget ${index}`, series: [{ metricId: "revenue", aggregation: "avg" }], range: "24h", interval: "auto", x: (index % 4) * 3, y: Math.floor(index / 4) * 4, w: 3, h: 4, ...part,
});
const create = (name, widgets) => call("POST", "/dashboards", shop.manageKey, { name, widgets });
const sendOne = async (metricId) => {
  assert.equal((await send(shop.connections.shop.apiKey, shop.projectId, [{ metricId, value: 1 }])).status, 200);
  await until("it is in the catalogue", () => call("GET", `/metrics/${metricId}`, shop.manageKey).catch(() => undefined));
};
const stored = (id) => call("GET", `/dashboards/${id}`, shop.manageKey);

/** Counts the calls of a window to `/query`. */
function queries(page) {
  const seen = [];
  page.on("request", (request) => {
    if (request.url().endsWith("/api/v1/query")) seen.push(request.postDataJSON().queries.length);
  });
  return seen;
}

test("twenty widgets ask the server once", async () => {
  const types = ["number", "line", "area", "bar", "table", "gauge"];
  const metrics = ["revenue", "daily_signups", "api_response_time", "error_rate", "queue_depth"];
  const { dashboardId } = await create(
    "Twenty",
    Array.from({ length: 20 }, (_, index) => widget(index, { type: types[index % 6], series: [{ metricId: metrics[index % 5], aggregation: "avg" }] })),
  );
  const { page } = await window(shop.manageKey);
  const seen = queries(page);
  await page.goto(`/dashboards/${dashboardId}`);
  await until("all are drawn", async () => (await page.locator(".widget-body canvas, .number-value, .widget-table, .gauge svg").count()) === 20);
  assert.equal(seen.length, 1);
});

test("a dashboard opens with its widgets in their places: none glides there", async () => {
  const { dashboardId } = await create("Still", [widget(0, { w: 6, h: 6 }), widget(1, { x: 6, w: 6, h: 6 })]);
  for (const viewport of [{ width: 1100, height: 900 }, { width: 390, height: 844 }]) {
    const { page } = await window(shop.manageKey, { viewport });
    // Where each stands in each frame; what is above may still grow.
    await page.addInitScript(() => {
      globalThis.places = new Set();
      const look = () => {
        const boxes = [...document.querySelectorAll(".react-grid-item")].map((element) => element.getBoundingClientRect());
        if (boxes.length) globalThis.places.add(boxes.map(({ x, width, height }) => [x, width, height].map(Math.round)).join());
        requestAnimationFrame(look);
      };
      look();
    });
    await page.goto(`/dashboards/${dashboardId}`);
    await page.getByRole("article", { name: "Widget 1" }).locator("canvas").waitFor();
    const places = await page.evaluate(() => [...globalThis.places]);
    assert.equal(places.length, 1, places.join(" then "));
  }
});

test("a dashboard is made of widgets, which are added, moved, resized, changed and removed", async () => {
  const { page } = await window(shop.manageKey);
  await page.getByRole("button", { name: "Begin with an empty one" }).or(page.getByRole("button", { name: "New dashboard" })).first().click();
  await page.getByRole("dialog").getByLabel("Name").fill("Shop");
  await page.getByRole("dialog").getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { level: 1, name: "Shop" }).waitFor();
  const id = new URL(page.url()).pathname.split("/").pop();
  const saved = async () => (await stored(id)).widgets;
  const place = ({ x, y, w, h }) => [x, y, w, h];

  await page.getByRole("button", { name: "Add the first widget" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("combobox", { name: "Metric", exact: true }).fill("resp");
  await page.getByRole("option", { name: "API Response Time" }).click();
  await dialog.getByLabel("Aggregation").selectOption("p90");
  await dialog.getByRole("button", { name: "Add a metric" }).click();
  await dialog.getByRole("combobox", { name: "Metric 2" }).fill("queue_depth");
  await page.keyboard.press("Escape");
  await dialog.locator("canvas").waitFor();
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  const frame = page.getByRole("article", { name: "API Response Time" });
  await frame.locator("canvas").waitFor();
  await until("it is saved", async () => (await saved())[0]?.series.length === 2);

  await page.getByRole("button", { name: "Add widget" }).click();
  await dialog.getByLabel("Number").check({ force: true });
  await dialog.getByRole("combobox", { name: "Metric", exact: true }).fill("revenue");
  await page.keyboard.press("Escape");
  await dialog.getByLabel("Title").fill("Money");
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await until("both are saved", async () => (await saved()).length === 2);
  await until("the second stands beside the first", async () => place((await saved())[1]).join() === "6,0,3,3");

  const handle = page.getByRole("button", { name: /Move Money/ });
  await handle.press("ArrowRight");
  await until("a key has moved it", async () => place((await saved())[1]).join() === "7,0,3,3");
  await handle.press("Shift+ArrowDown");
  await until("the keys have moved and resized it", async () => place((await saved())[1]).join() === "7,0,3,4");

  // It glides to its place.
  let box = await handle.boundingBox();
  await until("it has come to rest", async () => {
    const before = box;
    await new Promise((resolve) => setTimeout(resolve, 300));
    box = await handle.boundingBox();
    return box.x === before.x && box.y === before.y;
  });
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + 300, box.y + 20, { steps: 8 });
  await page.mouse.up();
  await until("the mouse has moved it", async () => (await saved())[1].x === 9);

  const grip = page.getByRole("article", { name: "API Response Time" }).locator("xpath=..").locator(".react-resizable-handle");
  const corner = await grip.boundingBox();
  await page.mouse.move(corner.x + 8, corner.y + 8);
  await page.mouse.down();
  await page.mouse.move(corner.x + 8, corner.y + 130, { steps: 8 });
  await page.mouse.up();
  await until("the mouse has resized it", async () => (await saved())[0].h > 6);

  await page.getByRole("button", { name: "Done" }).click();
  await page.reload();
  await page.getByRole("article", { name: "Money" }).locator(".number-value").waitFor();
  await page.getByRole("button", { name: "Actions for Money" }).click();
  await page.getByRole("menuitem", { name: "Remove" }).click();
  await until("it is gone", async () => (await saved()).length === 1);

  await page.getByRole("button", { name: "More actions" }).click();
  await page.getByRole("menuitem", { name: "Rename" }).click();
  await dialog.getByLabel("Name").fill("Shop, renamed");
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByRole("heading", { level: 1, name: "Shop, renamed" }).waitFor();
  await page.getByRole("button", { name: "More actions" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("heading", { level: 1, name: "Dashboards" }).waitFor();
  await assert.rejects(stored(id), /404/);
});

test("a widget is added by the keyboard alone: its metric is searched, chosen, and the focus is back at the button", async () => {
  const { dashboardId } = await create("Keys", [widget(0)]);
  const { page } = await window(shop.manageKey);
  await page.goto(`/dashboards/${dashboardId}`);
  const add = page.getByRole("button", { name: "Add widget" });
  await add.press("Enter");
  const dialog = page.getByRole("dialog");
  await until("one can choose the type at once", () => dialog.getByLabel("Line").evaluate((radio) => radio === document.activeElement));
  await page.keyboard.press("Tab");
  await page.keyboard.type("depth");
  const offered = page.getByRole("listbox", { name: "Metric" }).getByRole("option");
  await until("only what is like it is offered", async () => /^Queue Depth[^,]*$/.test((await offered.allInnerTexts()).join()));
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await until("the metric is chosen", async () => (await dialog.getByRole("combobox", { name: "Metric", exact: true }).inputValue()) === "queue_depth");
  await page.keyboard.press("Enter");
  await page.getByRole("article", { name: "Queue Depth" }).waitFor();
  await until("the focus comes back", () => add.evaluate((button) => button === document.activeElement));
});

test("the address holds the range; zooming into one chart zooms all, and going back undoes it", async () => {
  const { dashboardId } = await create("Zoom", [widget(0, { w: 6, h: 6 }), widget(1, { x: 6, w: 6, h: 6, title: "Other", series: [{ metricId: "error_rate", aggregation: "max" }] })]);
  const { page } = await window(shop.manageKey);
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

test("full screen shows the dashboard alone, the address holds it, and Escape ends it", async () => {
  const { dashboardId } = await create("Wall", [widget(0, { w: 6, h: 6 })]);
  const { page } = await window(shop.manageKey);
  await page.goto(`/dashboards/${dashboardId}?range=7d`);
  const navigation = page.getByRole("navigation", { name: "Main" });
  await navigation.waitFor();
  const full = () => new URL(page.url()).searchParams.get("full");
  await page.getByRole("button", { name: "Full screen" }).click();
  await navigation.waitFor({ state: "hidden" });
  assert.equal(full(), "1");
  await until("the browser gives the whole screen", () => page.evaluate(() => document.fullscreenElement !== null));
  await page.getByRole("article", { name: "Widget 0" }).locator("canvas").waitFor();
  await page.evaluate(() => document.exitFullscreen());
  await navigation.waitFor();
  assert.equal(full(), null);

  // Whoever is sent the address sees it so; a browser fills the screen only when asked by hand.
  await page.goto(`/dashboards/${dashboardId}?range=7d&full=1`);
  await page.getByRole("article", { name: "Widget 0" }).waitFor();
  assert.ok(!(await navigation.isVisible()));
  await page.keyboard.press("Escape");
  await navigation.waitFor();
  assert.equal(full(), null);
  assert.equal(new URL(page.url()).searchParams.get("range"), "7d");
  // On another page there is no trace of it.
  await page.getByRole("button", { name: "Full screen" }).click();
  await navigation.waitFor({ state: "hidden" });
  await page.goBack();
  await page.goto("/metrics");
  await navigation.waitFor();
});

test("what somebody else has changed meanwhile is not overwritten", async () => {
  const { dashboardId, version } = await create("Shared", [widget(0), widget(1)]);
  const { page } = await window(shop.manageKey);
  await page.goto(`/dashboards/${dashboardId}`);
  await page.getByRole("article", { name: "Widget 1" }).waitFor();
  await call("PUT", `/dashboards/${dashboardId}`, shop.manageKey, { name: "Shared", widgets: [widget(0), widget(1), widget(2, { title: "Theirs" })] }, { "If-Match": `"${version}"` });
  await page.getByRole("button", { name: "Actions for Widget 1" }).click();
  await page.getByRole("menuitem", { name: "Remove" }).click();
  await page.getByText("Somebody else has changed this dashboard").waitFor();
  await page.getByRole("article", { name: "Theirs" }).waitFor();
  assert.equal((await stored(dashboardId)).widgets.length, 3);
});

test("the catalogue is searched, a metric is looked at, and its points are downloaded", async () => {
  const { page } = await window(shop.manageKey);
  await page.getByRole("link", { name: "Metrics" }).click();
  await page.getByLabel("Search metrics").fill("resp");
  await until("only one is left", async () => (await page.locator("tbody tr").count()) === 1);
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

test("a metric is deleted by who types its id, and is gone from the catalogue", async () => {
  await sendOne("short_lived");
  const { page } = await window(shop.manageKey);
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
  await page.getByText("“Short Lived” is deleted").waitFor();
  await page.getByRole("link", { name: "Revenue" }).waitFor();
  assert.equal(await page.getByRole("link", { name: "Short Lived" }).count(), 0);
  await assert.rejects(call("GET", "/metrics/short_lived", shop.manageKey), /404/);
});
