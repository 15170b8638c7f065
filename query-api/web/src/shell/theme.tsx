import { useEffect, useState } from "react";
import { Menu } from "../ui/Menu.tsx";
import { MoonIcon, SunIcon, SystemIcon } from "../ui/icons.tsx";

type Theme = "light" | "dark" | "system";

const STORED = "tidemark.theme";
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();

dark.addEventListener("change", changed);

function read(): Theme {
  const theme = document.documentElement.dataset.theme;
  return theme === "light" || theme === "dark" ? theme : "system";
}

function changed(): void {
  listeners.forEach((listener) => listener());
}

function choose(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem(STORED);
    else localStorage.setItem(STORED, theme);
  } catch {
    // It holds for this visit, then.
  }
  changed();
}

/** Counts changes of the theme: what draws on a canvas draws anew. */
export function useThemeVersion(): number {
  const [version, setVersion] = useState(0);
  useEffect(() => {
    const listener = () => setVersion((version) => version + 1);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }, []);
  return version;
}

/** Light, dark, or as the system has it. */
export function ThemeButton() {
  useThemeVersion();
  const theme = read();
  const names: Record<Theme, string> = { light: "Light", dark: "Dark", system: "Like the system" };
  const icons = { light: <SunIcon />, dark: <MoonIcon />, system: <SystemIcon /> };
  return (
    <Menu label={`Theme: ${names[theme]}`} button={icons[theme]}
      items={(["light", "dark", "system"] as const).map((one) => ({ label: names[one], icon: icons[one], onSelect: () => choose(one) }))} />
  );
}
