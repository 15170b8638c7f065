import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { metricQuery } from "../../api/queries.ts";
import { seriesQuery } from "../../api/series.ts";
import type { Aggregation, Interval, Widget, WidgetSeries, WidgetType } from "../../api/types.ts";
import { AGGREGATIONS, INTERVALS } from "../../format/aggregations.ts";
import { isPreset, PRESETS, PRESET_LABELS, type Range } from "../../format/range.ts";
import { formatRange } from "../../format/times.ts";
import { Button } from "../../ui/Button.tsx";
import { FormDialog } from "../../ui/Dialog.tsx";
import { SelectField, TextField } from "../../ui/Field.tsx";
import { CloseIcon, PlusIcon } from "../../ui/icons.tsx";
import { MetricPicker } from "../../ui/MetricPicker.tsx";
import { buildWidgetData, widgetRequests } from "./widgetData.ts";
import { WidgetBody } from "./WidgetBody.tsx";
import { WidgetTypeIcon } from "./WidgetTypeIcon.tsx";

const TYPES: readonly (readonly [WidgetType, string])[] = [["number", "Number"], ["line", "Line"], ["area", "Area"], ["bar", "Bar"], ["table", "Table"], ["gauge", "Gauge"]];
/** Widget types that show exactly one series. */
const SINGLE_SERIES_TYPES: WidgetType[] = ["number", "gauge"];
const MAX_SERIES = 20;

/** Dialog for adding or editing a widget, with a preview. */
export function WidgetEditor({ widget, isNew, onClose, onSave }: { widget: Widget; isNew: boolean; onClose: () => void; onSave: (widget: Widget) => void }) {
  const [draft, setDraft] = useState(widget);
  const metric = useQuery({ ...metricQuery(draft.series[0]?.metricId ?? ""), enabled: Boolean(draft.series[0]?.metricId), retry: false });
  const change = (part: Partial<Widget>) => setDraft((draft) => ({ ...draft, ...part }));
  const changeSeries = (index: number, part: Partial<WidgetSeries>) =>
    change({ series: draft.series.map((other, otherIndex) => (otherIndex === index ? { ...other, ...part } : other)) });
  const single = SINGLE_SERIES_TYPES.includes(draft.type);
  const series = single ? draft.series.slice(0, 1) : draft.series;
  const completed = { ...draft, series: series.filter((item) => item.metricId) };
  const title = draft.title.trim() || metric.data?.metricName || "";
  const range = draft.range as Range;
  const ranges = [...PRESETS.map((preset) => [preset, PRESET_LABELS[preset]] as const), ...(isPreset(range) ? [] : [["custom", formatRange(range.startDate, range.endDate)] as const])];
  return (
    <FormDialog wide title={isNew ? "Add widget" : "Edit widget"} submitLabel={isNew ? "Add" : "Save"} busy={false} error={null} disabled={completed.series.length === 0} onClose={onClose}
      onSubmit={() => onSave({ ...completed, title })}>
      <fieldset className="types">
        <legend className="sr-only">Type</legend>
        {TYPES.map(([type, name]) => (
          <label key={type} className="type">
            <input type="radio" name="type" value={type} checked={draft.type === type} data-autofocus={draft.type === type || undefined} onChange={() => change({ type })} />
            <WidgetTypeIcon type={type} />
            {name}
          </label>
        ))}
      </fieldset>
      <div className="series-rows">
        {series.map((item, index) => (
          // Rows have no id; the index is their only identity.
          <div className="series-row" key={index}>
            <MetricPicker label={single || series.length === 1 ? "Metric" : `Metric ${index + 1}`} value={item.metricId} onChange={(metricId) => changeSeries(index, { metricId })} />
            <SelectField label="Aggregation" options={AGGREGATIONS} value={item.aggregation} onChange={(event) => changeSeries(index, { aggregation: event.target.value as Aggregation })} />
            {series.length > 1 ? <Button variant="quiet" icon={<CloseIcon />} aria-label={`Remove metric ${index + 1}`} onClick={() => change({ series: draft.series.filter((_, otherIndex) => otherIndex !== index) })} /> : <span />}
          </div>
        ))}
        {!single && draft.series.length < MAX_SERIES && (
          <div><Button small icon={<PlusIcon size={16} />} onClick={() => change({ series: [...draft.series, { metricId: "", aggregation: "avg" }] })}>Add metric</Button></div>
        )}
      </div>
      <div className="fields-two">
        <TextField label="Title" value={draft.title} placeholder={metric.data?.metricName ?? "Name of the metric"} maxLength={200} onChange={(event) => change({ title: event.target.value })} />
        <SelectField label="Range" options={ranges} value={isPreset(range) ? range : "custom"} onChange={(event) => isPreset(event.target.value) && change({ range: event.target.value })} />
        <SelectField label="Interval" options={INTERVALS} value={draft.interval} onChange={(event) => change({ interval: event.target.value as Interval })} />
      </div>
      <Preview widget={completed} />
    </FormDialog>
  );
}

function Preview({ widget }: { widget: Widget }) {
  const requests = useMemo(() => widgetRequests(widget, undefined), [widget]);
  const results = useQuery(seriesQuery(requests));
  const content = useMemo(() => buildWidgetData(widget, undefined, results.data), [widget, results.data]);
  return (
    <div className="field">
      <span className="field-label">Preview</span>
      <div className="widget preview-box">
        <div className="widget-body">
          {widget.series.length === 0 ? <div className="widget-empty"><p>Choose a metric to see a preview.</p></div> : content ? <WidgetBody widget={widget} content={content} /> : <div className="skeleton chart-loading" />}
        </div>
      </div>
    </div>
  );
}
