import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, of } from "../../api/client.ts";
import { ApiError, messageOf } from "../../api/error.ts";
import { useMayManage, useRefresh } from "../../api/queries.ts";
import type { Channel } from "../../api/types.ts";
import { Button } from "../../ui/Button.tsx";
import { CopyField } from "../../ui/Copy.tsx";
import { Dialog, FormDialog } from "../../ui/Dialog.tsx";
import { SelectField, TextField } from "../../ui/Field.tsx";
import { BellIcon, MoreIcon, PlusIcon, TrashIcon } from "../../ui/icons.tsx";
import { Menu } from "../../ui/Menu.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Alert, Empty, Failed, Skeleton } from "../../ui/states.tsx";
import { Ago } from "../../ui/Time.tsx";
import { tell } from "../../ui/toast.ts";
import { AlertTabs } from "./parts.tsx";
import { channelsQuery } from "./queries.ts";
import { kindName, KINDS } from "./words.ts";

const HINTS: Record<string, string> = {
  slack: "An incoming webhook of a Slack app: https://hooks.slack.com/services/…",
  discord: "A webhook of a Discord channel: https://discord.com/api/webhooks/…",
  teams: "The URL of a workflow “Post to a channel when a webhook request is received”.",
  webhook: "Any HTTPS address. Requests are signed as Standard Webhooks asks.",
};

/** Where alerts are told. */
export function Channels() {
  const channels = useQuery(channelsQuery);
  const manage = useMayManage();
  const [making, setMaking] = useState(false);
  const [deleting, setDeleting] = useState<Channel>();
  const test = useMutation({
    mutationFn: (channel: Channel) => of(api.POST("/api/v1/channels/{channelId}/test", { params: { path: { channelId: channel.channelId } } })),
    onSuccess: (_, channel) => tell(`A test is on its way to “${channel.name}”`),
    onError: (error) => tell(messageOf(error), "error"),
  });
  const items = channels.data?.items ?? [];
  const create = manage && <Button look="primary" icon={<PlusIcon />} onClick={() => setMaking(true)}>New channel</Button>;
  return (
    <Page title="Channels" about="Where alerts are told. Nothing is sent before a rule fires or you send a test." actions={items.length > 0 && create}>
      <div className="toolbar"><AlertTabs current="channels" /></div>
      <Card flush label="Channels">
        {channels.isPending ? (
          <div className="card-body"><Skeleton /></div>
        ) : channels.isError ? (
          <Failed error={channels.error} onRetry={() => channels.refetch()} />
        ) : items.length === 0 ? (
          <Empty icon={<BellIcon size={26} />} title="No channels yet" action={create}>
            <p>The inbox of this page, Slack, Discord, Microsoft Teams, or a webhook of your own.</p>
          </Empty>
        ) : (
          <div className="table-box">
            <table className="table">
              <thead><tr><th>Name</th><th>Kind</th><th className="phone-hide">Address</th><th className="phone-hide">Made</th><th className="tight"><span className="sr-only">Actions</span></th></tr></thead>
              <tbody>
                {items.map((channel) => (
                  <tr key={channel.channelId}>
                    <td className="table-name">{channel.name}</td>
                    <td>{kindName(channel.kind)}</td>
                    <td className="phone-hide"><code className="quiet">{channel.url ?? "–"}</code></td>
                    <td className="phone-hide"><Ago at={channel.createdAt} /></td>
                    <td className="tight">
                      {manage && (
                        <Menu label={`Actions for ${channel.name}`} button={<MoreIcon />} items={[
                          { label: "Send a test", icon: <BellIcon />, onSelect: () => test.mutate(channel) },
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
      {making && <NewChannel onClose={() => setMaking(false)} />}
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
    mutationFn: () => of(api.POST("/api/v1/channels", { body: { name: name.trim(), kind, ...(kind === "in_app" ? {} : { url: url.trim() }) } })),
    onSuccess: (channel) => {
      void refresh(["channels"]);
      if (!channel.signingSecret) onClose();
    },
  });
  if (create.data?.signingSecret) {
    return (
      <Dialog title={`The channel “${create.data.name}”`} onClose={onClose}>
        <div className="dialog-body">
          <CopyField label="Signing secret" value={create.data.signingSecret} hint="With it the receiver checks that a request is ours." />
          <Alert kind="warn">Copy it now: it is not shown again.</Alert>
        </div>
        <div className="dialog-foot"><Button look="primary" onClick={onClose}>Done</Button></div>
      </Dialog>
    );
  }
  const fault = (field: string) => (create.error instanceof ApiError ? create.error.fault(field) : undefined);
  const shown = fault("name") || fault("url");
  return (
    <FormDialog title="New channel" action="Create" busy={create.isPending} error={shown ? null : create.error} disabled={!name.trim() || (kind !== "in_app" && !url.trim())} onClose={onClose} onSubmit={() => create.mutate()}>
      <SelectField label="Kind" options={KINDS} value={kind} onChange={(event) => setKind(event.target.value as Channel["kind"])} hint={kind === "in_app" ? "The inbox of this page." : undefined} />
      <TextField label="Name" placeholder="On call" value={name} maxLength={100} onChange={(event) => setName(event.target.value)} error={fault("name")} autoFocus />
      {kind !== "in_app" && <TextField label="URL" type="url" placeholder="https://" value={url} onChange={(event) => setUrl(event.target.value)} error={fault("url")} hint={`${HINTS[kind] ?? ""} It is kept secret and shown in part from now on.`} />}
    </FormDialog>
  );
}

function DeleteChannel({ channel, onClose }: { channel: Channel; onClose: () => void }) {
  const refresh = useRefresh();
  const remove = useMutation({
    mutationFn: () => of(api.DELETE("/api/v1/channels/{channelId}", { params: { path: { channelId: channel.channelId } } })),
    onSuccess: () => {
      tell(`“${channel.name}” is deleted`);
      void refresh(["channels"], ["alerts"]);
      onClose();
    },
  });
  return (
    <FormDialog title={`Delete “${channel.name}”?`} action="Delete" danger busy={remove.isPending} error={remove.error} onClose={onClose} onSubmit={() => remove.mutate()}>
      <p>Rules that name it go on without it.</p>
    </FormDialog>
  );
}
