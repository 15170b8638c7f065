import "react-grid-layout/css/styles.css";
import type { ReactNode } from "react";
import GridLayout, { useContainerWidth, type Layout } from "react-grid-layout";
import type { Widget } from "../../api/types.ts";
import { COLUMNS, inOrder } from "./layout.ts";

const ROW = 40;
const GAP = 16;
/** Narrower than this there is one column. */
const NARROW = 640;
const MEDIUM = 960;

/** Widgets in their places. On narrow screens they stand one below the other, in the order of reading. */
export function Grid({ widgets, editing, onLayout, children }: { widgets: Widget[]; editing: boolean; onLayout: (widgets: Widget[]) => void; children: (widget: Widget) => ReactNode }) {
  // Drawn for a width that is only supposed, everything would glide to its place when a dashboard is opened.
  const { width, containerRef, mounted } = useContainerWidth({ measureBeforeMount: true });
  const narrow = width < NARROW;
  const ordered = inOrder(widgets);
  const layout = narrow ? stacked(ordered) : ordered.map(({ id, x, y, w, h }) => ({ i: id, x, y, w, h, minW: 2, minH: 2 }));
  const changed = (next: Layout) => {
    if (narrow || !editing) return;
    const places = new Map(next.map((item) => [item.i, item]));
    const moved = widgets.map((widget) => {
      const place = places.get(widget.id);
      return place ? { ...widget, x: place.x, y: place.y, w: place.w, h: place.h } : widget;
    });
    const same = moved.every((one, index) => {
      const before = widgets[index];
      return before && one.x === before.x && one.y === before.y && one.w === before.w && one.h === before.h;
    });
    if (!same) onLayout(moved);
  };
  return (
    <div ref={containerRef} className="grid-box">
      {mounted && (
        <GridLayout width={width} layout={layout}
          gridConfig={{ cols: narrow ? 1 : COLUMNS, rowHeight: width < MEDIUM ? 34 : ROW, margin: [GAP, GAP], containerPadding: [8, 0] }}
          dragConfig={{ enabled: editing && !narrow, handle: ".widget-drag", cancel: ".button" }}
          resizeConfig={{ enabled: editing && !narrow, handles: ["se"] }}
          onDragStop={changed} onResizeStop={changed}>
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
