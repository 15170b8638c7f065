import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link } from "react-router";
import { projectQuery, useSession } from "../api/queries.ts";
import { ApiError } from "../api/error.ts";
import { formatCount } from "../format/numbers.ts";
import { formatTime } from "../format/times.ts";
import { WarnIcon } from "../ui/icons.tsx";

/** Warnings shown on every page: no connection, quota nearly or completely used. */
export function Banners() {
  const { projectId } = useSession();
  const project = useQuery(projectQuery(projectId));
  const online = useOnline();
  const unreachable = project.error instanceof ApiError && project.error.status === 0;
  const quota = project.data?.quota;
  const usedShare = quota?.limit ? quota.used / quota.limit : 0;
  return (
    <>
      {(!online || unreachable) && (
        <div className="banner banner-warn" role="status">
          <WarnIcon />
          <span><strong>{online ? "Could not reach the server." : "You are offline."}</strong> The data shown may be outdated. It updates automatically when the connection is back.</span>
        </div>
      )}
      {quota?.limit && usedShare >= 1 ? (
        <div className="banner banner-bad" role="status">
          <WarnIcon />
          <span>
            <strong>You have used all {formatCount(quota.limit)} requests for this hour.</strong> Further requests are rejected until {formatTime(quota.resetAt)}. Send several metrics in one request, or ask for a larger plan. <Link to="/usage">View usage</Link>
          </span>
        </div>
      ) : quota?.limit && usedShare >= 0.9 ? (
        <div className="banner banner-warn" role="status">
          <WarnIcon />
          <span>
            {formatCount(quota.limit - quota.used)} of {formatCount(quota.limit)} requests are left until {formatTime(quota.resetAt)}. <Link to="/usage">View usage</Link>
          </span>
        </div>
      ) : null}
    </>
  );
}

function useOnline(): boolean {
  const [online, setOnline] = useState(navigator.onLine);
  useEffect(() => {
    const listener = () => setOnline(navigator.onLine);
    window.addEventListener("online", listener);
    window.addEventListener("offline", listener);
    return () => {
      window.removeEventListener("online", listener);
      window.removeEventListener("offline", listener);
    };
  }, []);
  return online;
}
