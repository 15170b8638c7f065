import { Fragment } from "react";
import { CopyButton } from "./Copy.tsx";

/** Block of code with a copy button. */
export function CodeBlock({ code, label }: { code: string; label: string }) {
  return (
    <div className="code">
      <pre tabIndex={0} role="group" aria-label={label}><code>{code}</code></pre>
      <CopyButton text={code} label={`Copy ${label}`} />
    </div>
  );
}

/** Renders text with `code` and **bold** markup. */
export function RichText({ text }: { text: string }) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part, index) => {
    if (part.startsWith("`")) return <code key={index}>{part.slice(1, -1)}</code>;
    if (part.startsWith("**")) return <strong key={index}>{part.slice(2, -2)}</strong>;
    return <Fragment key={index}>{part}</Fragment>;
  });
}
