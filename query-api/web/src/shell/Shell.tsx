import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { Outlet, ScrollRestoration, useLocation } from "react-router";
import { onSessionEnd } from "../api/client.ts";
import { forgetSession, SessionContext, sessionQuery, useRefresh } from "../api/queries.ts";
import { stream } from "../live/stream.ts";
import { Failed } from "../ui/states.tsx";
import { keepFocus } from "../ui/focus.ts";
import { Toasts } from "../ui/Toasts.tsx";
import { Banners } from "./Banners.tsx";
import { Navigation, TopBar } from "./Navigation.tsx";
import { SignIn } from "./SignIn.tsx";

/** What is around every page; who is not signed in sees only the way in. */
export function Shell() {
  const session = useQuery(sessionQuery);
  const client = useQueryClient();
  const [ended, setEnded] = useState(false);
  useEffect(
    () =>
      onSessionEnd(() => {
        if (client.getQueryData(sessionQuery.queryKey)) setEnded(true);
        forgetSession(client);
      }),
    [client],
  );

  if (session.isPending) return <div className="splash" role="status" aria-label="Loading"><span className="spinner" /></div>;
  if (session.isError && !session.data) {
    return <main className="splash"><Failed error={session.error} onRetry={() => session.refetch()} /></main>;
  }
  if (!session.data) return <><SignIn ended={ended} onSignIn={() => setEnded(false)} /><Toasts /></>;
  return <SessionContext value={session.data}><SignedIn /></SessionContext>;
}

function SignedIn() {
  const { pathname } = useLocation();
  const refresh = useRefresh();
  useEffect(() => stream.subscribe({ metrics: [], onNotice: () => void refresh(["inbox"], ["alerts"]) }), [refresh]);
  useEffect(keepFocus, []);
  const shown = useRef(pathname);
  useEffect(() => {
    // Who reads by ear hears that another page is there; the first one begins at its beginning.
    if (shown.current !== pathname) document.getElementById("main")?.focus({ preventScroll: true });
    shown.current = pathname;
  }, [pathname]);
  return (
    <div className="shell">
      <a className="skip" href="#main">Skip to the content</a>
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
