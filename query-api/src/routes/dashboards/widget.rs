//! Widgets of dashboards.

use crate::faults::FaultCode;
use crate::fields::{Fields, FromFields};
use proto::v1;
use reads::series::aggregation::Aggregation;
use reads::series::series_query::WantedInterval;
use serde::Serialize;
use serde_json::{Map, Value};
use service::wire_enum;
use service::wire_enum::WireEnum as _;
use std::collections::HashSet;
use utoipa::ToSchema;

/// Maximum number of widgets of a dashboard.
const MAX_WIDGETS: usize = 100;
/// Maximum number of series of a widget.
const MAX_SERIES: usize = 20;
/// Maximum position and size of a widget, in columns and rows.
const MAX_GRID: u64 = 10_000;

wire_enum! {
    /// Visualization of a widget.
    pub enum WidgetType {
        /// One number.
        Number = "number",
        /// Lines.
        Line = "line",
        /// Bars.
        Bar = "bar",
        /// Filled lines.
        Area = "area",
        /// A table.
        Table = "table",
        /// A gauge.
        Gauge = "gauge",
    }
}

wire_enum! {
    /// Length of a widget's range, which ends now.
    pub enum WidgetSpan {
        /// An hour.
        Hour = "1h",
        /// 24 hours.
        Day = "24h",
        /// Seven days.
        Week = "7d",
        /// Thirty days.
        Month = "30d",
        /// Ninety days.
        Quarter = "90d",
    }
}

/// A widget to create.
#[derive(ToSchema)]
pub struct NewWidget {
    /// Id within the dashboard; default an unused one.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    id: String,
    /// Visualization of the series.
    #[schema(rename = "type")]
    kind: WidgetType,
    /// Title of the widget; default none.
    #[schema(value_type = Option<String>, max_length = 200)]
    title: String,
    /// The series that the widget shows.
    #[schema(min_items = 1, max_items = 20)]
    series: Vec<NewWidgetSeries>,
    /// The range that the widget shows; default `24h`.
    #[schema(value_type = Option<WidgetRange>)]
    range: WidgetRange,
    /// Length of the buckets; default `auto`.
    #[schema(value_type = Option<WantedInterval>)]
    interval: WantedInterval,
    /// First column; default 0.
    #[schema(value_type = Option<u32>, maximum = 10000)]
    x: u32,
    /// First row; default 0.
    #[schema(value_type = Option<u32>, maximum = 10000)]
    y: u32,
    /// Width in columns; default 4.
    #[schema(value_type = Option<u32>, maximum = 10000)]
    w: u32,
    /// Height in rows; default 3.
    #[schema(value_type = Option<u32>, maximum = 10000)]
    h: u32,
}

/// A series of a widget to create.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct NewWidgetSeries {
    /// The metric; it need not exist yet.
    #[schema(example = "daily_signups")]
    metric_id: String,
    /// Aggregation of the points of a bucket; default `avg`.
    #[schema(value_type = Option<Aggregation>)]
    aggregation: Aggregation,
}

/// A series of a widget.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WidgetSeries {
    /// The metric.
    metric_id: String,
    /// Aggregation of the points of a bucket.
    #[schema(value_type = Aggregation)]
    aggregation: String,
}

/// The range that a widget shows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum WidgetRange {
    /// A range that ends now. It is text because a stored dashboard may have a length that this version does
    /// not know.
    #[schema(value_type = WidgetSpan)]
    Span(String),
    /// A fixed range, `[startDate, endDate)`.
    #[serde(rename_all = "camelCase")]
    Fixed {
        /// Unix milliseconds.
        start_date: i64,
        /// Unix milliseconds.
        end_date: i64,
    },
}

/// A widget.
#[derive(Debug, Serialize, ToSchema)]
pub struct Widget {
    /// Id within the dashboard.
    id: String,
    /// Visualization of the series.
    #[serde(rename = "type")]
    #[schema(value_type = WidgetType)]
    kind: String,
    /// Title of the widget; may be empty.
    title: String,
    /// The series that the widget shows: 1 to 20.
    series: Vec<WidgetSeries>,
    /// The range that the widget shows.
    range: WidgetRange,
    /// Length of the buckets.
    #[schema(value_type = WantedInterval)]
    interval: String,
    /// First column.
    x: u32,
    /// First row.
    y: u32,
    /// Width in columns.
    w: u32,
    /// Height in rows.
    h: u32,
}

impl From<v1::Widget> for Widget {
    fn from(widget: v1::Widget) -> Self {
        let series = widget.series.into_iter();
        Self {
            id: widget.id,
            kind: widget.r#type,
            title: widget.title,
            series: series
                .map(|series| WidgetSeries { metric_id: series.metric_id, aggregation: series.aggregation })
                .collect(),
            range: if widget.range.is_empty() {
                WidgetRange::Fixed { start_date: widget.start_ms, end_date: widget.end_ms }
            } else {
                WidgetRange::Span(widget.range)
            },
            interval: widget.interval,
            x: widget.x,
            y: widget.y,
            w: widget.w,
            h: widget.h,
        }
    }
}

