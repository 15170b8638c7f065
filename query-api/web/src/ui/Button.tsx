import type { ButtonHTMLAttributes, MouseEvent, ReactNode } from "react";
import { Link, type LinkProps } from "react-router";

type Look = "plain" | "primary" | "danger" | "quiet";

interface Shape {
  look?: Look;
  small?: boolean;
  icon?: ReactNode;
}

const classes = (look: Look = "plain", small = false, bare = false, extra = "") =>
  `button button-${look}${small ? " button-small" : ""}${bare ? " button-bare" : ""} ${extra}`.trim();

/** A button. While it is `busy` it cannot be pressed again, and says so; a disabled one would lose the focus. */
export function Button({ look, small, icon, busy, className, children, onClick, ...rest }: Shape & { busy?: boolean } & ButtonHTMLAttributes<HTMLButtonElement>) {
  const press = (event: MouseEvent<HTMLButtonElement>) => {
    if (busy) event.preventDefault();
    else onClick?.(event);
  };
  return (
    <button type="button" {...rest} onClick={press} aria-disabled={busy || undefined} aria-busy={busy || undefined} className={classes(look, small, !children, className)}>
      {busy ? <span className="spinner" aria-hidden="true" /> : icon}
      {children}
    </button>
  );
}

/** A link that looks like a button. */
export function ButtonLink({ look, small, icon, className, children, ...rest }: Shape & LinkProps) {
  return (
    <Link {...rest} className={classes(look, small, !children, className)}>
      {icon}
      {children}
    </Link>
  );
}
