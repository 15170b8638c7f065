/** Series colours. A metric has the same colour in every chart, unless another series of the chart already uses it. */

export const COLOUR_COUNT = 8;

/** Returns a palette index for each series. A series keeps its `preferred` index unless an earlier series took it. */
export function paletteSlots(names: string[], preferred?: Map<string, number>): number[] {
  const taken = new Set<number>();
  return names.map((name) => {
    if (taken.size === COLOUR_COUNT) taken.clear();
    let slot = preferred?.get(name) ?? hash(name) % COLOUR_COUNT;
    while (taken.has(slot)) slot = (slot + 1) % COLOUR_COUNT;
    taken.add(slot);
    return slot;
  });
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  // The low bits of FNV-1a are poorly distributed.
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** CSS value of a palette index. The theme defines the colour. */
export function colour(slot: number): string {
  return `var(--series-${slot + 1})`;
}