impl NewWidget {
    /// Reads the list `field`. The message of a fault names the index of the widget.
    pub fn read_list(fields: &mut Fields, field: &'static str) -> Option<Vec<Self>> {
        let items = match fields.take(field) {
            None => {
                fields.fault(field, FaultCode::Required, "is required: a list, which may be empty");
                return None;
            }
            Some(Value::Array(items)) => items,
            Some(_) => {
                fields.fault(field, FaultCode::NotAnArray, "must be a list");
                return None;
            }
        };
        if items.len() > MAX_WIDGETS {
            fields.fault(field, FaultCode::BadLength, format!("must be at most {MAX_WIDGETS} widgets"));
            return None;
        }
        // Ids that the client chose anywhere in the list, then also those that were chosen here.
        let mut taken: HashSet<String> =
            items.iter().filter_map(|item| item["id"].as_str()).map(str::to_owned).collect();
        let mut widgets = Vec::new();
        let mut seen = HashSet::new();
        for (index, item) in items.into_iter().enumerate() {
            let Value::Object(item) = item else {
                fields.fault(field, FaultCode::NotAnObject, format!("at {index}: must be an object"));
                continue;
            };
            let mut item = Fields::new(item);
            let id = item.line("id", 64, Some(&unused_id(index, &taken)));
            taken.extend(id.clone());
            widgets.push(Self::read(&mut item, id.clone()));
            if id.is_some_and(|id| !seen.insert(id)) {
                item.fault("id", FaultCode::Duplicate, "must be unique within the dashboard");
            }
            fields.absorb_item(field, index, item);
        }
        widgets.into_iter().collect()
    }

    fn read(fields: &mut Fields, id: Option<String>) -> Option<Self> {
        let range = read_range(fields);
        let (x, y) = (grid_units(fields, "x", 0), grid_units(fields, "y", 0));
        let (w, h) = (grid_units(fields, "w", 4), grid_units(fields, "h", 3));
        let title = fields.line("title", 200, Some(""));
        let kind = fields.take("type").unwrap_or(Value::Null);
        let kind = fields.parse_choice("type", &kind);
        let series = read_series(fields);
        let interval = fields.choice_or("interval", WantedInterval::Auto);
        Some(Self {
            id: id?,
            kind: kind?,
            title: title?,
            series: series?,
            range: range?,
            interval: interval?,
            x: x?,
            y: y?,
            w: w?,
            h: h?,
        })
    }

    pub fn into_record(self) -> v1::Widget {
        let (range, start_ms, end_ms) = match self.range {
            WidgetRange::Span(span) => (span, 0, 0),
            WidgetRange::Fixed { start_date, end_date } => (String::new(), start_date, end_date),
        };
        let series = self.series.into_iter().map(|series| v1::WidgetSeries {
            metric_id: series.metric_id,
            aggregation: series.aggregation.as_str().to_owned(),
        });
        v1::Widget {
            id: self.id,
            r#type: self.kind.as_str().to_owned(),
            title: self.title,
            series: series.collect(),
            range,
            start_ms,
            end_ms,
            interval: self.interval.as_str().to_owned(),
            x: self.x,
            y: self.y,
            w: self.w,
            h: self.h,
        }
    }
}

impl FromFields for NewWidgetSeries {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let metric_id = fields.line("metricId", 128, None);
        let metric_id = metric_id.and_then(|id| fields.check_metric_id("metricId", id));
        let aggregation = fields.choice_or("aggregation", Aggregation::Avg);
        Some(Self { metric_id: metric_id?, aggregation: aggregation? })
    }
}

/// Returns `w` and the number of the widget, or the next number that is unused.
fn unused_id(index: usize, taken: &HashSet<String>) -> String {
    let mut number = index + 1;
    while taken.contains(&format!("w{number}")) {
        number += 1;
    }
    format!("w{number}")
}

/// Reads a position or size.
fn grid_units(fields: &mut Fields, field: &'static str, default: u32) -> Option<u32> {
    let Some(value) = fields.take(field) else { return Some(default) };
    let number = value.as_u64().filter(|number| *number <= MAX_GRID);
    let number = number.and_then(|number| u32::try_from(number).ok());
    if number.is_none() {
        let message = format!("must be an integer from 0 to {MAX_GRID}");
        fields.fault(field, FaultCode::NotAnInteger, message);
    }
    number
}

fn read_range(fields: &mut Fields) -> Option<WidgetRange> {
    let span = match fields.take("range") {
        None => WidgetSpan::Day,
        Some(Value::Object(fixed)) => return fixed_range(fields, &fixed),
        Some(span) => fields.parse_choice("range", &span)?,
    };
    Some(WidgetRange::Span(span.as_str().to_owned()))
}

