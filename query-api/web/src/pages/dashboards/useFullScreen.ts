import { useEffect } from "react";
import { useSearchParams } from "react-router";

/** The dashboard alone, over the whole screen where the browser allows it. The address holds it. */
export function useFullScreen(): { on: boolean; flip: () => void } {
  const [params, setParams] = useSearchParams();
  const on = params.get("full") === "1";
  const set = (on: boolean) => {
    setParams((params) => {
      const next = new URLSearchParams(params);
      if (on) next.set("full", "1");
      else next.delete("full");
      return next;
    }, { replace: true });
  };
  useEffect(() => {
    document.documentElement.classList.toggle("full", on);
    return () => {
      document.documentElement.classList.remove("full");
      // Whoever leaves the dashboard leaves the full screen too.
      if (on && document.fullscreenElement) void document.exitFullscreen();
    };
  }, [on]);
  useEffect(() => {
    // Escape leaves the browser's full screen without telling the page otherwise.
    const listener = () => {
      if (!document.fullscreenElement) set(false);
    };
    document.addEventListener("fullscreenchange", listener);
    return () => document.removeEventListener("fullscreenchange", listener);
  });
  useEffect(() => {
    if (!on) return;
    // Where the browser did not give the whole screen, Escape comes here. Menus and dialogs have it first.
    const listener = (event: KeyboardEvent) => {
      if (event.key === "Escape" && !event.defaultPrevented && !document.fullscreenElement && !document.querySelector("[role=dialog], [role=menu]")) set(false);
    };
    document.addEventListener("keydown", listener, true);
    return () => document.removeEventListener("keydown", listener, true);
  });
  const flip = () => {
    set(!on);
    if (!on) document.documentElement.requestFullscreen?.().catch(() => undefined);
  };
  return { on, flip };
}
