// Setup shared by the tests of a file: one browser, whose pages must not report errors, and projects to delete.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { launch, openPage, signIn } from "./browser.mjs";
import { removeProject } from "./installation.mjs";

/** Starts the browser before the tests of a file. Afterwards, closes it and deletes the projects. */
export function suite() {
  let browser;
  const opened = [];
  const projects = [];
  before(async () => {
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await Promise.allSettled(projects.map(removeProject));
    assert.deepEqual(opened.flatMap(({ errors }) => errors), [], "the browser reported errors");
  });
  return {
    /** Opens a page, signed in if a key is given. */
    async openWindow(key, options) {
      const result = await openPage(browser, options);
      opened.push(result);
      result.page.setDefaultTimeout(120_000);
      if (key) await signIn(result.page, key);
      return result;
    },
    /** Deletes the project after the tests. Returns the project. */
    deleteAfterwards(project) {
      projects.push(project.projectId);
      return project;
    },
  };
}
