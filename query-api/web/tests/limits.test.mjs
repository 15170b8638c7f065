// What the page promises of itself: small at first, from one place alone, under a strict policy.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createProject, pageUrl } from "./support/installation.mjs";
import { signIn } from "./support/browser.mjs";
import { suite } from "./support/suite.mjs";

const { window, owns } = suite();
const FIRST_LOAD = 350_000;

test("the first load is small, without ECharts, and nothing comes from elsewhere", async (t) => {
  const project = owns(await createProject("Limits", "pro"));
  const { page, context } = await window();
  const sizes = new Map();
  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  const urls = new Map();
  session.on("Network.responseReceived", ({ requestId, response }) => urls.set(requestId, response.url));
  session.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => sizes.set(urls.get(requestId), encodedDataLength));
  await signIn(page, project.manageKey);
  await page.getByRole("heading", { name: "get your first metric in" }).waitFor();
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  t.diagnostic(`the first load is ${total} bytes in ${sizes.size} answers`);
  assert.ok(total > 50_000 && total < FIRST_LOAD, `${total} bytes`);
  assert.ok(![...sizes.keys()].some((url) => url.includes("Drawing")), "ECharts was loaded");
  const origin = new URL(pageUrl()).origin;
  assert.deepEqual([...urls.values()].filter((url) => !url.startsWith(origin) && !url.startsWith("data:image/")), []);
});

test("files are packed, guarded, and kept for ever if their name has a hash", async () => {
  const index = await fetch(`${pageUrl()}/`);
  const text = await index.text();
  assert.equal(index.headers.get("cache-control"), "no-cache");
  assert.ok(!/<style|<script(?![^>]* src=)|style="| on\w+="/.test(text), "nothing is inline");
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
