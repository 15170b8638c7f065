import { Menu as AriaMenu, MenuButton, MenuItem, MenuProvider, MenuSeparator } from "@ariakit/react";
import type { ReactNode } from "react";

export interface Item {
  label: string;
  icon?: ReactNode;
  danger?: boolean;
  disabled?: boolean;
  onSelect: () => void;
}

/** A button that opens a menu. `null` among the items is a line between them. */
export function Menu({ label, button, className = "button button-quiet button-bare button-small", items }: { label: string; button: ReactNode; className?: string; items: (Item | null)[] }) {
  return (
    <MenuProvider placement="bottom-end">
      <MenuButton className={className} aria-label={label}>{button}</MenuButton>
      <AriaMenu gutter={4} portal unmountOnHide className="menu">
        {items.map((item, index) =>
          item === null ? (
            // Lines have no identity but their place.
            <MenuSeparator key={`line-${index}`} className="menu-line" />
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
