/**
 * Restores the keyboard focus when the focused element is removed, for example by closing a dialog or deleting a row.
 * The browser would move the focus to the document body, and users of keyboards and screen readers would lose their
 * place. The module records the focused element and restores the focus before the next key press.
 */

/** Root of the page. Dialogs, menus and listboxes are rendered outside it. */
const PAGE_SELECTOR = "#root";
const DIALOG_SELECTOR = "[role=dialog]";
/** Regions that can receive the focus if the focused element is gone. */
const REGION_SELECTOR = "section, article, main";

/** An element and its ancestors, innermost first. */
type ElementPath = Element[];

/** Path of the element that was focused last. */
let lastPath: ElementPath = [];
/** The same, for elements within the page root only. */
let lastPagePath: ElementPath = [];

/** Starts restoring the focus. Returns a function that stops it. */
export function installFocusRestoration(): () => void {
  const recordFocus = ({ target }: FocusEvent) => {
    if (!(target instanceof Element)) return;
    lastPath = ancestorPath(target);
    if (target.closest(PAGE_SELECTOR)) lastPagePath = lastPath;
  };
  // Mutation observers run as microtasks: after the change and before the next event.
  const observer = new MutationObserver(() => {
    if (document.activeElement !== document.body || !lastPath[0] || lastPath[0].isConnected) return;
    restoreFocus();
  });
  document.addEventListener("focusin", recordFocus);
  // Content under a dialog is inert until the dialog is gone, and inert elements cannot receive the focus.
  observer.observe(document.body, { childList: true, attributeFilter: ["inert"], subtree: true });
  return () => {
    document.removeEventListener("focusin", recordFocus);
    observer.disconnect();
  };
}

/** Focuses the last element, or its nearest remaining region: in the open dialog if there is one, else on the page. */
function restoreFocus(): void {
  const dialog = [...document.querySelectorAll(DIALOG_SELECTOR)].at(-1);
  const path = !dialog ? lastPagePath : lastPath.includes(dialog) ? lastPath : [dialog];
  for (const element of path) {
    if (!(element instanceof HTMLElement) || !element.isConnected) continue;
    if (element !== path[0] && !element.matches(`${DIALOG_SELECTOR}, ${REGION_SELECTOR}`)) continue;
    if (focusElement(element)) return;
  }
}

function focusElement(element: HTMLElement): boolean {
  element.focus({ preventScroll: true });
  if (document.activeElement === element) return true;
  if (!element.matches(REGION_SELECTOR)) return false;
  element.tabIndex = -1;
  element.focus({ preventScroll: true });
  element.addEventListener("blur", () => element.removeAttribute("tabindex"), { once: true });
  return document.activeElement === element;
}

function ancestorPath(element: Element): ElementPath {
  const path: ElementPath = [];
  for (let current: Element | null = element; current; current = current.parentElement) path.push(current);
  return path;
}
