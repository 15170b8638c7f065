import { PlugIcon } from "../../ui/icons.tsx";

/** The sign of Custom Webhooks. */
export function WebhookMark() {
  return <span className="mark"><PlugIcon size={22} /></span>;
}
