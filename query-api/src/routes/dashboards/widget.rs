//! Widgets: their types, and how they are read from a body.

use crate::fault::{Code, Faults};
use crate::routes::reading::{self, Reading};
use proto::v1;
use reads::series::aggregation::Aggregation;
use reads::series::question::WantedInterval;
use serde::Serialize;
use serde_json::{Map, Value};
use service::wire_enum;
use service::wire_enum::WireEnum as _;
use std::collections::HashSet;
use utoipa::ToSchema;

/// So many widgets has a dashboard.
const WIDGETS: usize = 100;
/// So many series has a widget.
const SERIES: usize = 20;
/// The greatest place and size.
const GRID: u64 = 10_000;

wire_enum! {
    /// How a widget shows its series.
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
    /// How far back a widget looks.
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

/// A widget to be made. It describes the body; [`read`] reads it, so that all faults are told at once.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct NewWidget {
    /// Its id within the dashboard; one that no other widget has if left out.
    #[schema(min_length = 1, max_length = 64)]
    id: Option<String>,
    /// How it shows its series.
    #[schema(rename = "type")]
    kind: WidgetType,
    /// What stands above it.
    #[schema(max_length = 200)]
    title: Option<String>,
    /// What it shows.
    #[schema(min_items = 1, max_items = 20)]
    series: Vec<NewWidgetSeries>,
    /// The range that it shows; `24h` if left out.
    range: Option<WidgetRange>,
    /// How long buckets are; `auto` if left out.
    interval: Option<WantedInterval>,
    /// Its column; 0 if left out.
    #[schema(maximum = 10000)]
    x: Option<u32>,
    /// Its row; 0 if left out.
    #[schema(maximum = 10000)]
    y: Option<u32>,
    /// Its width, in columns; 4 if left out.
    #[schema(maximum = 10000)]
    w: Option<u32>,
    /// Its height, in rows; 3 if left out.
    #[schema(maximum = 10000)]
    h: Option<u32>,
}

/// What a widget is to show.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code)]
pub struct NewWidgetSeries {
    /// The metric; it need not exist yet.
    #[schema(example = "daily_signups")]
    metric_id: String,
    /// How the points of a bucket become one number; `avg` if left out.
    aggregation: Option<Aggregation>,
}

/// What a widget shows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WidgetSeries {
    /// The metric.
    metric_id: String,
    /// How the points of a bucket become one number.
    #[schema(value_type = Aggregation)]
    aggregation: String,
}

/// The range that a widget shows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum WidgetRange {
    /// Up to now.
    #[schema(value_type = WidgetSpan)]
    Span(String),
    /// A fixed one, `[startDate, endDate)`.
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
    /// Its id within the dashboard.
    id: String,
    /// How it shows its series.
    #[serde(rename = "type")]
    #[schema(value_type = WidgetType)]
    kind: String,
    /// What stands above it.
    title: String,
    /// What it shows: 1 to 20.
    series: Vec<WidgetSeries>,
    /// The range that it shows.
    range: WidgetRange,
    /// How long buckets are.
    #[schema(value_type = WantedInterval)]
    interval: String,
    /// Its column.
    x: u32,
    /// Its row.
    y: u32,
    /// Its width, in columns.
    w: u32,
    /// Its height, in rows.
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

/// Reads the field `widgets`. Each fault says in which widget it is.
pub fn read(value: Option<Value>, faults: &mut Faults) -> Vec<v1::Widget> {
    let items = match value {
        None => {
            faults.add("widgets", Code::Required, "is required: a list, which may be empty");
            return Vec::new();
        }
        Some(Value::Array(items)) => items,
        Some(_) => {
            faults.add("widgets", Code::NotAnArray, "must be a list");
            return Vec::new();
        }
    };
    if items.len() > WIDGETS {
        faults.add("widgets", Code::BadLength, format!("must be at most {WIDGETS} widgets"));
        return Vec::new();
    }
    // Those that are given, and then those that are chosen.
    let mut taken: HashSet<String> =
        items.iter().filter_map(|item| item["id"].as_str()).map(str::to_owned).collect();
    let mut widgets = Vec::new();
    let mut ids = HashSet::new();
    for (index, item) in items.into_iter().enumerate() {
        let mut reading = Reading::new("widgets", format!("{index}"), faults);
        let Value::Object(fields) = item else {
            reading.fault("", Code::NotAnObject, "must be an object");
            continue;
        };
        let widget = widget(fields, &free_id(index, &taken), &mut reading);
        taken.insert(widget.id.clone());
        if !ids.insert(widget.id.clone()) {
            reading.fault("id", Code::Duplicate, "must not be the one of another widget");
        }
        widgets.push(widget);
    }
    widgets
}

/// `w` and the widget's number, or the next one that no other widget has.
fn free_id(index: usize, taken: &HashSet<String>) -> String {
    let mut number = index + 1;
    while taken.contains(&format!("w{number}")) {
        number += 1;
    }
    format!("w{number}")
}

