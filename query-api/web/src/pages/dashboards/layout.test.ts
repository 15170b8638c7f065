import assert from "node:assert/strict";
import { test } from "vitest";
import { COLUMNS, firstFreeRect, overlaps, applyStep, type GridRect, type LayoutStep } from "./layout.ts";

const grid = [
  { id: "a", x: 0, y: 0, w: 6, h: 3 },
  { id: "b", x: 6, y: 0, w: 6, h: 3 },
  { id: "c", x: 0, y: 3, w: 12, h: 4 },
];
const rectOf = (widgets: (GridRect & { id: string })[], id: string) => {
  const { x, y, w, h } = widgets.find((widget) => widget.id === id) ?? { x: -1, y: -1, w: -1, h: -1 };
  return [x, y, w, h];
};

test("new widget takes the first free rectangle", () => {
  assert.deepEqual(firstFreeRect([], { w: 3, h: 3 }), { x: 0, y: 0, w: 3, h: 3 });
  assert.deepEqual(firstFreeRect(grid, { w: 3, h: 3 }), { x: 0, y: 7, w: 3, h: 3 });
  assert.deepEqual(firstFreeRect([{ x: 0, y: 0, w: 4, h: 3 }], { w: 3, h: 3 }), { x: 4, y: 0, w: 3, h: 3 });
});

test("no step makes widgets overlap or leave the grid", () => {
  const directions: LayoutStep[] = ["left", "right", "up", "down", "wider", "narrower", "taller", "shorter"];
  for (const { id } of grid) {
    for (const direction of directions) {
      const after = applyStep(grid, id, direction);
      for (const [index, widget] of after.entries()) {
        assert.ok(widget.x >= 0 && widget.y >= 0 && widget.x + widget.w <= COLUMNS, `${id} ${direction}`);
        assert.ok(!after.slice(index + 1).some((other) => overlaps(widget, other)), `${id} ${direction}`);
      }
    }
  }
});

test("widget that moves up swaps with the widget above", () => {
  const after = applyStep(grid, "c", "up");
  assert.deepEqual(rectOf(after, "c"), [0, 0, 12, 4]);
  assert.deepEqual(rectOf(after, "a"), [0, 4, 6, 3]);
});

test("widget that moves down swaps with the widget below", () => {
  const after = applyStep(grid, "a", "down");
  assert.deepEqual(rectOf(after, "c"), [0, 3, 12, 4]);
  assert.deepEqual(rectOf(after, "a"), [0, 7, 6, 3]);
});

test("widget that grows pushes others down", () => {
  assert.deepEqual(rectOf(applyStep(grid, "a", "taller"), "c"), [0, 4, 12, 4]);
});
