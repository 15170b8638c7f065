import { useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { api, unwrap } from "../../api/client.ts";
import { errorMessage } from "../../api/error.ts";
import { useCanManage, useRefresh } from "../../api/queries.ts";
import type { InboxNotice } from "../../api/types.ts";
import { formatValue } from "../../format/numbers.ts";
import { Button } from "../../ui/Button.tsx";
import { CheckIcon, InboxIcon } from "../../ui/icons.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Badge, EmptyState, ErrorState, Skeleton } from "../../ui/feedback.tsx";
import { RelativeTime } from "../../ui/RelativeTime.tsx";
import { showToast } from "../../ui/toast.ts";
import { inboxQuery } from "../alerts/queries.ts";
import { describeCondition } from "../alerts/labels.ts";

const EVENT_BADGES: Record<string, { kind: "bad" | "good" | "warn" | "neutral"; name: string }> = {
  firing: { kind: "bad", name: "Firing" },
  resolved: { kind: "good", name: "Resolved" },
  no_data: { kind: "warn", name: "No data" },
  flapping: { kind: "warn", name: "Flapping" },
  test: { kind: "neutral", name: "Test" },
};

/** Notifications of the in-app channels. */
export function Inbox() {
  const inbox = useQuery(inboxQuery);
  const manage = useCanManage();
  const refresh = useRefresh();
  const items = inbox.data?.items ?? [];
  const newest = items[0]?.at;
  const markRead = useMutation({
    mutationFn: (until: number) => unwrap(api.POST("/api/v1/inbox/read", { body: { until } })),
    onSuccess: () => void refresh(["inbox"]),
    onError: (error) => showToast(errorMessage(error), "error"),
  });
  const unread = inbox.data?.unread ?? 0;
  return (
    <Page title="Inbox" description="Notifications from your alerts." actions={manage && unread > 0 && newest !== undefined && <Button icon={<CheckIcon />} busy={markRead.isPending} onClick={() => markRead.mutate(newest)}>Mark all as read</Button>}>
      <Card flush label="Notifications">
        {inbox.isPending ? (
          <div className="card-body"><Skeleton /></div>
        ) : inbox.isError && !inbox.data ? (
          <ErrorState error={inbox.error} onRetry={() => inbox.refetch()} />
        ) : items.length === 0 ? (
          <EmptyState icon={<InboxIcon size={26} />} title="No notifications yet">
            <p>Notifications appear here when an alert rule with an inbox channel fires. You can create channels under <Link to="/alerts/channels">Alerts</Link>.</p>
          </EmptyState>
        ) : (
          <ul className="inbox">{items.map((notice) => <NotificationItem key={`${notice.id} ${notice.channelId}`} notice={notice} />)}</ul>
        )}
      </Card>
    </Page>
  );
}

function NotificationItem({ notice }: { notice: InboxNotice }) {
  const event = EVENT_BADGES[notice.event] ?? { kind: "neutral", name: notice.event };
  return (
    <li className={`notification${notice.read ? "" : " notification-unread"}`}>
      <Badge kind={event.kind}>{event.name}</Badge>
      <div className="notification-text">
        <p className="notification-title">{notice.alertId ? <Link to={`/alerts/${notice.alertId}`}>{notice.title}</Link> : notice.title}{!notice.read && <span className="sr-only"> (unread)</span>}</p>
        {notice.alertId && notice.event !== "test" && <p className="muted small">{notice.value === null ? "No points" : formatValue(notice.value, notice.aggregation === "count" ? null : notice.unit)} · {describeCondition(notice, notice.unit)}</p>}
      </div>
      <span className="muted small"><RelativeTime at={notice.at} /></span>
    </li>
  );
}
