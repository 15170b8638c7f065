import type { components } from "./schema";

type Schemas = components["schemas"];

export type Session = Schemas["Session"];
export type Project = Schemas["Project"];
export type Connection = Schemas["Connection"];
export type CreatedConnection = Schemas["CreatedConnection"];
export type RotatedKey = Schemas["RotatedKey"];
export type Key = Schemas["Key"];
export type KeyScope = Schemas["KeyScope"];
export type Metric = Schemas["Metric"];
export type Point = Schemas["Point"];
export type TimeSeries = Schemas["TimeSeries"];
export type Query = Schemas["Query"];
export type QueryResult = Schemas["QueryResult"];
export type Aggregation = Schemas["Aggregation"];
export type Interval = Schemas["WantedInterval"];
export type UsageReport = Schemas["UsageReport"];
export type Notice = Schemas["Notice"];
