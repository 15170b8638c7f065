import { PlugIcon } from "../../ui/icons.tsx";

/** Icon of Custom Webhooks. */
export function WebhookIcon() {
  return <span className="integration-icon"><PlugIcon size={22} /></span>;
}
