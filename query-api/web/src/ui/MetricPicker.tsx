import { Combobox, ComboboxItem, ComboboxItemValue, ComboboxLabel, ComboboxPopover, ComboboxProvider } from "@ariakit/react";
import { useQuery } from "@tanstack/react-query";
import { useDeferredValue, useId, useState } from "react";
import { metricsQuery } from "../api/queries.ts";
import type { Metric } from "../api/types.ts";

const SHOWN = 50;

/** A metric of the catalogue, or the id of one that is yet to come. */
export function MetricPicker({ label, value, onChange, error }: { label: string; value: string; onChange: (metricId: string) => void; error?: string }) {
  const [text, setText] = useState(value);
  const id = useId();
  // What was typed; who has chosen one sees all again.
  const [typed, setTyped] = useState("");
  const search = useDeferredValue(typed.trim());
  const metrics = useQuery(metricsQuery(search));
  // What is kept of the last search is narrowed down until the next one is answered: the arrow keys would choose it.
  const like = ({ metricId, metricName }: Metric) => `${metricId} ${metricName}`.toLowerCase().includes(typed.trim().toLowerCase());
  const known = metrics.data?.items ?? [];
  const items = (metrics.isPlaceholderData || search !== typed.trim() ? known.filter(like) : known).slice(0, SHOWN);
  const change = (next: string) => {
    setText(next);
    onChange(next.trim());
  };
  return (
    <div className="field">
      <ComboboxProvider value={text} setValue={change}>
        <ComboboxLabel className="field-label">{label}</ComboboxLabel>
        <Combobox className="input" placeholder="daily_signups" autoSelect={false} onChange={(event) => setTyped(event.target.value)} spellCheck={false} aria-invalid={error ? true : undefined} aria-describedby={error ? `${id}-error` : undefined} />
        <ComboboxPopover gutter={4} sameWidth portal className="options" aria-label={label}>
          {items.map((metric) => (
            <ComboboxItem key={metric.metricId} value={metric.metricId} onClick={() => setTyped("")} className="option">
              <span>{metric.metricName}{metric.unit ? <span className="quiet"> · {metric.unit}</span> : null}</span>
              <code className="quiet small"><ComboboxItemValue /></code>
            </ComboboxItem>
          ))}
          {items.length === 0 && <div className="option-none">{metrics.isFetching ? "Searching …" : "No such metric yet: its id can be used all the same."}</div>}
        </ComboboxPopover>
      </ComboboxProvider>
      {error && <span className="field-error" id={`${id}-error`}>{error}</span>}
    </div>
  );
}
