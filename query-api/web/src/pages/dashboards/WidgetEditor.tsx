import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { metricQuery } from "../../api/queries.ts";
import { seriesQuery } from "../../api/series.ts";
import type { Aggregation, Interval, Widget, WidgetSeries, WidgetType } from "../../api/types.ts";
import { AGGREGATIONS, INTERVALS } from "../../format/choices.ts";
import { isSpan, SPANS, SPAN_NAMES, type Range } from "../../format/range.ts";
import { formatRange } from "../../format/times.ts";
import { Button } from "../../ui/Button.tsx";
import { FormDialog } from "../../ui/Dialog.tsx";
import { SelectField, TextField } from "../../ui/Field.tsx";
import { CrossIcon, PlusIcon } from "../../ui/icons.tsx";
import { MetricPicker } from "../../ui/MetricPicker.tsx";
import { contentOf, wantedBy } from "./data.ts";
import { WidgetBody } from "./WidgetBody.tsx";
import { TypeMark } from "./TypeMark.tsx";

const TYPES: readonly (readonly [WidgetType, string])[] = [["number", "Number"], ["line", "Line"], ["area", "Area"], ["bar", "Bar"], ["table", "Table"], ["gauge", "Gauge"]];
/** Those that show one series alone. */
const SINGLE: WidgetType[] = ["number", "gauge"];
const MOST_SERIES = 20;

/** A widget is made or changed, with what it will look like. */
export function WidgetEditor({ widget, isNew, onClose, onSave }: { widget: Widget; isNew: boolean; onClose: () => void; onSave: (widget: Widget) => void }) {
  const [draft, setDraft] = useState(widget);
  const metric = useQuery({ ...metricQuery(draft.series[0]?.metricId ?? ""), enabled: Boolean(draft.series[0]?.metricId), retry: false });
  const change = (part: Partial<Widget>) => setDraft((draft) => ({ ...draft, ...part }));
  const changeSeries = (index: number, part: Partial<WidgetSeries>) =>
    change({ series: draft.series.map((one, at) => (at === index ? { ...one, ...part } : one)) });
  const single = SINGLE.includes(draft.type);
  const series = single ? draft.series.slice(0, 1) : draft.series;
  const complete = { ...draft, series: series.filter((one) => one.metricId) };
  const title = draft.title.trim() || metric.data?.metricName || "";
  const range = draft.range as Range;
  const ranges = [...SPANS.map((span) => [span, SPAN_NAMES[span]] as const), ...(isSpan(range) ? [] : [["own", formatRange(range.startDate, range.endDate)] as const])];
  return (
    <FormDialog wide title={isNew ? "Add a widget" : "Edit the widget"} action={isNew ? "Add" : "Save"} busy={false} error={null} disabled={complete.series.length === 0} onClose={onClose}
      onSubmit={() => onSave({ ...complete, title })}>
      <fieldset className="types">
        <legend className="sr-only">Type</legend>
        {TYPES.map(([type, name]) => (
          <label key={type} className="type">
            <input type="radio" name="type" value={type} checked={draft.type === type} data-autofocus={draft.type === type || undefined} onChange={() => change({ type })} />
            <TypeMark type={type} />
            {name}
          </label>
        ))}
      </fieldset>
      <div className="series-rows">
        {series.map((one, index) => (
          // Rows are told apart by their place alone.
          <div className="series-row" key={index}>
            <MetricPicker label={single || series.length === 1 ? "Metric" : `Metric ${index + 1}`} value={one.metricId} onChange={(metricId) => changeSeries(index, { metricId })} />
            <SelectField label="Aggregation" options={AGGREGATIONS} value={one.aggregation} onChange={(event) => changeSeries(index, { aggregation: event.target.value as Aggregation })} />
            {series.length > 1 ? <Button look="quiet" icon={<CrossIcon />} aria-label={`Remove metric ${index + 1}`} onClick={() => change({ series: draft.series.filter((_, at) => at !== index) })} /> : <span />}
          </div>
        ))}
        {!single && draft.series.length < MOST_SERIES && (
          <div><Button small icon={<PlusIcon size={16} />} onClick={() => change({ series: [...draft.series, { metricId: "", aggregation: "avg" }] })}>Add a metric</Button></div>
        )}
      </div>
      <div className="fields-two">
        <TextField label="Title" value={draft.title} placeholder={metric.data?.metricName ?? "As the metric is called"} maxLength={200} onChange={(event) => change({ title: event.target.value })} />
        <SelectField label="Range" options={ranges} value={isSpan(range) ? range : "own"} onChange={(event) => isSpan(event.target.value) && change({ range: event.target.value })} />
        <SelectField label="Interval" options={INTERVALS} value={draft.interval} onChange={(event) => change({ interval: event.target.value as Interval })} />
      </div>
      <Preview widget={complete} />
    </FormDialog>
  );
}

function Preview({ widget }: { widget: Widget }) {
  const wanted = useMemo(() => wantedBy(widget, undefined), [widget]);
  const answers = useQuery(seriesQuery(wanted));
  const content = useMemo(() => contentOf(widget, undefined, answers.data), [widget, answers.data]);
  return (
    <div className="field">
      <span className="field-label">Preview</span>
      <div className="widget preview-box">
        <div className="widget-body">
          {widget.series.length === 0 ? <div className="widget-empty"><p>Choose a metric to see it here.</p></div> : content ? <WidgetBody widget={widget} content={content} /> : <div className="skeleton chart-waits" />}
        </div>
      </div>
    </div>
  );
}
