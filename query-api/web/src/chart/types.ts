export interface ChartPoint {
  timestamp: number;
  value: number | null;
}

export interface ChartSeries {
  name: string;
  unit: string | null;
  /** Index in the palette. */
  slot: number;
  points: ChartPoint[];
  /** Stack id: bars with the same id are stacked. */
  stack?: string;
}

export type ChartKind = "line" | "area" | "bar";

export interface ChartProps {
  kind: ChartKind;
  series: ChartSeries[];
  start: number;
  end: number;
  /** Accessible name. */
  label: string;
  /** Value at which a horizontal line is drawn. */
  threshold?: number;
  /** Highlighted periods, such as those in which an alert fires. */
  highlights?: { start: number; end: number }[];
  /** Called with the period that the user selected by dragging. */
  onZoom?: (start: number, end: number) => void;
  /** Group id: charts of the same group show their axis pointers at the same time. */
  group?: string;
}
