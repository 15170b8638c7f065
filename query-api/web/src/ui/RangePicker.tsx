import { useState } from "react";
import { rangeBounds, isPreset, PRESETS, PRESET_LABELS, type Range } from "../format/range.ts";
import { formatRange, fromLocalInput, toLocalInput } from "../format/times.ts";
import { FormDialog } from "./Dialog.tsx";
import { TextField } from "./Field.tsx";
import { ClockIcon } from "./icons.tsx";

/** Chooses a preset or a custom time range. `noneLabel` adds a choice without a range. */
export function RangePicker({ value, onChange, noneLabel }: { value: Range | undefined; onChange: (range: Range | undefined) => void; noneLabel?: string }) {
  const [customOpen, setCustomOpen] = useState(false);
  const custom = value !== undefined && !isPreset(value);
  return (
    <div className="range-picker" role="group" aria-label="Time range">
      <div className="segments">
        {noneLabel && <button type="button" className="segment" aria-pressed={value === undefined} onClick={() => onChange(undefined)}>{noneLabel}</button>}
        {PRESETS.map((preset) => (
          <button key={preset} type="button" className="segment" aria-pressed={value === preset} aria-label={`${preset}: ${PRESET_LABELS[preset]}`} onClick={() => onChange(preset)}>{preset}</button>
        ))}
        <button type="button" className="segment" aria-pressed={custom} aria-label={custom ? `Custom range: ${formatRange(value.startDate, value.endDate)}` : "Custom range"} onClick={() => setCustomOpen(true)}>
          <span className="row-tight"><ClockIcon size={14} /> {custom ? formatRange(value.startDate, value.endDate) : "Custom"}</span>
        </button>
      </div>
      {customOpen && <CustomRangeDialog value={value} onClose={() => setCustomOpen(false)} onChange={(range) => { setCustomOpen(false); onChange(range); }} />}
    </div>
  );
}

function CustomRangeDialog({ value, onClose, onChange }: { value: Range | undefined; onClose: () => void; onChange: (range: Range) => void }) {
  const [initial] = useState(() => rangeBounds(value ?? "24h", Date.now()));
  const [from, setFrom] = useState(() => toLocalInput(initial.start));
  const [to, setTo] = useState(() => toLocalInput(initial.end));
  const [startDate, endDate] = [fromLocalInput(from), fromLocalInput(to)];
  const valid = startDate !== undefined && endDate !== undefined && startDate < endDate;
  return (
    <FormDialog title="Custom range" submitLabel="Apply" busy={false} error={null} disabled={!valid} onClose={onClose}
      onSubmit={() => valid && onChange({ startDate, endDate })}>
      <div className="fields-two">
        <TextField label="From" type="datetime-local" value={from} onChange={(event) => setFrom(event.target.value)} />
        <TextField label="To" type="datetime-local" value={to} onChange={(event) => setTo(event.target.value)} error={valid ? undefined : "Enter a time after the start."} />
      </div>
    </FormDialog>
  );
}
