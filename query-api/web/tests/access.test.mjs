// Everybody can use it: by eye or ear, mouse or keyboard, on a phone or a wide screen.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { before, test } from "node:test";
import { furnish } from "./support/furnish.mjs";
import { createProject, until } from "./support/installation.mjs";
import { seed } from "./support/seed.mjs";
import { suite } from "./support/suite.mjs";

const { window, owns } = suite();
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let shop;
let empty;
let pages;

before(async () => {
  shop = owns(await seed("Access"));
  empty = owns(await createProject("Access, empty", "pro"));
  pages = await furnish(shop);
});

/** What axe finds. It is evaluated by the debugger, so the page's policy stays as it is. */
async function violations(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} (${node.any[0]?.message ?? node.failureSummary})`).join("; ")}`);
}

const shown = async (page) => {
  await page.getByRole("heading", { level: 1 }).waitFor();
  await page.getByRole("status", { name: "Loading" }).first().waitFor({ state: "detached" });
};

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds nothing on any page, ${colorScheme}`, async () => {
    const found = [];
    const check = async (page, name) => found.push(...(await violations(page)).map((one) => `${name}: ${one}`));
    const out = await window(undefined, { colorScheme, reducedMotion: "reduce" });
    await out.page.goto("/");
    await out.page.getByRole("heading", { name: "Sign in" }).waitFor();
    await check(out.page, "sign-in");
    const { page } = await window(shop.manageKey, { colorScheme, reducedMotion: "reduce" });
    for (const { name, path, prepare } of pages) {
      await page.goto(path);
      await shown(page);
      await prepare?.(page);
      await check(page, name);
    }
    const fresh = await window(empty.manageKey, { colorScheme, reducedMotion: "reduce" });
    for (const path of ["/dashboards", "/metrics", "/alerts", "/alerts/channels", "/inbox", "/usage", "/integrations/custom-webhooks", "/nowhere"]) {
      await fresh.page.goto(path);
      await shown(fresh.page);
      await check(fresh.page, `empty ${path}`);
    }
    assert.deepEqual(found, []);
  });
}

test("on a phone nothing is wider than the screen, and the way around is behind a button", async () => {
  const { page } = await window(shop.manageKey, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  const wide = [];
  for (const { name, path, prepare } of pages) {
    await page.goto(path);
    await shown(page);
    await prepare?.(page);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    if (width > 360) wide.push(`${name}: ${width}`);
  }
  assert.deepEqual(wide, []);
  await page.getByRole("button", { name: "Menu" }).click();
  await page.getByRole("dialog", { name: "Menu" }).getByRole("link", { name: "Usage" }).click();
  await page.getByRole("heading", { level: 1, name: "Usage" }).waitFor();
  await page.getByRole("dialog", { name: "Menu" }).waitFor({ state: "detached" });
});

test("the keyboard reaches everything: the way past the navigation, menus, and out of dialogs", async () => {
  const { page } = await window(shop.manageKey);
  await page.goto("/integrations/custom-webhooks");
  await page.getByRole("link", { name: "Shop Backend" }).waitFor();
  await page.evaluate(() => document.activeElement?.blur());
  await page.keyboard.press("Tab");
  const skip = page.getByRole("link", { name: "Skip to the content" });
  assert.ok(await skip.evaluate((element) => element === document.activeElement), "the first stop leads past the navigation");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "main");

  const button = page.getByRole("button", { name: "Actions for Shop Backend" });
  await button.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("menu").waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  await until("the focus is in the dialog", () => dialog.evaluate((element) => element.contains(document.activeElement)));
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await until("the focus comes back", () => button.evaluate((element) => element === document.activeElement));
});

/** What has the focus, in words. */
const focused = (page) => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.id ?? document.activeElement?.tagName);

test("a dialog that goes gives the focus back before the next key, also where what opened it has gone", async () => {
  const { page } = await window(shop.manageKey);
  await page.goto("/integrations/custom-webhooks");
  const button = page.getByRole("button", { name: "Actions for Cron Job Metrics" });
  const choose = async (item) => {
    await button.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("menuitem", { name: item }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
  };
  await button.focus();
  // It is looked at from within the page: whatever comes between a change and the next key would be seen.
  await page.evaluate(() => {
    globalThis.lost = [];
    new MutationObserver((changes) => {
      const removed = changes.flatMap((change) => [...change.removedNodes]).map((node) => node.textContent);
      queueMicrotask(() => {
        if (removed.length && document.activeElement === document.body) globalThis.lost.push(removed.join());
      });
    }).observe(document.body, { childList: true, subtree: true });
  });
  await choose("Rename");
  await until("one can type at once", () => page.getByRole("dialog").getByLabel("Name").evaluate((field) => field === document.activeElement));
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(await focused(page), "Actions for Cron Job Metrics");

  // One dialog after another: the new key takes the place of the question.
  await choose("Rotate key");
  await page.getByRole("dialog").getByRole("button", { name: "Rotate key" }).press("Enter");
  await page.getByRole("heading", { name: "The new key" }).waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Done" }).press("Enter");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(await focused(page), "Actions for Cron Job Metrics");

  // The row goes, and its button with it: what is left around it has the focus.
  await choose("Delete");
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).press("Enter");
  await button.waitFor({ state: "detached" });
  assert.equal(await focused(page), "Connections");
  assert.deepEqual(await page.evaluate(() => globalThis.lost), []);
});
