/** Registers the ECharts modules that the page uses. */
import { BarChart, LineChart } from "echarts/charts";
import { BrushComponent, GridComponent, MarkAreaComponent, TooltipComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";

use([BarChart, LineChart, BrushComponent, GridComponent, MarkAreaComponent, TooltipComponent, CanvasRenderer]);

export { init };
export type { ECharts } from "echarts/core";
