import type { components } from "./schema";

type Schemas = components["schemas"];

export type Session = Schemas["Session"];
export type Connection = Schemas["Connection"];
export type CreatedConnection = Schemas["CreatedConnection"];
export type RotatedKey = Schemas["RotatedKey"];
export type Key = Schemas["Key"];
export type KeyScope = Schemas["KeyScope"];
export type Metric = Schemas["Metric"];
export type TimeSeries = Schemas["TimeSeries"];
export type Query = Schemas["Query"];
export type Aggregation = Schemas["Aggregation"];
export type Interval = Schemas["WantedInterval"];
export type UsageReport = Schemas["UsageReport"];
export type Dashboard = Schemas["Dashboard"];
export type NewDashboard = Schemas["NewDashboard"];
export type Widget = Schemas["Widget"];
export type WidgetType = Schemas["WidgetType"];
export type WidgetSeries = Schemas["WidgetSeries"];
export type Alert = Schemas["Alert"];
export type NewAlert = Schemas["NewAlert"];
export type AlertTransition = Schemas["AlertTransition"];
export type Channel = Schemas["Channel"];
export type InboxNotice = Schemas["InboxNotice"];
