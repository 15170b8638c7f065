// Delivery of the page: a small first load, a single origin, and a strict content security policy.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createProject, pageUrl } from "./support/installation.mjs";
import { signIn } from "./support/browser.mjs";
import { suite } from "./support/suite.mjs";

const { openWindow, deleteAfterwards } = suite();
const FIRST_LOAD = 350_000;

test("first load is small and comes from one origin", async (t) => {
  const project = deleteAfterwards(await createProject("Limits", "pro"));
  const { page, context } = await openWindow();
  const sizes = new Map();
  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  const urls = new Map();
  session.on("Network.responseReceived", ({ requestId, response }) => urls.set(requestId, response.url));
  session.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => sizes.set(urls.get(requestId), encodedDataLength));
  await signIn(page, project.manageKey);
  await page.getByRole("heading", { name: "Send your first metric" }).waitFor();
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  t.diagnostic(`first load: ${total} bytes in ${sizes.size} responses`);
  assert.ok(total > 50_000 && total < FIRST_LOAD, `${total} bytes`);
  assert.ok(![...sizes.keys()].some((url) => url.includes("EChartsCanvas")), "ECharts was loaded");
  const origin = new URL(pageUrl()).origin;
  assert.deepEqual([...urls.values()].filter((url) => !url.startsWith(origin) && !url.startsWith("data:image/")), []);
});

test("files are compressed, protected and cached by hash", async () => {
  const index = await fetch(`${pageUrl()}/`);
  const text = await index.text();
  assert.equal(index.headers.get("cache-control"), "no-cache");
  assert.ok(!/<style|<script(?![^>]* src=)|style="| on\w+="/.test(text), "no inline scripts or styles");
  const policy = index.headers.get("content-security-policy");
  assert.ok(policy.includes("default-src 'self'") && !policy.includes("unsafe") && !policy.includes("http"), policy);
  const [script] = text.match(/\/assets\/[^"]+\.js/);
  for (const [accepted, encoding] of [["br", "br"], ["gzip", "gzip"], ["identity", null]]) {
    const response = await fetch(`${pageUrl()}${script}`, { headers: { "Accept-Encoding": accepted } });
    assert.equal(response.headers.get("content-encoding"), encoding);
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    assert.match(response.headers.get("cache-control"), /immutable/);
    assert.match(response.headers.get("content-type"), /^text\/javascript/);
    assert.ok((await response.text()).length > 100_000);
  }
});
