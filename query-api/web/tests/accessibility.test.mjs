// Accessibility: axe, phones, keyboard operation and focus.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { before, test } from "node:test";
import { createFixtures } from "./support/fixtures.mjs";
import { createProject, waitUntil } from "./support/installation.mjs";
import { seed } from "./support/seed.mjs";
import { suite } from "./support/suite.mjs";

const { openWindow, deleteAfterwards } = suite();
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let shop;
let empty;
let pages;

before(async () => {
  shop = deleteAfterwards(await seed("Access"));
  empty = deleteAfterwards(await createProject("Access, empty", "pro"));
  pages = await createFixtures(shop);
});

/** Returns the violations that axe finds. Playwright evaluates axe, so the content security policy is not relaxed. */
async function accessibilityViolations(page) {
  await page.evaluate(axe);
  const results = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return results.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} (${node.any[0]?.message ?? node.failureSummary})`).join("; ")}`);
}

const waitUntilLoaded = async (page) => {
  await page.getByRole("heading", { level: 1 }).waitFor();
  await page.getByRole("status", { name: "Loading" }).first().waitFor({ state: "detached" });
};

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds no violation on any page, ${colorScheme}`, async () => {
    const violations = [];
    const check = async (page, name) => violations.push(...(await accessibilityViolations(page)).map((violation) => `${name}: ${violation}`));
    const signedOut = await openWindow(undefined, { colorScheme, reducedMotion: "reduce" });
    await signedOut.page.goto("/");
    await signedOut.page.getByRole("heading", { name: "Sign in" }).waitFor();
    await check(signedOut.page, "sign-in");
    const { page } = await openWindow(shop.manageKey, { colorScheme, reducedMotion: "reduce" });
    for (const { name, path, prepare } of pages) {
      await page.goto(path);
      await waitUntilLoaded(page);
      await prepare?.(page);
      await check(page, name);
    }
    const fresh = await openWindow(empty.manageKey, { colorScheme, reducedMotion: "reduce" });
    for (const path of ["/dashboards", "/metrics", "/alerts", "/alerts/channels", "/inbox", "/usage", "/integrations/custom-webhooks", "/nowhere"]) {
      await fresh.page.goto(path);
      await waitUntilLoaded(fresh.page);
      await check(fresh.page, `empty ${path}`);
    }
    assert.deepEqual(violations, []);
  });
}

test("pages fit a phone, and a button opens the navigation", async () => {
  const { page } = await openWindow(shop.manageKey, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  const tooWide = [];
  for (const { name, path, prepare } of pages) {
    await page.goto(path);
    await waitUntilLoaded(page);
    await prepare?.(page);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    if (width > 360) tooWide.push(`${name}: ${width}`);
  }
  assert.deepEqual(tooWide, []);
  await page.getByRole("button", { name: "Menu" }).click();
  await page.getByRole("dialog", { name: "Menu" }).getByRole("link", { name: "Usage" }).click();
  await page.getByRole("heading", { level: 1, name: "Usage" }).waitFor();
  await page.getByRole("dialog", { name: "Menu" }).waitFor({ state: "detached" });
});

test("keyboard reaches skip link, menus and dialogs", async () => {
  const { page } = await openWindow(shop.manageKey);
  await page.goto("/integrations/custom-webhooks");
  await page.getByRole("link", { name: "Shop Backend" }).waitFor();
  await page.evaluate(() => document.activeElement?.blur());
  await page.keyboard.press("Tab");
  const skip = page.getByRole("link", { name: "Skip to content" });
  assert.ok(await skip.evaluate((element) => element === document.activeElement), "the first tab stop is the skip link");
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
  await waitUntil("the focus is in the dialog", () => dialog.evaluate((element) => element.contains(document.activeElement)));
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await waitUntil("the focus returns to the button", () => button.evaluate((element) => element === document.activeElement));
});

/** Label, id or tag name of the focused element. */
const focused = (page) => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.id ?? document.activeElement?.tagName);

test("closing a dialog restores the focus, even without its opener", async () => {
  const { page } = await openWindow(shop.manageKey);
  await page.goto("/integrations/custom-webhooks");
  const button = page.getByRole("button", { name: "Actions for Cron Job Metrics" });
  const chooseAction = async (item) => {
    await button.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("menuitem", { name: item }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
  };
  await button.focus();
  // The observer in the page records every moment in which the focus is lost, even between two key presses.
  await page.evaluate(() => {
    globalThis.lost = [];
    new MutationObserver((changes) => {
      const removed = changes.flatMap((change) => [...change.removedNodes]).map((node) => node.textContent);
      queueMicrotask(() => {
        if (removed.length && document.activeElement === document.body) globalThis.lost.push(removed.join());
      });
    }).observe(document.body, { childList: true, subtree: true });
  });
  await chooseAction("Rename");
  await waitUntil("the name field has the focus", () => page.getByRole("dialog").getByLabel("Name").evaluate((field) => field === document.activeElement));
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(await focused(page), "Actions for Cron Job Metrics");

  // Two dialogs in a row: the one with the new key replaces the confirmation.
  await chooseAction("Rotate key");
  await page.getByRole("dialog").getByRole("button", { name: "Rotate key" }).press("Enter");
  await page.getByRole("heading", { name: "New API key" }).waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Done" }).press("Enter");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(await focused(page), "Actions for Cron Job Metrics");

  // The row is removed together with its button, so the region around it receives the focus.
  await chooseAction("Delete");
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).press("Enter");
  await button.waitFor({ state: "detached" });
  assert.equal(await focused(page), "Connections");
  assert.deepEqual(await page.evaluate(() => globalThis.lost), []);
});
