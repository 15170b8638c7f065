import { useEffect, type ReactNode } from "react";
import { Link } from "react-router";
import { BackIcon } from "./icons.tsx";

interface Props {
  title: string;
  /** Replaces `title` in the heading if it needs markup. */
  heading?: ReactNode;
  description?: ReactNode;
  back?: { to: string; label: string };
  actions?: ReactNode;
  wide?: boolean;
  children: ReactNode;
}

/** Page with back link, heading and actions. */
export function Page({ title, heading, description, back, actions, wide, children }: Props) {
  useEffect(() => {
    document.title = `${title} · Tidemark`;
  }, [title]);
  return (
    <div className={`page${wide ? " page-wide" : ""}`}>
      {back && <Link to={back.to} className="back"><BackIcon size={16} />{back.label}</Link>}
      <header className="page-head">
        <div className="page-title">
          <h1>{heading ?? title}</h1>
          {description && <div className="page-description">{description}</div>}
        </div>
        {actions && <div className="page-actions">{actions}</div>}
      </header>
      {children}
    </div>
  );
}

/** Section of a page. */
export function Card({ title, actions, children, flush, label }: { title?: ReactNode; actions?: ReactNode; children: ReactNode; flush?: boolean; label?: string }) {
  return (
    <section className="card" aria-label={label}>
      {(title || actions) && (
        <div className="card-head">
          {title && <h2>{title}</h2>}
          {actions && <div className="card-actions">{actions}</div>}
        </div>
      )}
      <div className={flush ? "card-flush" : "card-body"}>{children}</div>
    </section>
  );
}
