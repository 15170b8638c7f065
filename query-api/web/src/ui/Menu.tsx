import { Menu as AriaMenu, MenuButton, MenuItem, MenuProvider, MenuSeparator } from "@ariakit/react";
import type { ReactNode } from "react";

export interface MenuAction {
  label: string;
  icon?: ReactNode;
  danger?: boolean;
  disabled?: boolean;
  onSelect: () => void;
}

/** Button that opens a menu. `null` in `items` is a separator. */
export function Menu({ label, button, className = "button button-quiet button-icon-only button-small", items }: { label: string; button: ReactNode; className?: string; items: (MenuAction | null)[] }) {
  return (
    <MenuProvider placement="bottom-end">
      <MenuButton className={className} aria-label={label}>{button}</MenuButton>
      <AriaMenu gutter={4} portal unmountOnHide className="menu">
        {items.map((item, index) =>
          item === null ? (
            // Separators have no id; the index is their only identity.
            <MenuSeparator key={`separator-${index}`} className="menu-separator" />
          ) : (
            <MenuItem key={item.label} className={`menu-item${item.danger ? " menu-danger" : ""}`} disabled={item.disabled} onClick={item.onSelect}>
              {item.icon}
              {item.label}
            </MenuItem>
          ),
        )}
      </AriaMenu>
    </MenuProvider>
  );
}
