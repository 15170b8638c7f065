import { Dialog, DialogDismiss } from "@ariakit/react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, type ReactNode } from "react";
import { NavLink, useLocation } from "react-router";
import { api, unwrap } from "../api/client.ts";
import { errorMessage } from "../api/error.ts";
import { clearSession, useSession } from "../api/queries.ts";
import { inboxQuery } from "../pages/alerts/queries.ts";
import { Button } from "../ui/Button.tsx";
import { BellIcon, BookIcon, CloseIcon, DashboardIcon, GaugeIcon, SettingsIcon, InboxIcon, SignOutIcon, MenuIcon, MetricIcon, PlugIcon } from "../ui/icons.tsx";
import { showToast } from "../ui/toast.ts";
import { Logo } from "./Logo.tsx";
import { ThemeMenu } from "./theme.tsx";

/** Sidebar navigation. */
export function Navigation() {
  return (
    <aside className="side" aria-label="Tidemark">
      <div className="side-head"><Logo /></div>
      <NavLinks />
      <SidebarFooter />
    </aside>
  );
}

/** Navigation on narrow screens: a bar with a button that opens the menu. */
export function TopBar() {
  const [open, setOpen] = useState(false);
  const unread = useQuery(inboxQuery).data?.unread ?? 0;
  const { pathname } = useLocation();
  useEffect(() => setOpen(false), [pathname]);
  return (
    <header className="top-bar">
      <Button variant="quiet" className={unread > 0 ? "unread" : ""} icon={<MenuIcon size={22} />} aria-label={unread > 0 ? "Menu, unread notifications" : "Menu"} aria-expanded={open} onClick={() => setOpen(true)} />
      <Logo />
      <ThemeMenu />
      <Dialog open={open} onClose={() => setOpen(false)} unmountOnHide aria-label="Menu" className="drawer" backdrop={<div className="backdrop" />}>
        <div className="side-head">
          <Logo />
          <DialogDismiss className="button button-quiet button-icon-only" aria-label="Close"><CloseIcon /></DialogDismiss>
        </div>
        <NavLinks />
        <SidebarFooter />
      </Dialog>
    </header>
  );
}

function NavLinks() {
  const unread = useQuery(inboxQuery).data?.unread ?? 0;
  return (
    <nav className="side-links" aria-label="Main">
      <NavItem to="/dashboards" icon={<DashboardIcon />}>Dashboards</NavItem>
      <NavItem to="/metrics" icon={<MetricIcon />}>Metrics</NavItem>
      <NavItem to="/alerts" icon={<BellIcon />}>Alerts</NavItem>
      <NavItem to="/inbox" icon={<InboxIcon />} count={unread}>Inbox</NavItem>
      <NavItem to="/integrations" icon={<PlugIcon />}>Integrations</NavItem>
      <NavItem to="/usage" icon={<GaugeIcon />}>Usage</NavItem>
      <NavItem to="/settings" icon={<SettingsIcon />}>Settings</NavItem>
    </nav>
  );
}

function NavItem({ to, icon, count = 0, children }: { to: string; icon: ReactNode; count?: number; children: ReactNode }) {
  return (
    <NavLink to={to} className="side-link">
      {icon}
      <span>{children}</span>
      {count > 0 && <span className="side-count"><span className="sr-only">, unread: </span>{count > 99 ? "99+" : count}</span>}
    </NavLink>
  );
}

function SidebarFooter() {
  const session = useSession();
  const client = useQueryClient();
  const signOut = useMutation({
    mutationFn: () => unwrap(api.DELETE("/api/v1/session")),
    onSuccess: () => clearSession(client),
    onError: (error) => showToast(errorMessage(error), "error"),
  });
  return (
    <div className="side-foot">
      <a href="/docs" className="side-link"><BookIcon /><span>API reference</span></a>
      <div className="side-account">
        <div className="side-project">
          <strong title={session.name}>{session.name}</strong>
          <span className="muted small">Plan: {session.plan}</span>
        </div>
        <span className="wide-only"><ThemeMenu /></span>
        <Button variant="quiet" icon={<SignOutIcon />} aria-label="Sign out" title="Sign out" busy={signOut.isPending} onClick={() => signOut.mutate()} />
      </div>
    </div>
  );
}
