import assert from "node:assert/strict";
import { test } from "vitest";
import { COLUMNS, freePlace, overlaps, step, type Place, type Step } from "./layout.ts";

const grid = [
  { id: "a", x: 0, y: 0, w: 6, h: 3 },
  { id: "b", x: 6, y: 0, w: 6, h: 3 },
  { id: "c", x: 0, y: 3, w: 12, h: 4 },
];
const at = (widgets: (Place & { id: string })[], id: string) => {
  const { x, y, w, h } = widgets.find((widget) => widget.id === id) ?? { x: -1, y: -1, w: -1, h: -1 };
  return [x, y, w, h];
};

test("a new widget takes the first place that is free", () => {
  assert.deepEqual(freePlace([], { w: 3, h: 3 }), { x: 0, y: 0, w: 3, h: 3 });
  assert.deepEqual(freePlace(grid, { w: 3, h: 3 }), { x: 0, y: 7, w: 3, h: 3 });
  assert.deepEqual(freePlace([{ x: 0, y: 0, w: 4, h: 3 }], { w: 3, h: 3 }), { x: 4, y: 0, w: 3, h: 3 });
});

test("whatever is done by keys, no two widgets overlap and none leaves the grid", () => {
  const steps: Step[] = ["left", "right", "up", "down", "wider", "narrower", "taller", "shorter"];
  for (const { id } of grid) {
    for (const by of steps) {
      const after = step(grid, id, by);
      for (const [index, one] of after.entries()) {
        assert.ok(one.x >= 0 && one.y >= 0 && one.x + one.w <= COLUMNS, `${id} ${by}`);
        assert.ok(!after.slice(index + 1).some((other) => overlaps(one, other)), `${id} ${by}`);
      }
    }
  }
});

test("a widget that goes up changes places with what is above", () => {
  const after = step(grid, "c", "up");
  assert.deepEqual(at(after, "c"), [0, 0, 12, 4]);
  assert.deepEqual(at(after, "a"), [0, 4, 6, 3]);
});

test("a widget that goes down changes places with what is below", () => {
  const after = step(grid, "a", "down");
  assert.deepEqual(at(after, "c"), [0, 3, 12, 4]);
  assert.deepEqual(at(after, "a"), [0, 7, 6, 3]);
});

test("a widget that grows pushes others down", () => {
  assert.deepEqual(at(step(grid, "a", "taller"), "c"), [0, 4, 12, 4]);
});
