// What the tests of a file share: one browser, and windows that must stay without faults.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { launch, open, signIn } from "./browser.mjs";
import { removeProject } from "./installation.mjs";

/** Sets a file's tests up; its windows and projects end with it. */
export function suite() {
  let browser;
  const windows = [];
  const projects = [];
  before(async () => {
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await Promise.allSettled(projects.map(removeProject));
    assert.deepEqual(windows.flatMap(({ faults }) => faults), [], "the browser complained");
  });
  return {
    /** A window, signed in where a key is given. */
    async window(key, options) {
      const made = await open(browser, options);
      windows.push(made);
      made.page.setDefaultTimeout(120_000);
      if (key) await signIn(made.page, key);
      return made;
    },
    /** Notes a project that is to be removed at the end. */
    owns(project) {
      projects.push(project.projectId);
      return project;
    },
  };
}
