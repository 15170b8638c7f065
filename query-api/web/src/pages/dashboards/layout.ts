/** Where widgets stand: a grid of 12 columns, in which everything moves up as far as it can. */

export const COLUMNS = 12;

export interface Place {
  x: number;
  y: number;
  w: number;
  h: number;
}

export const sizeOf = (type: string): { w: number; h: number } =>
  type === "number" ? { w: 3, h: 3 } : type === "gauge" ? { w: 3, h: 5 } : type === "table" ? { w: 4, h: 5 } : { w: 6, h: 6 };

export const overlaps = (a: Place, b: Place): boolean => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

/** The first free place for a widget of this size, row by row. */
export function freePlace(taken: Place[], { w, h }: { w: number; h: number }): Place {
  for (let y = 0; ; y++) {
    for (let x = 0; x + w <= COLUMNS; x++) {
      const place = { x, y, w, h };
      if (!taken.some((other) => overlaps(place, other))) return place;
    }
  }
}

/** The order in which widgets are read, and stand on a narrow screen. */
export function inOrder<T extends Place>(widgets: T[]): T[] {
  return [...widgets].sort((a, b) => a.y - b.y || a.x - b.x);
}

export type Step = "left" | "right" | "up" | "down" | "wider" | "narrower" | "taller" | "shorter";

const STEPS: Record<Step, Partial<Place>> = {
  left: { x: -1 }, right: { x: 1 }, up: { y: -1 }, down: { y: 1 }, wider: { w: 1 }, narrower: { w: -1 }, taller: { h: 1 }, shorter: { h: -1 },
};

/** All widgets after one was moved or resized by a step. Others make room below; nothing hangs in the air. */
export function step<T extends Place & { id: string }>(widgets: T[], id: string, by: Step): T[] {
  const moved = widgets.find((widget) => widget.id === id);
  if (!moved) return widgets;
  const change = STEPS[by];
  const w = clamp(moved.w + (change.w ?? 0), 2, COLUMNS);
  const h = clamp(moved.h + (change.h ?? 0), 2, 20);
  let y = Math.max(0, moved.y + (change.y ?? 0));
  const x = clamp(moved.x + (change.x ?? 0), 0, COLUMNS - w);
  const others = widgets.filter((widget) => widget.id !== id);
  if (by === "up") {
    // Over whatever stands right above; a step of one row would only be pushed back.
    const above = others.filter((other) => other.y < moved.y && other.x < moved.x + moved.w && moved.x < other.x + other.w);
    y = Math.max(0, ...above.filter((other) => other.y + other.h <= moved.y).map((other) => other.y));
  }
  if (by === "down") {
    const below = others.filter((other) => other.y >= moved.y + moved.h && other.x < moved.x + moved.w && moved.x < other.x + other.w);
    const next = Math.min(...below.map((other) => other.y));
    const beneath = below.find((other) => other.y === next);
    if (!beneath) return widgets;
    y = beneath.y + beneath.h;
  }
  return settle(others, { ...moved, x, y, w, h });
}

/** `first` stands where it is as far as it can; others go below where they overlap, then everything moves up. */
function settle<T extends Place & { id: string }>(others: T[], first: T): T[] {
  const placed: T[] = [first];
  for (const widget of inOrder(others)) {
    let { y } = widget;
    while (placed.some((other) => overlaps({ ...widget, y }, other))) y += 1;
    placed.push({ ...widget, y });
  }
  const settled: T[] = [];
  for (const widget of inOrder(placed)) {
    let { y } = widget;
    while (y > 0 && !settled.some((other) => overlaps({ ...widget, y: y - 1 }, other))) y -= 1;
    settled.push({ ...widget, y });
  }
  const ids = [...others, first].map((widget) => widget.id);
  return settled.sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id));
}

const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));
