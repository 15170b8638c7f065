import { useMemo, useRef, type KeyboardEvent } from "react";
import type { Series } from "../../api/series.ts";
import type { Widget } from "../../api/types.ts";
import { aggregationShort, isPercentile } from "../../format/choices.ts";
import { isSpan, SPAN_NAMES, type Range } from "../../format/range.ts";
import { CopyIcon, DragIcon, MoreIcon, PencilIcon, TrashIcon } from "../../ui/icons.tsx";
import { Menu, type Item } from "../../ui/Menu.tsx";
import { contentOf, type Colours, type Content } from "./data.ts";
import type { Step } from "./layout.ts";
import { WidgetBody } from "./WidgetBody.tsx";

interface Props {
  widget: Widget;
  range: Range | undefined;
  answers: Map<string, Series> | undefined;
  colours: Colours;
  editing: boolean;
  manage: boolean;
  onEdit: () => void;
  onRemove: () => void;
  onDuplicate: () => void;
  onStep: (step: Step) => void;
  onZoom: (start: number, end: number) => void;
}

/** Those that make one number of a series. */
const ONE_NUMBER = new Set<string>(["number", "gauge"]);
const KEYS: Record<string, Step> = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };
const SIZE_KEYS: Record<string, Step> = { ArrowLeft: "narrower", ArrowRight: "wider", ArrowUp: "shorter", ArrowDown: "taller" };

/** A widget with its title, and with handles while the dashboard is edited. */
export function WidgetFrame({ widget, range, answers, colours, editing, manage, onEdit, onRemove, onDuplicate, onStep, onZoom }: Props) {
  const content = useHeld(useMemo(() => contentOf(widget, range, answers, colours), [widget, range, answers, colours]));
  const title = widget.title || content?.series[0]?.metricName || widget.series[0]?.metricId || "Widget";
  const press = (event: KeyboardEvent) => {
    const step = (event.shiftKey ? SIZE_KEYS : KEYS)[event.key];
    if (!step) return;
    event.preventDefault();
    onStep(step);
  };
  const items: (Item | null)[] = [
    { label: "Edit", icon: <PencilIcon />, onSelect: onEdit },
    { label: "Duplicate", icon: <CopyIcon />, onSelect: onDuplicate },
    null,
    { label: "Remove", icon: <TrashIcon />, danger: true, onSelect: onRemove },
  ];
  return (
    <article className={`widget${editing ? " widget-editing" : ""}`} aria-label={title}>
      <div className="widget-head">
        {editing && (
          <button type="button" className="widget-drag" onKeyDown={press} title="Drag to move. With the keyboard: arrow keys move, with Shift they resize." aria-label={`Move ${title}: arrow keys move it, with Shift they resize it`}>
            <DragIcon size={16} />
          </button>
        )}
        <h2 className="widget-title" title={title} dir="auto">{title}</h2>
        {!editing && <span className="widget-note" title={note(widget, range)}>{note(widget, range)}</span>}
        {manage && <Menu label={`Actions for ${title}`} button={<MoreIcon size={16} />} items={items} />}
      </div>
      <div className="widget-body">
        {content ? <WidgetBody widget={widget} content={content} group="dashboard" onZoom={editing ? undefined : onZoom} /> : <div className="skeleton chart-waits" />}
      </div>
    </article>
  );
}

/** What its number means, and of when, where the dashboard does not say. */
function note(widget: Widget, range: Range | undefined): string {
  const aggregations = new Set(widget.series.map((one) => one.aggregation));
  const [only] = aggregations;
  const newest = only && isPercentile(only) && ONE_NUMBER.has(widget.type);
  const parts = [aggregations.size === 1 && only ? `${newest ? "Newest " : ""}${aggregationShort(only)}` : undefined];
  if (!range) {
    const own = widget.range as Range;
    parts.push(isSpan(own) ? SPAN_NAMES[own].replace("Last ", "") : "own range");
  }
  return parts.filter(Boolean).join(" · ");
}

/** The last content that there was, as long as the next is not there yet: nothing flickers. */
function useHeld(content: Content | undefined): Content | undefined {
  const held = useRef(content);
  if (content) held.current = content;
  return held.current;
}
