import { useMemo, useRef, type KeyboardEvent } from "react";
import type { SeriesResult } from "../../api/series.ts";
import type { Widget } from "../../api/types.ts";
import { shortAggregationLabel, isPercentile } from "../../format/aggregations.ts";
import { isPreset, PRESET_LABELS, type Range } from "../../format/range.ts";
import { CopyIcon, DragIcon, MoreIcon, PencilIcon, TrashIcon } from "../../ui/icons.tsx";
import { Menu, type MenuAction } from "../../ui/Menu.tsx";
import { buildWidgetData, type ColourAssignment, type WidgetData } from "./widgetData.ts";
import type { LayoutStep } from "./layout.ts";
import { WidgetBody } from "./WidgetBody.tsx";

interface Props {
  widget: Widget;
  range: Range | undefined;
  results: Map<string, SeriesResult> | undefined;
  colours: ColourAssignment;
  editing: boolean;
  manage: boolean;
  onEdit: () => void;
  onRemove: () => void;
  onDuplicate: () => void;
  onStep: (step: LayoutStep) => void;
  onZoom: (start: number, end: number) => void;
}

/** Widget types that show a single value. */
const SINGLE_VALUE_TYPES = new Set<string>(["number", "gauge"]);
const MOVE_KEYS: Record<string, LayoutStep> = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };
const RESIZE_KEYS: Record<string, LayoutStep> = { ArrowLeft: "narrower", ArrowRight: "wider", ArrowUp: "shorter", ArrowDown: "taller" };

/** Widget with its title and menu, and with a drag handle in edit mode. */
export function WidgetFrame({ widget, range, results, colours, editing, manage, onEdit, onRemove, onDuplicate, onStep, onZoom }: Props) {
  const content = useLastDefined(useMemo(() => buildWidgetData(widget, range, results, colours), [widget, range, results, colours]));
  const title = widget.title || content?.series[0]?.metricName || widget.series[0]?.metricId || "Widget";
  const handleKeyDown = (event: KeyboardEvent) => {
    const step = (event.shiftKey ? RESIZE_KEYS : MOVE_KEYS)[event.key];
    if (!step) return;
    event.preventDefault();
    onStep(step);
  };
  const items: (MenuAction | null)[] = [
    { label: "Edit", icon: <PencilIcon />, onSelect: onEdit },
    { label: "Duplicate", icon: <CopyIcon />, onSelect: onDuplicate },
    null,
    { label: "Remove", icon: <TrashIcon />, danger: true, onSelect: onRemove },
  ];
  return (
    <article className={`widget${editing ? " widget-editing" : ""}`} aria-label={title}>
      <div className="widget-head">
        {editing && (
          <button type="button" className="widget-drag" onKeyDown={handleKeyDown} title="Drag to move. Keyboard: arrow keys move, Shift + arrow keys resize." aria-label={`Move ${title}: arrow keys move, Shift + arrow keys resize`}>
            <DragIcon size={16} />
          </button>
        )}
        <h2 className="widget-title" title={title} dir="auto">{title}</h2>
        {!editing && <span className="widget-subtitle" title={subtitle(widget, range)}>{subtitle(widget, range)}</span>}
        {manage && <Menu label={`Actions for ${title}`} button={<MoreIcon size={16} />} items={items} />}
      </div>
      <div className="widget-body">
        {content ? <WidgetBody widget={widget} content={content} group="dashboard" onZoom={editing ? undefined : onZoom} /> : <div className="skeleton chart-loading" />}
      </div>
    </article>
  );
}

/** Names the aggregation, and the range unless the dashboard overrides it. */
function subtitle(widget: Widget, range: Range | undefined): string {
  const aggregations = new Set(widget.series.map((series) => series.aggregation));
  const [only] = aggregations;
  const newest = only && isPercentile(only) && SINGLE_VALUE_TYPES.has(widget.type);
  const parts = [aggregations.size === 1 && only ? `${newest ? "Latest " : ""}${shortAggregationLabel(only)}` : undefined];
  if (!range) {
    const widgetRange = widget.range as Range;
    parts.push(isPreset(widgetRange) ? PRESET_LABELS[widgetRange].replace("Last ", "") : "custom range");
  }
  return parts.filter(Boolean).join(" · ");
}

/** Returns the last defined value, so that a widget does not flicker while new data loads. */
function useLastDefined(content: WidgetData | undefined): WidgetData | undefined {
  const last = useRef(content);
  if (content) last.current = content;
  return last.current;
}
