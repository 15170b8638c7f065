// Chromium of the Debian package, driven by Playwright.
import { chromium } from "playwright-core";
import { pageUrl } from "./installation.mjs";

/** Starts the browser. CHROMIUM selects another executable. */
export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    // Containers often lack user namespaces and have a small /dev/shm.
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });

/** Opens a page in its own browser context, and collects its errors. */
export async function openPage(browser, options = {}) {
  const context = await browser.newContext({ baseURL: pageUrl(), locale: "en-US", viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // Tests provoke error responses, which the browser logs as failed resources.
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) errors.push(`console: ${message.text()}`);
  });
  return { context, page, errors };
}

export async function signIn(page, key) {
  await page.goto("/");
  await page.getByLabel("Project key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { level: 1, name: "Dashboards" }).waitFor();
}
