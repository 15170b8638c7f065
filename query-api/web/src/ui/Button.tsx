import type { ButtonHTMLAttributes, MouseEvent, ReactNode } from "react";
import { Link, type LinkProps } from "react-router";

type Variant = "default" | "primary" | "danger" | "quiet";

interface ButtonStyle {
  variant?: Variant;
  small?: boolean;
  icon?: ReactNode;
}

const buttonClasses = (variant: Variant = "default", small = false, iconOnly = false, extra = "") =>
  `button button-${variant}${small ? " button-small" : ""}${iconOnly ? " button-icon-only" : ""} ${extra}`.trim();

/** Button. While `busy`, it ignores clicks and sets `aria-busy`. It is not disabled, because it would lose the focus. */
export function Button({ variant, small, icon, busy, className, children, onClick, ...rest }: ButtonStyle & { busy?: boolean } & ButtonHTMLAttributes<HTMLButtonElement>) {
  const handleClick = (event: MouseEvent<HTMLButtonElement>) => {
    if (busy) event.preventDefault();
    else onClick?.(event);
  };
  return (
    <button type="button" {...rest} onClick={handleClick} aria-disabled={busy || undefined} aria-busy={busy || undefined} className={buttonClasses(variant, small, !children, className)}>
      {busy ? <span className="spinner" aria-hidden="true" /> : icon}
      {children}
    </button>
  );
}

/** Link styled as a button. */
export function ButtonLink({ variant, small, icon, className, children, ...rest }: ButtonStyle & LinkProps) {
  return (
    <Link {...rest} className={buttonClasses(variant, small, !children, className)}>
      {icon}
      {children}
    </Link>
  );
}
