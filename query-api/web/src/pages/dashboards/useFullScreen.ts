import { useEffect } from "react";
import { useSearchParams } from "react-router";

/** Shows only the dashboard, in browser full screen if allowed. The URL parameter `full` holds the state. */
export function useFullScreen(): { on: boolean; toggle: () => void } {
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
      // Leaving the dashboard ends full screen.
      if (on && document.fullscreenElement) void document.exitFullscreen();
    };
  }, [on]);
  useEffect(() => {
    // When Escape ends browser full screen, the page receives no key event.
    const handleFullScreenChange = () => {
      if (!document.fullscreenElement) set(false);
    };
    document.addEventListener("fullscreenchange", handleFullScreenChange);
    return () => document.removeEventListener("fullscreenchange", handleFullScreenChange);
  });
  useEffect(() => {
    if (!on) return;
    // Without browser full screen, the page receives Escape. Open menus and dialogs take precedence.
    const handleKeyDown = (event: KeyboardEvent) => {
      if (event.key === "Escape" && !event.defaultPrevented && !document.fullscreenElement && !document.querySelector("[role=dialog], [role=menu]")) set(false);
    };
    document.addEventListener("keydown", handleKeyDown, true);
    return () => document.removeEventListener("keydown", handleKeyDown, true);
  });
  const toggle = () => {
    set(!on);
    if (!on) document.documentElement.requestFullscreen?.().catch(() => undefined);
  };
  return { on, toggle };
}
