import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, unwrap } from "../../api/client.ts";
import { ApiError, errorMessage } from "../../api/error.ts";
import { useCanManage, useRefresh } from "../../api/queries.ts";
import type { Channel } from "../../api/types.ts";
import { Button } from "../../ui/Button.tsx";
import { CopyField } from "../../ui/Copy.tsx";
import { Dialog, FormDialog } from "../../ui/Dialog.tsx";
import { SelectField, TextField } from "../../ui/Field.tsx";
import { BellIcon, MoreIcon, PlusIcon, TrashIcon } from "../../ui/icons.tsx";
import { Menu } from "../../ui/Menu.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Alert, EmptyState, ErrorState, Skeleton } from "../../ui/feedback.tsx";
import { RelativeTime } from "../../ui/RelativeTime.tsx";
import { showToast } from "../../ui/toast.ts";
import { AlertTabs } from "./components.tsx";
import { channelsQuery } from "./queries.ts";
import { channelKindLabel, CHANNEL_KINDS } from "./labels.ts";

const HINTS: Record<string, string> = {
  slack: "Incoming webhook of a Slack app: https://hooks.slack.com/services/…",
  discord: "Webhook of a Discord channel: https://discord.com/api/webhooks/…",
  teams: "URL of the workflow “Post to a channel when a webhook request is received”.",
  webhook: "Any HTTPS URL. Requests are signed as defined by Standard Webhooks.",
};

/** List of notification channels. */
export function Channels() {
  const channels = useQuery(channelsQuery);
  const manage = useCanManage();
  const [creating, setCreating] = useState(false);
  const [deleting, setDeleting] = useState<Channel>();
  const test = useMutation({
    mutationFn: (channel: Channel) => unwrap(api.POST("/api/v1/channels/{channelId}/test", { params: { path: { channelId: channel.channelId } } })),
    onSuccess: (_, channel) => showToast(`Sending a test notification to “${channel.name}”`),
    onError: (error) => showToast(errorMessage(error), "error"),
  });
  const items = channels.data?.items ?? [];
  const create = manage && <Button variant="primary" icon={<PlusIcon />} onClick={() => setCreating(true)}>New channel</Button>;
  return (
    <Page title="Channels" description="Where notifications are sent. Nothing is sent until a rule fires or you send a test notification." actions={items.length > 0 && create}>
      <div className="toolbar"><AlertTabs current="channels" /></div>
      <Card flush label="Channels">
        {channels.isPending ? (
          <div className="card-body"><Skeleton /></div>
        ) : channels.isError ? (
          <ErrorState error={channels.error} onRetry={() => channels.refetch()} />
        ) : items.length === 0 ? (
          <EmptyState icon={<BellIcon size={26} />} title="No channels yet" action={create}>
            <p>Get notified in your inbox, Slack, Discord, Microsoft Teams, or through your own webhook.</p>
          </EmptyState>
        ) : (
          <div className="table-box">
            <table className="table">
              <thead><tr><th>Name</th><th>Type</th><th className="hide-on-phone">URL</th><th className="hide-on-phone">Created</th><th className="tight"><span className="sr-only">Actions</span></th></tr></thead>
              <tbody>
                {items.map((channel) => (
                  <tr key={channel.channelId}>
                    <td className="table-name">{channel.name}</td>
                    <td>{channelKindLabel(channel.kind)}</td>
                    <td className="hide-on-phone"><code className="muted">{channel.url ?? "–"}</code></td>
                    <td className="hide-on-phone"><RelativeTime at={channel.createdAt} /></td>
                    <td className="tight">
                      {manage && (
                        <Menu label={`Actions for ${channel.name}`} button={<MoreIcon />} items={[
                          { label: "Send test notification", icon: <BellIcon />, onSelect: () => test.mutate(channel) },
                          null,
                          { label: "Delete", icon: <TrashIcon />, danger: true, onSelect: () => setDeleting(channel) },
                        ]} />
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Card>
      {creating && <NewChannel onClose={() => setCreating(false)} />}
      {deleting && <DeleteChannel channel={deleting} onClose={() => setDeleting(undefined)} />}
    </Page>
  );
}

function NewChannel({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [kind, setKind] = useState<Channel["kind"]>("in_app");
  const [url, setUrl] = useState("");
  const refresh = useRefresh();
  const create = useMutation({
    mutationFn: () => unwrap(api.POST("/api/v1/channels", { body: { name: name.trim(), kind, ...(kind === "in_app" ? {} : { url: url.trim() }) } })),
    onSuccess: (channel) => {
      void refresh(["channels"]);
      if (!channel.signingSecret) onClose();
    },
  });
  if (create.data?.signingSecret) {
    return (
      <Dialog title={`Channel “${create.data.name}” created`} onClose={onClose}>
        <div className="dialog-body">
          <CopyField label="Signing secret" value={create.data.signingSecret} hint="Use it to verify that requests come from Tidemark." />
          <Alert kind="warn">Copy it now. It will not be shown again.</Alert>
        </div>
        <div className="dialog-foot"><Button variant="primary" onClick={onClose}>Done</Button></div>
      </Dialog>
    );
  }
  const fieldError = (field: string) => (create.error instanceof ApiError ? create.error.fieldError(field) : undefined);
  const hasFieldError = fieldError("name") || fieldError("url");
  return (
    <FormDialog title="New channel" submitLabel="Create" busy={create.isPending} error={hasFieldError ? null : create.error} disabled={!name.trim() || (kind !== "in_app" && !url.trim())} onClose={onClose} onSubmit={() => create.mutate()}>
      <SelectField label="Type" options={CHANNEL_KINDS} value={kind} onChange={(event) => setKind(event.target.value as Channel["kind"])} hint={kind === "in_app" ? "Notifications appear in the inbox on this page." : undefined} />
      <TextField label="Name" placeholder="On call" value={name} maxLength={100} onChange={(event) => setName(event.target.value)} error={fieldError("name")} autoFocus />
      {kind !== "in_app" && <TextField label="URL" type="url" placeholder="https://" value={url} onChange={(event) => setUrl(event.target.value)} error={fieldError("url")} hint={`${HINTS[kind] ?? ""} The URL is a secret. Only a part of it is shown later.`} />}
    </FormDialog>
  );
}

function DeleteChannel({ channel, onClose }: { channel: Channel; onClose: () => void }) {
  const refresh = useRefresh();
  const remove = useMutation({
    mutationFn: () => unwrap(api.DELETE("/api/v1/channels/{channelId}", { params: { path: { channelId: channel.channelId } } })),
    onSuccess: () => {
      showToast(`“${channel.name}” deleted`);
      void refresh(["channels"], ["alerts"]);
      onClose();
    },
  });
  return (
    <FormDialog title={`Delete “${channel.name}”?`} submitLabel="Delete" danger busy={remove.isPending} error={remove.error} onClose={onClose} onSubmit={() => remove.mutate()}>
      <p>Alert rules that use this channel stay active without it.</p>
    </FormDialog>
  );
}