fn widget(mut fields: Map<String, Value>, free_id: &str, reading: &mut Reading) -> v1::Widget {
    let range = fields.remove("range").filter(|range| !range.is_null());
    let (range, start_ms, end_ms) = match range {
        None => (WidgetSpan::Day.as_str().to_owned(), 0, 0),
        Some(Value::Object(fixed)) => fixed_range(fixed, reading),
        Some(range) => (reading.word::<WidgetSpan>(Some(range), "range", None), 0, 0),
    };
    let mut size =
        |name: &'static str, default| reading.integer(fields.remove(name), name, 0..=GRID, default);
    let (x, y, w, h) = (size("x", 0), size("y", 0), size("w", 4), size("h", 3));
    let id = reading.text(fields.remove("id"), "id", 64, Some(free_id));
    let title = reading.text(fields.remove("title"), "title", 200, Some(""));
    v1::Widget {
        id,
        r#type: reading.word::<WidgetType>(fields.remove("type"), "type", None),
        title,
        series: series(fields.remove("series"), reading),
        range,
        start_ms,
        end_ms,
        interval: reading.word(fields.remove("interval"), "interval", Some(WantedInterval::Auto)),
        x,
        y,
        w,
        h,
    }
}

fn fixed_range(mut fixed: Map<String, Value>, reading: &mut Reading) -> (String, i64, i64) {
    let mut time = |name: &'static str| {
        let value = fixed.remove(name).and_then(|value| value.as_i64());
        if value.is_none() {
            reading.fault(name, Code::NotAnInteger, "must be Unix milliseconds");
        }
        value
    };
    let (Some(start), Some(end)) = (time("startDate"), time("endDate")) else { return (String::new(), 0, 0) };
    if start >= end {
        reading.fault("range", Code::EmptyRange, "must begin before it ends");
    }
    (String::new(), start, end)
}

fn series(value: Option<Value>, reading: &mut Reading) -> Vec<v1::WidgetSeries> {
    let Some(Value::Array(items)) = value else {
        reading.fault("series", Code::NotAnArray, "must be a list of {metricId, aggregation}");
        return Vec::new();
    };
    if items.is_empty() || items.len() > SERIES {
        reading.fault(
            "series",
            Code::BadLength,
            format!("must be 1 to {SERIES} of {{metricId, aggregation}}"),
        );
        return Vec::new();
    }
    let one = |item: Value| {
        let Value::Object(mut fields) = item else {
            reading.fault("series", Code::NotAnObject, "must be objects {metricId, aggregation}");
            return v1::WidgetSeries::default();
        };
        let metric_id = reading.text(fields.remove("metricId"), "metricId", 128, None);
        if !metric_id.is_empty() && !reading::is_metric_id(&metric_id) {
            reading.fault("metricId", Code::BadMetricId, reading::METRIC_ID);
        }
        let aggregation = reading.word(fields.remove("aggregation"), "aggregation", Some(Aggregation::Avg));
        v1::WidgetSeries { metric_id, aggregation }
    };
    items.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults(widgets: Value) -> Vec<String> {
        let mut faults = Faults::default();
        read(Some(widgets), &mut faults);
        match faults.check() {
            Ok(()) => Vec::new(),
            Err(faults) => faults.into_inner().iter().map(|fault| fault.message.to_string()).collect(),
        }
    }

    #[test]
    fn a_widget_has_defaults_for_all_but_its_type_and_series() {
        let mut faults = Faults::default();
        let widgets = read(Some(json!([{"type": "line", "series": [{"metricId": "a"}]}])), &mut faults);
        assert!(faults.is_empty());
        let widget = serde_json::to_value(Widget::from(widgets[0].clone())).expect("it can be written");
        let expected = json!({
            "id": "w1", "type": "line", "title": "", "series": [{"metricId": "a", "aggregation": "avg"}],
            "range": "24h", "interval": "auto", "x": 0, "y": 0, "w": 4, "h": 3,
        });
        assert_eq!(widget, expected);
    }

    #[test]
    fn a_widget_without_an_id_gets_one_that_no_other_has() {
        let ids = |given: &[Option<&str>]| -> Vec<String> {
            let widget = |id: &Option<&str>| json!({"id": id, "type": "line", "series": [{"metricId": "a"}]});
            let mut faults = Faults::default();
            let widgets = read(Some(given.iter().map(widget).collect()), &mut faults);
            assert!(faults.is_empty(), "{given:?}");
            widgets.into_iter().map(|widget| widget.id).collect()
        };
        assert_eq!(ids(&[None, Some("a"), None]), ["w1", "a", "w3"]);
        assert_eq!(ids(&[None, Some("w1")]), ["w2", "w1"]);
        assert_eq!(ids(&[Some("w2"), None, None]), ["w2", "w3", "w4"]);
        assert_eq!(ids(&[None, None, Some("w1"), Some("w3")]), ["w2", "w4", "w1", "w3"]);
    }

    #[test]
    fn a_fault_says_in_which_widget_it_is() {
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
            let told = faults(json!([good, second]));
            assert_eq!(told.len(), 1, "{change}: {told:?}");
            assert!(told[0].starts_with("at 1: ") && told[0].contains(expected), "{change}: {told:?}");
        }
        assert!(faults(json!([good])).is_empty());
        assert_eq!(faults(json!({})).len(), 1);
        let many = vec![json!({"metricId": "a"}); 21];
        assert_eq!(faults(json!([{"type": "line", "series": many}])).len(), 1);
    }
}
