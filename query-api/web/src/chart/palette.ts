/** Colours of series: a metric has the same one wherever it is drawn, unless a neighbour has it already. */

export const COLOURS = 8;

/** The colour's place in the palette for each of these series. */
export function slots(names: string[]): number[] {
  const taken = new Set<number>();
  return names.map((name) => {
    if (taken.size === COLOURS) taken.clear();
    let slot = hash(name) % COLOURS;
    while (taken.has(slot)) slot = (slot + 1) % COLOURS;
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
  // Its low bits alone are poor.
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** The colour as the theme has it. */
export function colour(slot: number): string {
  return `var(--series-${slot + 1})`;
}
