import { useEffect, useState } from "react";
import { Menu } from "../ui/Menu.tsx";
import { MoonIcon, SunIcon, SystemIcon } from "../ui/icons.tsx";

type Theme = "light" | "dark" | "system";

const STORAGE_KEY = "tidemark.theme";
const darkPreference = window.matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();

darkPreference.addEventListener("change", notifyListeners);

function currentTheme(): Theme {
  const theme = document.documentElement.dataset.theme;
  return theme === "light" || theme === "dark" ? theme : "system";
}

function notifyListeners(): void {
  listeners.forEach((listener) => listener());
}

function setTheme(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem(STORAGE_KEY);
    else localStorage.setItem(STORAGE_KEY, theme);
  } catch {
    // The browser blocks storage. The choice then lasts until the page is reloaded.
  }
  notifyListeners();
}

/** Returns a number that changes with the theme. Components that draw on a canvas depend on it to redraw. */
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

/** Menu for choosing the light, dark or system theme. */
export function ThemeMenu() {
  useThemeVersion();
  const theme = currentTheme();
  const names: Record<Theme, string> = { light: "Light", dark: "Dark", system: "System" };
  const icons = { light: <SunIcon />, dark: <MoonIcon />, system: <SystemIcon /> };
  return (
    <Menu label={`Theme: ${names[theme]}`} button={icons[theme]}
      items={(["light", "dark", "system"] as const).map((option) => ({ label: names[option], icon: icons[option], onSelect: () => setTheme(option) }))} />
  );
}
