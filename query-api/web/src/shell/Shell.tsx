import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { Outlet, ScrollRestoration, useLocation } from "react-router";
import { onSessionEnd } from "../api/client.ts";
import { clearSession, SessionContext, sessionQuery, useRefresh } from "../api/queries.ts";
import { stream } from "../live/stream.ts";
import { ErrorState } from "../ui/feedback.tsx";
import { installFocusRestoration } from "../ui/restoreFocus.ts";
import { Toasts } from "../ui/Toasts.tsx";
import { Banners } from "./Banners.tsx";
import { Navigation, TopBar } from "./Navigation.tsx";
import { SignIn } from "./SignIn.tsx";

/** Layout around all pages. Shows the sign-in form if there is no session. */
export function Shell() {
  const session = useQuery(sessionQuery);
  const client = useQueryClient();
  const [ended, setEnded] = useState(false);
  useEffect(
    () =>
      onSessionEnd(() => {
        if (client.getQueryData(sessionQuery.queryKey)) setEnded(true);
        clearSession(client);
      }),
    [client],
  );

  if (session.isPending) return <div className="splash" role="status" aria-label="Loading"><span className="spinner" /></div>;
  if (session.isError && !session.data) {
    return <main className="splash"><ErrorState error={session.error} onRetry={() => session.refetch()} /></main>;
  }
  if (!session.data) return <><SignIn ended={ended} onSignIn={() => setEnded(false)} /><Toasts /></>;
  return <SessionContext value={session.data}><SignedInLayout /></SessionContext>;
}

function SignedInLayout() {
  const { pathname } = useLocation();
  const refresh = useRefresh();
  useEffect(() => stream.subscribe({ metrics: [], onNotice: () => void refresh(["inbox"], ["alerts"]) }), [refresh]);
  useEffect(installFocusRestoration, []);
  const previousPathname = useRef(pathname);
  useEffect(() => {
    // Moves the focus to the new page, so that screen readers announce it. The first page keeps the default focus.
    if (previousPathname.current !== pathname) document.getElementById("main")?.focus({ preventScroll: true });
    previousPathname.current = pathname;
  }, [pathname]);
  return (
    <div className="shell">
      <a className="skip" href="#main">Skip to content</a>
      <TopBar />
      <Navigation />
      <main id="main" tabIndex={-1}>
        <Banners />
        <Outlet />
      </main>
      <Toasts />
      <ScrollRestoration />
    </div>
  );
}
