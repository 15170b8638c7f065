import { useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { api, of } from "../../api/client.ts";
import { messageOf } from "../../api/error.ts";
import { useMayManage, useRefresh } from "../../api/queries.ts";
import type { InboxNotice } from "../../api/types.ts";
import { formatValue } from "../../format/numbers.ts";
import { Button } from "../../ui/Button.tsx";
import { CheckIcon, InboxIcon } from "../../ui/icons.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Badge, Empty, Failed, Skeleton } from "../../ui/states.tsx";
import { Ago } from "../../ui/Time.tsx";
import { tell } from "../../ui/toast.ts";
import { inboxQuery } from "../alerts/queries.ts";
import { conditionText } from "../alerts/words.ts";

const EVENTS: Record<string, { kind: "bad" | "good" | "warn" | "neutral"; name: string }> = {
  firing: { kind: "bad", name: "Firing" },
  resolved: { kind: "good", name: "Resolved" },
  no_data: { kind: "warn", name: "No data" },
  flapping: { kind: "warn", name: "Flapping" },
  test: { kind: "neutral", name: "Test" },
};

/** What the in-app channels were told. */
export function Inbox() {
  const inbox = useQuery(inboxQuery);
  const manage = useMayManage();
  const refresh = useRefresh();
  const items = inbox.data?.items ?? [];
  const newest = items[0]?.at;
  const read = useMutation({
    mutationFn: (until: number) => of(api.POST("/api/v1/inbox/read", { body: { until } })),
    onSuccess: () => void refresh(["inbox"]),
    onError: (error) => tell(messageOf(error), "error"),
  });
  const unread = inbox.data?.unread ?? 0;
  return (
    <Page title="Inbox" about="What alerts had to tell." actions={manage && unread > 0 && newest !== undefined && <Button icon={<CheckIcon />} busy={read.isPending} onClick={() => read.mutate(newest)}>Mark all as read</Button>}>
      <Card flush label="Notices">
        {inbox.isPending ? (
          <div className="card-body"><Skeleton /></div>
        ) : inbox.isError && !inbox.data ? (
          <Failed error={inbox.error} onRetry={() => inbox.refetch()} />
        ) : items.length === 0 ? (
          <Empty icon={<InboxIcon size={26} />} title="Nothing here yet">
            <p>When a rule with an inbox channel fires, it is told here. Channels are made under <Link to="/alerts/channels">Alerts</Link>.</p>
          </Empty>
        ) : (
          <ul className="inbox">{items.map((notice) => <Notice key={`${notice.id} ${notice.channelId}`} notice={notice} />)}</ul>
        )}
      </Card>
    </Page>
  );
}

function Notice({ notice }: { notice: InboxNotice }) {
  const event = EVENTS[notice.event] ?? { kind: "neutral", name: notice.event };
  return (
    <li className={`notice${notice.read ? "" : " notice-new"}`}>
      <Badge kind={event.kind}>{event.name}</Badge>
      <div className="notice-text">
        <p className="notice-title">{notice.alertId ? <Link to={`/alerts/${notice.alertId}`}>{notice.title}</Link> : notice.title}{!notice.read && <span className="sr-only"> (unread)</span>}</p>
        {notice.alertId && notice.event !== "test" && <p className="quiet small">{notice.value === null ? "No points" : formatValue(notice.value, notice.aggregation === "count" ? null : notice.unit)} · {conditionText(notice, notice.unit)}</p>}
      </div>
      <span className="quiet small"><Ago at={notice.at} /></span>
    </li>
  );
}
