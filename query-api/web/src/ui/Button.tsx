import type { ButtonHTMLAttributes, ReactNode } from "react";
import { Link, type LinkProps } from "react-router";

type Look = "plain" | "primary" | "danger" | "quiet";

interface Shape {
  look?: Look;
  small?: boolean;
  icon?: ReactNode;
}

const classes = (look: Look = "plain", small = false, bare = false, extra = "") =>
  `button button-${look}${small ? " button-small" : ""}${bare ? " button-bare" : ""} ${extra}`.trim();

/** A button. While it is `busy` it cannot be pressed again, and says so. */
export function Button({ look, small, icon, busy, className, children, ...rest }: Shape & { busy?: boolean } & ButtonHTMLAttributes<HTMLButtonElement>) {
  return (
    <button type="button" {...rest} disabled={rest.disabled || busy} aria-busy={busy || undefined} className={classes(look, small, !children, className)}>
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
