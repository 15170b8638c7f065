import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link } from "react-router";
import { projectQuery, useSession } from "../api/queries.ts";
import { ApiError } from "../api/error.ts";
import { formatCount } from "../format/numbers.ts";
import { formatTime } from "../format/times.ts";
import { WarnIcon } from "../ui/icons.tsx";

/** What concerns every page: no connection, no requests left. */
export function Banners() {
  const { projectId } = useSession();
  const project = useQuery(projectQuery(projectId));
  const online = useOnline();
  const unreachable = project.error instanceof ApiError && project.error.status === 0;
  const quota = project.data?.quota;
  const used = quota?.limit ? quota.used / quota.limit : 0;
  return (
    <>
      {(!online || unreachable) && (
        <div className="banner banner-warn" role="status">
          <WarnIcon />
          <span><strong>{online ? "The server cannot be reached." : "You are offline."}</strong> What you see may be old. It goes on by itself once the connection is back.</span>
        </div>
      )}
      {quota?.limit && used >= 1 ? (
        <div className="banner banner-bad" role="status">
          <WarnIcon />
          <span>
            <strong>This hour’s {formatCount(quota.limit)} requests are used up.</strong> Further ones are refused until {formatTime(quota.resetAt)}. Put several metrics into one request, or ask for a larger plan. <Link to="/usage">See the usage</Link>
          </span>
        </div>
      ) : quota?.limit && used >= 0.9 ? (
        <div className="banner banner-warn" role="status">
          <WarnIcon />
          <span>
            {formatCount(quota.limit - quota.used)} of {formatCount(quota.limit)} requests are left until {formatTime(quota.resetAt)}. <Link to="/usage">See the usage</Link>
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
