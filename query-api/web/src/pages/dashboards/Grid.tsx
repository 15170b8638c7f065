import "react-grid-layout/css/styles.css";
import type { ReactNode } from "react";
import GridLayout, { useContainerWidth, type Layout } from "react-grid-layout";
import type { Widget } from "../../api/types.ts";
import { COLUMNS, inReadingOrder } from "./layout.ts";

const ROW = 40;
const GAP = 16;
/** Grids narrower than this (in pixels) have one column. */
const NARROW = 640;
const MEDIUM = 960;

/** Places the widgets on the grid. On narrow screens they are stacked in reading order. */
export function Grid({ widgets, editing, onLayout, children }: { widgets: Widget[]; editing: boolean; onLayout: (widgets: Widget[]) => void; children: (widget: Widget) => ReactNode }) {
  // Without measuring first, the grid is laid out for a default width, and all widgets move when the dashboard opens.
  const { width, containerRef, mounted } = useContainerWidth({ measureBeforeMount: true });
  const narrow = width < NARROW;
  const ordered = inReadingOrder(widgets);
  const layout = narrow ? stacked(ordered) : ordered.map(({ id, x, y, w, h }) => ({ i: id, x, y, w, h, minW: 2, minH: 2 }));
  const handleLayout = (next: Layout) => {
    if (narrow || !editing) return;
    const items = new Map(next.map((item) => [item.i, item]));
    const moved = widgets.map((widget) => {
      const item = items.get(widget.id);
      return item ? { ...widget, x: item.x, y: item.y, w: item.w, h: item.h } : widget;
    });
    const unchanged = moved.every((widget, index) => {
      const before = widgets[index];
      return before && widget.x === before.x && widget.y === before.y && widget.w === before.w && widget.h === before.h;
    });
    if (!unchanged) onLayout(moved);
  };
  return (
    <div ref={containerRef} className="grid-box">
      {mounted && (
        <GridLayout width={width} layout={layout}
          gridConfig={{ cols: narrow ? 1 : COLUMNS, rowHeight: width < MEDIUM ? 34 : ROW, margin: [GAP, GAP], containerPadding: [8, 0] }}
          dragConfig={{ enabled: editing && !narrow, handle: ".widget-drag", cancel: ".button" }}
          resizeConfig={{ enabled: editing && !narrow, handles: ["se"] }}
          onDragStop={handleLayout} onResizeStop={handleLayout}>
          {ordered.map((widget) => <div key={widget.id}>{children(widget)}</div>)}
        </GridLayout>
      )}
    </div>
  );
}

function stacked(widgets: Widget[]): Layout {
  let y = 0;
  return widgets.map(({ id, h }) => {
    const item = { i: id, x: 0, y, w: 1, h: Math.min(h, 8) };
    y += item.h;
    return item;
  });
}
