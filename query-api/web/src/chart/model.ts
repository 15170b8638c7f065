/** What a chart shows. */

export interface ChartPoint {
  timestamp: number;
  value: number | null;
}

export interface ChartSeries {
  name: string;
  unit: string | null;
  /** Its place in the palette. */
  slot: number;
  points: ChartPoint[];
  /** Of bars: those with the same word stand upon each other. */
  stack?: string;
}

export type ChartKind = "line" | "area" | "bar";

export interface ChartProps {
  kind: ChartKind;
  series: ChartSeries[];
  start: number;
  end: number;
  /** What the chart is of, for those who cannot see it. */
  label: string;
  /** A line at this value. */
  threshold?: number;
  /** Times that are set off, such as when an alert fires. */
  marked?: { start: number; end: number }[];
  /** Called with the part that was dragged over. */
  onZoom?: (start: number, end: number) => void;
  /** Charts of the same group show the same moment. */
  group?: string;
}
