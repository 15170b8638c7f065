/** Between which values a gauge moves: percents between 0 and 100, all else up to a round number above what was seen. */
export function gaugeEnds(unit: string | null, values: (number | null)[]): { low: number; high: number } {
  const known = values.filter((value) => value !== null);
  const [least, most] = [Math.min(0, ...known), Math.max(0, ...known)];
  const percent = unit === "%" && least >= 0 && most <= 100;
  return { low: percent || least === 0 ? 0 : -round(-least), high: percent ? 100 : round(most) || (least < 0 ? 0 : 1) };
}

/** The next of 1, 2, 2.5, 5 times a power of ten. */
function round(value: number): number {
  if (value <= 0) return 0;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 2.5, 5].find((step) => step * power >= value) ?? 10);
}
