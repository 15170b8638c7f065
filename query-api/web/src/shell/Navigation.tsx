import { Dialog, DialogDismiss } from "@ariakit/react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, type ReactNode } from "react";
import { NavLink, useLocation } from "react-router";
import { api, of } from "../api/client.ts";
import { messageOf } from "../api/error.ts";
import { forgetSession, useSession } from "../api/queries.ts";
import { inboxQuery } from "../pages/alerts/queries.ts";
import { Button } from "../ui/Button.tsx";
import { BellIcon, BookIcon, CrossIcon, DashboardIcon, GaugeIcon, GearIcon, InboxIcon, LeaveIcon, MenuIcon, MetricIcon, PlugIcon } from "../ui/icons.tsx";
import { tell } from "../ui/toast.ts";
import { Logo } from "./Logo.tsx";
import { ThemeButton } from "./theme.tsx";

/** The way around, at the side. */
export function Navigation() {
  return (
    <aside className="side" aria-label="Tidemark">
      <div className="side-head"><Logo /></div>
      <Links />
      <Foot />
    </aside>
  );
}

/** The same on narrow screens: a bar, and the way around behind a button. */
export function TopBar() {
  const [open, setOpen] = useState(false);
  const unread = useQuery(inboxQuery).data?.unread ?? 0;
  const { pathname } = useLocation();
  useEffect(() => setOpen(false), [pathname]);
  return (
    <header className="top-bar">
      <Button look="quiet" className={unread > 0 ? "unread" : ""} icon={<MenuIcon size={22} />} aria-label={unread > 0 ? "Menu, something unread in the inbox" : "Menu"} aria-expanded={open} onClick={() => setOpen(true)} />
      <Logo />
      <ThemeButton />
      <Dialog open={open} onClose={() => setOpen(false)} unmountOnHide aria-label="Menu" className="drawer" backdrop={<div className="backdrop" />}>
        <div className="side-head">
          <Logo />
          <DialogDismiss className="button button-quiet button-bare" aria-label="Close"><CrossIcon /></DialogDismiss>
        </div>
        <Links />
        <Foot />
      </Dialog>
    </header>
  );
}

function Links() {
  const unread = useQuery(inboxQuery).data?.unread ?? 0;
  return (
    <nav className="side-links" aria-label="Main">
      <Item to="/dashboards" icon={<DashboardIcon />}>Dashboards</Item>
      <Item to="/metrics" icon={<MetricIcon />}>Metrics</Item>
      <Item to="/alerts" icon={<BellIcon />}>Alerts</Item>
      <Item to="/inbox" icon={<InboxIcon />} count={unread}>Inbox</Item>
      <Item to="/integrations" icon={<PlugIcon />}>Integrations</Item>
      <Item to="/usage" icon={<GaugeIcon />}>Usage</Item>
      <Item to="/settings" icon={<GearIcon />}>Settings</Item>
    </nav>
  );
}

function Item({ to, icon, count = 0, children }: { to: string; icon: ReactNode; count?: number; children: ReactNode }) {
  return (
    <NavLink to={to} className="side-link">
      {icon}
      <span>{children}</span>
      {count > 0 && <span className="side-count"><span className="sr-only">, unread: </span>{count > 99 ? "99+" : count}</span>}
    </NavLink>
  );
}

function Foot() {
  const session = useSession();
  const client = useQueryClient();
  const signOut = useMutation({
    mutationFn: () => of(api.DELETE("/api/v1/session")),
    onSuccess: () => forgetSession(client),
    onError: (error) => tell(messageOf(error), "error"),
  });
  return (
    <div className="side-foot">
      <a href="/docs" className="side-link"><BookIcon /><span>API reference</span></a>
      <div className="side-who">
        <div className="side-project">
          <strong title={session.name}>{session.name}</strong>
          <span className="quiet small">Plan {session.plan}</span>
        </div>
        <span className="wide-only"><ThemeButton /></span>
        <Button look="quiet" icon={<LeaveIcon />} aria-label="Sign out" title="Sign out" busy={signOut.isPending} onClick={() => signOut.mutate()} />
      </div>
    </div>
  );
}
