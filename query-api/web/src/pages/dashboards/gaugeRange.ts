/** Bounds of a gauge: 0 to 100 for percentages, otherwise the next round number beyond the values. */
export function gaugeRange(unit: string | null, values: (number | null)[]): { low: number; high: number } {
  const present = values.filter((value) => value !== null);
  const [lowest, highest] = [Math.min(0, ...present), Math.max(0, ...present)];
  const percent = unit === "%" && lowest >= 0 && highest <= 100;
  return { low: percent || lowest === 0 ? 0 : -roundUp(-lowest), high: percent ? 100 : roundUp(highest) || (lowest < 0 ? 0 : 1) };
}

/** Rounds up to 1, 2, 2.5 or 5 times a power of ten. */
function roundUp(value: number): number {
  if (value <= 0) return 0;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 2.5, 5].find((step) => step * power >= value) ?? 10);
}
