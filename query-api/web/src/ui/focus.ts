/**
 * Where the keyboard is. What has the focus may go: a dialog is closed, a row deleted, a button that has nothing more to
 * do. The browser then lets the focus fall to the very beginning, and who reads by ear or keyboard is lost. So it is
 * noted where they were, and given back before the next key can be pressed.
 */

/** Beside it come and go dialogs, menus and lists to choose from; where one was before is where one goes on. */
const PAGE = "#root";
const DIALOGS = "[role=dialog]";
/** Parts of the page that may have the focus as a whole. */
const PARTS = "section, article, main";

/** What had the focus last, and all that it was in. */
type Way = Element[];

let over: Way = [];
let under: Way = [];

/** Keeps the focus from now on; ends with the call of what it gives. */
export function keepFocus(): () => void {
  const noted = ({ target }: FocusEvent) => {
    if (!(target instanceof Element)) return;
    over = wayOf(target);
    if (target.closest(PAGE)) under = over;
  };
  // It is called after a change and before anything else happens.
  const observer = new MutationObserver(() => {
    if (document.activeElement !== document.body || !over[0] || over[0].isConnected) return;
    giveBack();
  });
  document.addEventListener("focusin", noted);
  // What is under a dialog can have the focus only once it is not inert any more.
  observer.observe(document.body, { childList: true, attributeFilter: ["inert"], subtree: true });
  return () => {
    document.removeEventListener("focusin", noted);
    observer.disconnect();
  };
}

/** To where they were, or to what is left around it: within the dialog while there is one, else on the page. */
function giveBack(): void {
  const dialog = [...document.querySelectorAll(DIALOGS)].at(-1);
  const way = !dialog ? under : over.includes(dialog) ? over : [dialog];
  for (const element of way) {
    if (!(element instanceof HTMLElement) || !element.isConnected) continue;
    if (element !== way[0] && !element.matches(`${DIALOGS}, ${PARTS}`)) continue;
    if (take(element)) return;
  }
}

function take(element: HTMLElement): boolean {
  element.focus({ preventScroll: true });
  if (document.activeElement === element) return true;
  if (!element.matches(PARTS)) return false;
  element.tabIndex = -1;
  element.focus({ preventScroll: true });
  element.addEventListener("blur", () => element.removeAttribute("tabindex"), { once: true });
  return document.activeElement === element;
}

function wayOf(element: Element): Way {
  const way: Way = [];
  for (let at: Element | null = element; at; at = at.parentElement) way.push(at);
  return way;
}