fn fixed_range(fields: &mut Fields, fixed: &Map<String, Value>) -> Option<WidgetRange> {
    let mut time = |name: &'static str| {
        let value = fixed.get(name).and_then(Value::as_i64);
        if value.is_none() {
            fields.fault(name, FaultCode::NotAnInteger, "must be Unix milliseconds");
        }
        value
    };
    let (start, end) = (time("startDate"), time("endDate"));
    let (start_date, end_date) = (start?, end?);
    if start_date >= end_date {
        fields.fault("range", FaultCode::EmptyRange, "must begin before it ends");
    }
    Some(WidgetRange::Fixed { start_date, end_date })
}

fn read_series(fields: &mut Fields) -> Option<Vec<NewWidgetSeries>> {
    let Some(Value::Array(items)) = fields.take("series") else {
        fields.fault("series", FaultCode::NotAnArray, "must be a list of {metricId, aggregation}");
        return None;
    };
    if !(1..=MAX_SERIES).contains(&items.len()) {
        let message = format!("must be 1 to {MAX_SERIES} of {{metricId, aggregation}}");
        fields.fault("series", FaultCode::BadLength, message);
        return None;
    }
    let read = |item: Value| {
        let Value::Object(item) = item else {
            fields.fault("series", FaultCode::NotAnObject, "must be objects {metricId, aggregation}");
            return None;
        };
        let mut item = Fields::new(item);
        let series = NewWidgetSeries::from_fields(&mut item);
        fields.absorb(item);
        series
    };
    // All items are read before the first missing one ends the list: each may add faults.
    let series: Vec<Option<NewWidgetSeries>> = items.into_iter().map(read).collect();
    series.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(widgets: Value) -> Result<Vec<NewWidget>, Vec<String>> {
        let mut fields = Fields::new(Map::from_iter([("widgets".to_owned(), widgets)]));
        let widgets = NewWidget::read_list(&mut fields, "widgets");
        let messages: Vec<String> =
            fields.into_faults().into_inner().iter().map(|fault| fault.message.to_string()).collect();
        widgets.filter(|_| messages.is_empty()).ok_or(messages)
    }

    fn faults(widgets: Value) -> Vec<String> {
        read(widgets).err().unwrap_or_default()
    }

    #[test]
    fn widget_has_defaults_for_all_but_type_and_series() {
        let widgets = read(json!([{"type": "line", "series": [{"metricId": "a"}]}]));
        let widget = widgets.expect("no faults").remove(0).into_record();
        let widget = serde_json::to_value(Widget::from(widget)).expect("serializable");
        let expected = json!({
            "id": "w1", "type": "line", "title": "", "series": [{"metricId": "a", "aggregation": "avg"}],
            "range": "24h", "interval": "auto", "x": 0, "y": 0, "w": 4, "h": 3,
        });
        assert_eq!(widget, expected);
    }

    #[test]
    fn widget_without_id_gets_an_unused_one() {
        let ids = |given: &[Option<&str>]| -> Vec<String> {
            let widget = |id: &Option<&str>| json!({"id": id, "type": "line", "series": [{"metricId": "a"}]});
            let widgets = read(given.iter().map(widget).collect()).expect("no faults");
            widgets.into_iter().map(|widget| widget.id).collect()
        };
        assert_eq!(ids(&[None, Some("a"), None]), ["w1", "a", "w3"]);
        assert_eq!(ids(&[None, Some("w1")]), ["w2", "w1"]);
        assert_eq!(ids(&[Some("w2"), None, None]), ["w2", "w3", "w4"]);
        assert_eq!(ids(&[None, None, Some("w1"), Some("w3")]), ["w2", "w4", "w1", "w3"]);
    }

    #[test]
    fn fault_names_the_index_of_the_widget() {
        let good = json!({"id": "a", "type": "line", "series": [{"metricId": "a"}]});
        for (change, expected) in [
            (json!({"type": "pie"}), "`type`"),
            (json!({"series": []}), "`series`"),
            (json!({"series": [{"metricId": "a b"}]}), "`metricId`"),
            (json!({"series": [{"metricId": "a", "aggregation": "mode"}]}), "`aggregation`"),
            (json!({"range": "2h"}), "`range`"),
            (json!({"range": {"startDate": 5, "endDate": 5}}), "`range`"),
            (json!({"range": {"startDate": 5}}), "`endDate`"),
            (json!({"interval": "second"}), "`interval`"),
            (json!({"x": -1}), "`x`"),
            (json!({"h": 1.5}), "`h`"),
            (json!({"title": 5}), "`title`"),
            (json!({"id": "a"}), "`id`"),
        ] {
            let mut second = json!({"id": "b", "type": "line", "series": [{"metricId": "a"}]});
            for (field, value) in change.as_object().expect("an object") {
                second[field] = value.clone();
            }
            let messages = faults(json!([good, second]));
            assert_eq!(messages.len(), 1, "{change}: {messages:?}");
            assert!(
                messages[0].starts_with("at 1: ") && messages[0].contains(expected),
                "{change}: {messages:?}"
            );
        }
        assert!(faults(json!([good])).is_empty());
        assert_eq!(faults(json!({})).len(), 1);
        let many = vec![json!({"metricId": "a"}); 21];
        assert_eq!(faults(json!([{"type": "line", "series": many}])).len(), 1);
    }
}
