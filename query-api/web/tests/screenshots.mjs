// Takes screenshots of every page: light and dark, on a wide screen and on a phone.
// Usage: npm run screenshots -- [DIRECTORY [FILTER]]. FILTER selects pages by a part of their name.
// Requires a running installation (see support/installation.mjs). Creates projects for the screenshots and deletes them.
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { launch, openPage, signIn } from "./support/browser.mjs";
import { createProject, removeProject } from "./support/installation.mjs";
import { createFixtures } from "./support/fixtures.mjs";
import { seed } from "./support/seed.mjs";

const directory = resolve(process.argv[2] ?? join(process.env.TMPDIR ?? "/tmp", "tidemark-screenshots"));
const filter = process.argv[3];
const SIZES = { wide: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };
const THEMES = ["light", "dark"];

await mkdir(directory, { recursive: true });
const browser = await launch();
const shop = await seed("Northwind Shop");
const empty = await createProject("New Project", "free");
try {
  const pages = await createFixtures(shop);
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of THEMES) {
      const takeScreenshot = async (page, name) => {
        await page.waitForLoadState("networkidle", { timeout: 3000 }).catch(() => undefined);
        // The viewport is enlarged to the height of the page. Full-page screenshots of the browser shrink the viewport for
        // a moment, and elements that depend on its width would be captured while they still adapt. Dialogs cover the
        // viewport, so they need no enlargement.
        const dialog = await page.getByRole("dialog").count();
        const height = await page.evaluate(() => document.documentElement.scrollHeight);
        if (!dialog && height > viewport.height) {
          await page.setViewportSize({ ...viewport, height });
          await page.waitForTimeout(300);
        }
        await page.screenshot({ path: join(directory, `${name}-${size}-${colorScheme}.png`) });
        await page.setViewportSize(viewport);
      };
      const { context, page } = await openPage(browser, { viewport, colorScheme });
      await page.goto("/");
      await page.getByRole("heading", { name: "Sign in" }).waitFor();
      if (!filter) await takeScreenshot(page, "sign-in");
      await signIn(page, shop.manageKey);
      for (const { name, path, prepare } of pages.filter((page) => !filter || page.name.includes(filter))) {
        await page.goto(path);
        await page.getByRole("heading", { level: 1 }).waitFor();
        await prepare?.(page);
        await takeScreenshot(page, name);
      }
      await context.close();
      const fresh = await openPage(browser, { viewport, colorScheme });
      await signIn(fresh.page, empty.manageKey);
      for (const path of ["dashboards", "metrics", "usage", "alerts", "inbox"].filter((name) => !filter || `empty-${name}`.includes(filter))) {
        await fresh.page.goto(`/${path}`);
        await fresh.page.getByRole("heading", { level: 1 }).waitFor();
        await takeScreenshot(fresh.page, `empty-${path}`);
      }
      await fresh.context.close();
    }
  }
} finally {
  await browser.close();
  await removeProject(shop.projectId);
  await removeProject(empty.projectId);
}
console.log(`Screenshots written to ${directory}`);
