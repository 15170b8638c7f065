import { useEffect, useState } from "react";
import { Button } from "./Button.tsx";
import { CheckIcon, CopyIcon } from "./icons.tsx";
import { showToast } from "./toast.ts";

/** Button that copies `text` to the clipboard. */
export function CopyButton({ text, label, small = true }: { text: string; label: string; small?: boolean }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 2000);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    if (await copyText(text)) {
      setCopied(true);
      showToast("Copied");
    } else {
      showToast("Could not copy. Select the text and copy it manually.", "error");
    }
  };
  return (
    <Button small={small} onClick={copy} icon={copied ? <CheckIcon size={16} /> : <CopyIcon size={16} />} aria-label={label}>
      {copied ? "Copied" : "Copy"}
    </Button>
  );
}

/** Read-only value with a copy button. */
export function CopyField({ label, value, hint }: { label: string; value: string; hint?: string }) {
  return (
    <div className="copy-field">
      <span className="field-label">{label}</span>
      <div className="copy-value">
        <code>{value}</code>
        <CopyButton text={value} label={`Copy ${label}`} />
      </div>
      {hint && <span className="field-hint">{hint}</span>}
    </div>
  );
}

async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** Fallback: browsers provide the clipboard API only over HTTPS and on localhost. */
function copyBySelection(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "offscreen";
  const focused = document.activeElement;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return copied;
}
