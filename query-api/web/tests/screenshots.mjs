// Pictures of every page: light and dark, wide and phone. Usage: npm run screenshots -- DIRECTORY
// Needs a running installation (see support/installation.mjs); it makes a project for them and removes it again.
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { launch, open, signIn } from "./support/browser.mjs";
import { createProject, removeProject } from "./support/installation.mjs";
import { furnish } from "./support/furnish.mjs";
import { seed } from "./support/seed.mjs";

const directory = resolve(process.argv[2] ?? join(process.env.TMPDIR ?? "/tmp", "tidemark-screenshots"));
const only = process.argv[3];
const SIZES = { wide: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };
const THEMES = ["light", "dark"];

await mkdir(directory, { recursive: true });
const browser = await launch();
const shop = await seed("Northwind Shop");
const empty = await createProject("New Project", "free");
try {
  const pages = await furnish(shop);
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of THEMES) {
      const shoot = async (page, name) => {
        await page.waitForLoadState("networkidle", { timeout: 3000 }).catch(() => undefined);
        // The window is made as high as the page. The browser's own way shrinks it to nothing for a moment, and what is
        // laid out by its width is caught on its way back. A dialog is looked at in the window that it covers.
        const dialog = await page.getByRole("dialog").count();
        const height = await page.evaluate(() => document.documentElement.scrollHeight);
        if (!dialog && height > viewport.height) {
          await page.setViewportSize({ ...viewport, height });
          await page.waitForTimeout(300);
        }
        await page.screenshot({ path: join(directory, `${name}-${size}-${colorScheme}.png`) });
        await page.setViewportSize(viewport);
      };
      const { context, page } = await open(browser, { viewport, colorScheme });
      await page.goto("/");
      await page.getByRole("heading", { name: "Sign in" }).waitFor();
      if (!only) await shoot(page, "sign-in");
      await signIn(page, shop.manageKey);
      for (const { name, path, prepare } of pages.filter((one) => !only || one.name.includes(only))) {
        await page.goto(path);
        await page.getByRole("heading", { level: 1 }).waitFor();
        await prepare?.(page);
        await shoot(page, name);
      }
      await context.close();
      const fresh = await open(browser, { viewport, colorScheme });
      await signIn(fresh.page, empty.manageKey);
      for (const path of ["dashboards", "metrics", "usage", "alerts", "inbox"].filter((one) => !only || `empty-${one}`.includes(only))) {
        await fresh.page.goto(`/${path}`);
        await fresh.page.getByRole("heading", { level: 1 }).waitFor();
        await shoot(fresh.page, `empty-${path}`);
      }
      await fresh.context.close();
    }
  }
} finally {
  await browser.close();
  await removeProject(shop.projectId);
  await removeProject(empty.projectId);
}
console.log(`The pictures are in ${directory}`);
