import { useState } from "react";
import { bounds, isSpan, SPANS, SPAN_NAMES, type Range } from "../format/range.ts";
import { formatRange, fromLocalInput, toLocalInput } from "../format/times.ts";
import { FormDialog } from "./Dialog.tsx";
import { TextField } from "./Field.tsx";
import { ClockIcon } from "./icons.tsx";

/** A range of time: a preset or an own one. `own` is what is called so when no range is chosen at all. */
export function RangePicker({ value, onChange, none }: { value: Range | undefined; onChange: (range: Range | undefined) => void; none?: string }) {
  const [asking, setAsking] = useState(false);
  const custom = value !== undefined && !isSpan(value);
  return (
    <div className="range-picker" role="group" aria-label="Range of time">
      <div className="segments">
        {none && <button type="button" className="segment" aria-pressed={value === undefined} onClick={() => onChange(undefined)}>{none}</button>}
        {SPANS.map((span) => (
          <button key={span} type="button" className="segment" aria-pressed={value === span} aria-label={SPAN_NAMES[span]} onClick={() => onChange(span)}>{span}</button>
        ))}
        <button type="button" className="segment" aria-pressed={custom} aria-label={custom ? `Own range: ${formatRange(value.startDate, value.endDate)}` : "Own range"} onClick={() => setAsking(true)}>
          <span className="row-tight"><ClockIcon size={14} /> {custom ? formatRange(value.startDate, value.endDate) : "Custom"}</span>
        </button>
      </div>
      {asking && <OwnRange value={value} onClose={() => setAsking(false)} onChange={(range) => { setAsking(false); onChange(range); }} />}
    </div>
  );
}

function OwnRange({ value, onClose, onChange }: { value: Range | undefined; onClose: () => void; onChange: (range: Range) => void }) {
  const [initial] = useState(() => bounds(value ?? "24h", Date.now()));
  const [from, setFrom] = useState(() => toLocalInput(initial.start));
  const [to, setTo] = useState(() => toLocalInput(initial.end));
  const [startDate, endDate] = [fromLocalInput(from), fromLocalInput(to)];
  const valid = startDate !== undefined && endDate !== undefined && startDate < endDate;
  return (
    <FormDialog title="Own range" action="Apply" busy={false} error={null} disabled={!valid} onClose={onClose}
      onSubmit={() => valid && onChange({ startDate, endDate })}>
      <div className="fields-two">
        <TextField label="From" type="datetime-local" value={from} onChange={(event) => setFrom(event.target.value)} />
        <TextField label="To" type="datetime-local" value={to} onChange={(event) => setTo(event.target.value)} error={valid ? undefined : "Must be after the beginning."} />
      </div>
    </FormDialog>
  );
}
