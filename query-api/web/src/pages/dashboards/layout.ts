/** Dashboard layout: a grid of 12 columns, in which widgets move up as far as possible. */

export const COLUMNS = 12;

export interface GridRect {
  x: number;
  y: number;
  w: number;
  h: number;
}

export const defaultSize = (type: string): { w: number; h: number } =>
  type === "number" ? { w: 3, h: 3 } : type === "gauge" ? { w: 3, h: 5 } : type === "table" ? { w: 4, h: 5 } : { w: 6, h: 6 };

export const overlaps = (a: GridRect, b: GridRect): boolean => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

/** Returns the first free rectangle of this size, searching row by row. */
export function firstFreeRect(taken: GridRect[], { w, h }: { w: number; h: number }): GridRect {
  for (let y = 0; ; y++) {
    for (let x = 0; x + w <= COLUMNS; x++) {
      const rect = { x, y, w, h };
      if (!taken.some((other) => overlaps(rect, other))) return rect;
    }
  }
}

/** Sorts widgets by row, then by column. Narrow screens show them in this order. */
export function inReadingOrder<T extends GridRect>(widgets: T[]): T[] {
  return [...widgets].sort((a, b) => a.y - b.y || a.x - b.x);
}

export type LayoutStep = "left" | "right" | "up" | "down" | "wider" | "narrower" | "taller" | "shorter";

const STEP_CHANGES: Record<LayoutStep, Partial<GridRect>> = {
  left: { x: -1 }, right: { x: 1 }, up: { y: -1 }, down: { y: 1 }, wider: { w: 1 }, narrower: { w: -1 }, taller: { h: 1 }, shorter: { h: -1 },
};

/**
 * Moves or resizes one widget by one step. Overlapping widgets move down, then all widgets move up as far as possible.
 * "up" and "down" swap the widget with its neighbour.
 */
export function applyStep<T extends GridRect & { id: string }>(widgets: T[], id: string, direction: LayoutStep): T[] {
  const moved = widgets.find((widget) => widget.id === id);
  if (!moved) return widgets;
  const change = STEP_CHANGES[direction];
  const w = clamp(moved.w + (change.w ?? 0), 2, COLUMNS);
  const h = clamp(moved.h + (change.h ?? 0), 2, 20);
  let y = Math.max(0, moved.y + (change.y ?? 0));
  const x = clamp(moved.x + (change.x ?? 0), 0, COLUMNS - w);
  const others = widgets.filter((widget) => widget.id !== id);
  if (direction === "up") {
    // Moves above the nearest widget. A move by one row would be undone, because the widgets would overlap.
    const above = others.filter((other) => other.y < moved.y && other.x < moved.x + moved.w && moved.x < other.x + other.w);
    y = Math.max(0, ...above.filter((other) => other.y + other.h <= moved.y).map((other) => other.y));
  }
  if (direction === "down") {
    const below = others.filter((other) => other.y >= moved.y + moved.h && other.x < moved.x + moved.w && moved.x < other.x + other.w);
    const next = Math.min(...below.map((other) => other.y));
    const nearest = below.find((other) => other.y === next);
    if (!nearest) return widgets;
    y = nearest.y + nearest.h;
  }
  return resolveOverlaps(others, { ...moved, x, y, w, h });
}

/** Places `first` at its position. Overlapping widgets move down, then all widgets move up as far as possible. */
function resolveOverlaps<T extends GridRect & { id: string }>(others: T[], first: T): T[] {
  const placed: T[] = [first];
  for (const widget of inReadingOrder(others)) {
    let { y } = widget;
    while (placed.some((other) => overlaps({ ...widget, y }, other))) y += 1;
    placed.push({ ...widget, y });
  }
  const settled: T[] = [];
  for (const widget of inReadingOrder(placed)) {
    let { y } = widget;
    while (y > 0 && !settled.some((other) => overlaps({ ...widget, y: y - 1 }, other))) y -= 1;
    settled.push({ ...widget, y });
  }
  const ids = [...others, first].map((widget) => widget.id);
  return settled.sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id));
}

const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));
