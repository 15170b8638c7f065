import { Combobox, ComboboxItem, ComboboxItemValue, ComboboxLabel, ComboboxPopover, ComboboxProvider } from "@ariakit/react";
import { useQuery } from "@tanstack/react-query";
import { useDeferredValue, useId, useState } from "react";
import { metricsQuery } from "../api/queries.ts";
import type { Metric } from "../api/types.ts";

const MAX_OPTIONS = 50;

/** Combobox for a metric of the catalogue. It also accepts the id of a metric that does not exist yet. */
export function MetricPicker({ label, value, onChange, error }: { label: string; value: string; onChange: (metricId: string) => void; error?: string }) {
  const [text, setText] = useState(value);
  const id = useId();
  // Typed text. Choosing an option clears it, so that all metrics are listed again.
  const [searchText, setSearchText] = useState("");
  const search = useDeferredValue(searchText.trim());
  const metrics = useQuery(metricsQuery(search));
  // Results of the previous search are filtered until the new results arrive, or the arrow keys could select a wrong one.
  const matchesSearch = ({ metricId, metricName }: Metric) => `${metricId} ${metricName}`.toLowerCase().includes(searchText.trim().toLowerCase());
  const results = metrics.data?.items ?? [];
  const items = (metrics.isPlaceholderData || search !== searchText.trim() ? results.filter(matchesSearch) : results).slice(0, MAX_OPTIONS);
  const change = (next: string) => {
    setText(next);
    onChange(next.trim());
  };
  return (
    <div className="field">
      <ComboboxProvider value={text} setValue={change}>
        <ComboboxLabel className="field-label">{label}</ComboboxLabel>
        <Combobox className="input" placeholder="daily_signups" autoSelect={false} onChange={(event) => setSearchText(event.target.value)} spellCheck={false} aria-invalid={error ? true : undefined} aria-describedby={error ? `${id}-error` : undefined} />
        <ComboboxPopover gutter={4} sameWidth portal className="options" aria-label={label}>
          {items.map((metric) => (
            <ComboboxItem key={metric.metricId} value={metric.metricId} onClick={() => setSearchText("")} className="option">
              <span>{metric.metricName}{metric.unit ? <span className="muted"> · {metric.unit}</span> : null}</span>
              <code className="muted small"><ComboboxItemValue /></code>
            </ComboboxItem>
          ))}
          {items.length === 0 && <div className="options-empty">{metrics.isFetching ? "Searching…" : "No matching metric. You can still use this ID."}</div>}
        </ComboboxPopover>
      </ComboboxProvider>
      {error && <span className="field-error" id={`${id}-error`}>{error}</span>}
    </div>
  );
}
