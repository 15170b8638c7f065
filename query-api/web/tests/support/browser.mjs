// Debian's Chromium, driven by Playwright.
import { chromium } from "playwright-core";
import { pageUrl } from "./installation.mjs";

/** Starts the browser; another one may be named by CHROMIUM. */
export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    // Containers have no user namespaces and a small /dev/shm.
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });

/** A window of its own, and what went wrong in it. */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ baseURL: pageUrl(), locale: "en-US", viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // What was refused on purpose is no fault of the page.
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) faults.push(`console: ${message.text()}`);
  });
  return { context, page, faults };
}

export async function signIn(page, key) {
  await page.goto("/");
  await page.getByLabel("Project key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { level: 1, name: "Dashboards" }).waitFor();
}
