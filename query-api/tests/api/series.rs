//! Time series, compared with a naive computation that uses neither rollups nor SQL.

use crate::support::{Caller, Sample, Stack, details, refused, send, shared};
use futures::future::join_all;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reads::series::buckets::{self, Interval, Range};
use reqwest::Method;
use serde_json::{Value, json};

const START: i64 = 1_767_571_200_000;
const HOUR: i64 = 3_600_000;
const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"];
const FILLS: [&str; 4] = ["none", "null", "zero", "previous"];
const AGGREGATIONS: [&str; 9] = ["avg", "sum", "min", "max", "count", "last", "p50", "p90", "p99"];

/// Returns the times within `span` at which the clock of `zone` changes.
fn clock_changes(zone: &str, span: i64) -> Vec<i64> {
    let zone = TimeZone::get(zone).expect("a zone");
    let start = Timestamp::from_millisecond(START).expect("a time");
    let changes = zone.following(start).map(|change| change.timestamp().as_millisecond());
    changes.take_while(|change| *change < START + span).collect()
}

/// Returns samples with integer values, so that sums are exact in any order. Some have equal times, a third
/// of them is near clock changes, and they do not arrive in the order of their times.
fn samples(count: i64, span: i64) -> Vec<Sample> {
    let mut random = StdRng::seed_from_u64(7);
    let moved: Vec<i64> = ZONES.iter().flat_map(|zone| clock_changes(zone, span)).collect();
    let mut time = |i: i64| {
        if i % 3 == 0 {
            return moved[random.random_range(0..moved.len())] + random.random_range(-20 * HOUR..20 * HOUR);
        }
        START + random.random_range(0..span / 1000) * 1000 + i64::from(random.random_bool(0.1))
    };
    let times: Vec<i64> = (0..count).map(&mut time).collect();
    let mut sample = |i: i64| Sample {
        metric: "m",
        time: times[i as usize],
        value: f64::from(random.random_range(-500..500)),
        received_at: START + span + i / 30,
        offset: i / 3,
        index: u16::try_from(i % 3).expect("fits in u16"),
        name: "Mine",
        unit: "ms",
    };
    (0..count).map(&mut sample).collect()
}

fn naive(samples: &[&Sample], aggregation: &str) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(|s| s.value).collect();
    values.sort_by(f64::total_cmp);
    let (sum, count) = (values.iter().sum::<f64>(), values.len() as f64);
    let quantile = |level: f64| {
        let position = level * (count - 1.0);
        let (low, high) = (values[position.floor() as usize], values[position.ceil() as usize]);
        low + (high - low) * position.fract()
    };
    match aggregation {
        "avg" => sum / count,
        "sum" => sum,
        "min" => values[0],
        "max" => values[values.len() - 1],
        "count" => count,
        "last" => {
            samples.iter().max_by_key(|s| (s.time, s.received_at, s.offset, s.index)).expect("a sample").value
        }
        "p50" => quantile(0.5),
        "p90" => quantile(0.9),
        _ => quantile(0.99),
    }
}

/// Parameters of a request apart from its range.
#[derive(Clone, Copy)]
struct Parameters {
    interval: (&'static str, Interval),
    aggregation: &'static str,
    zone: &'static str,
    fill: &'static str,
}

/// Returns every bucket of `range` by the naive computation: start, value, count.
fn expected(samples: &[Sample], range: Range, parameters: Parameters) -> Vec<(i64, Option<f64>, u64)> {
    let zone = TimeZone::get(parameters.zone).expect("a zone");
    let starts = buckets::starts(range, parameters.interval.1, &zone, buckets::MAX_BUCKETS)
        .expect("at most MAX_BUCKETS buckets");
    let (mut buckets, mut previous) = (Vec::new(), None);
    for (i, start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).copied().unwrap_or(i64::MAX);
        let inside: Vec<&Sample> = samples
            .iter()
            .filter(|s| (*start..end).contains(&s.time) && (range.start..range.end).contains(&s.time))
            .collect();
        if !inside.is_empty() {
            previous = Some(naive(&inside, parameters.aggregation));
            buckets.push((*start, previous, inside.len() as u64));
            continue;
        }
        match parameters.fill {
            "null" => buckets.push((*start, None, 0)),
            "zero" => buckets.push((*start, Some(0.0), 0)),
            "previous" => buckets.push((*start, previous, 0)),
            _ => {}
        }
    }
    buckets
}

async fn check(caller: &Caller, samples: &[Sample], range: Range, parameters: Parameters) {
    let Parameters { interval, aggregation, zone, fill } = parameters;
    let path = format!(
        "/api/v1/metrics/m/timeseries?startDate={}&endDate={}&interval={}&aggregation={aggregation}&timezone={zone}&fill={fill}",
        range.start, range.end, interval.0
    );
    let answer = caller.ok(&path).await;
    let expected = expected(samples, range, parameters);
    let points = answer["points"].as_array().expect("points");
    assert_eq!(points.len(), expected.len(), "{path}");
    for (point, (start, value, count)) in points.iter().zip(expected) {
        assert_eq!(
            (point["timestamp"].as_i64(), point["count"].as_u64()),
            (Some(start), Some(count)),
            "{path}"
        );
        match (point["value"].as_f64(), value) {
            (Some(given), Some(value)) => {
                assert!((given - value).abs() <= 1e-9 * value.abs(), "{given} is not {value}: {path}");
            }
            (given, value) => assert_eq!(given, value, "{path}"),
        }
    }
    assert_eq!(
        (&answer["interval"], &answer["aggregation"], &answer["timezone"]),
        (&json!(interval.0), &json!(aggregation), &json!(zone))
    );
}

/// Stores so many points, long before all others, that the engine prefers the rollup.
async fn store_many_older_points(stack: &Stack, project: &str) {
    let sql = format!(
        "INSERT INTO samples (kind, project_id, metric_id, time, value, received_at, offset) \
         SELECT 'sample', '{project}', 'm', toDateTime64('2010-01-01', 3, 'UTC') + number, 1, \
         toDateTime64('2010-01-01', 3, 'UTC'), number FROM numbers(50000)"
    );
    stack.clickhouse().query_raw(&sql).execute().await.expect("stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_parameter_combinations_match_the_naive_computation() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    // The range contains both clock changes of each zone that has them.
    let span = 330 * 24 * HOUR;
    let samples = samples(6000, span);
    let mut random = StdRng::seed_from_u64(11);
    let intervals = [
        ("minute", Interval::Minute, 6 * HOUR),
        ("hour", Interval::Hour, 10 * 24 * HOUR),
        ("day", Interval::Day, span),
        ("week", Interval::Week, span),
        ("month", Interval::Month, span),
    ];
    // Partial ranges are exact too, and points that arrive later with earlier times are included. By then
    // the metric has many points elsewhere, so that the rollup is read.
    for stored in [4000, 6000] {
        if stored == 6000 {
            store_many_older_points(stack, &project).await;
        }
        let before = &samples[..stored];
        let new = if stored == 4000 { before } else { &before[4000..] };
        for part in new.chunks(2000) {
            stack.store(&project, part).await;
        }
        for (name, interval, longest) in intervals {
            for zone in ZONES {
                let mut random_request = |aggregation| {
                    let length = 1 + random.random_range(0..longest);
                    let moved = clock_changes(zone, span);
                    let start = if !moved.is_empty() && random.random() {
                        moved[random.random_range(0..moved.len())] - random.random_range(0..length)
                    } else {
                        START + random.random_range(0..span / 2)
                    };
                    let cut = Range { start, end: start + length };
                    let whole = Range { start: cut.start / HOUR * HOUR, end: (cut.end / HOUR + 1) * HOUR };
                    let range = if random.random() { cut } else { whole };
                    let fill = FILLS[random.random_range(0..FILLS.len())];
                    (range, Parameters { interval: (name, interval), aggregation, zone, fill })
                };
                let requests = AGGREGATIONS.map(&mut random_request);
                join_all(requests.map(|(range, parameters)| check(&manager, before, range, parameters)))
                    .await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn defaults_are_avg_of_last_24_hours_in_auto_buckets() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    let now = service::clock::now_ms();
    let at = |time, value, offset| Sample {
        metric: "cpu:load",
        time,
        value,
        received_at: now,
        offset,
        ..Sample::default()
    };
    stack
        .store(&project, &[at(now - 1000, 1.0, 0), at(now - 1000, 2.0, 1), at(now - 30 * HOUR, 50.0, 2)])
        .await;
    let answer = manager.ok("/api/v1/metrics/cpu:load/timeseries").await;
    let expected = [
        ("metricId", json!("cpu:load")),
        ("metricName", json!("Cpu Load")),
        ("unit", Value::Null),
        ("interval", json!("hour")),
        ("aggregation", json!("avg")),
        ("timezone", json!("UTC")),
    ];
    for (field, value) in expected {
        assert_eq!(answer[field], value, "{answer}");
    }
    assert_eq!(
        answer["points"],
        json!([{"timestamp": (now - 1000) / HOUR * HOUR, "value": 1.5, "count": 2}])
    );
    let auto = manager
        .ok("/api/v1/metrics/cpu:load/timeseries?startDate=2026-01-01&endDate=2026-01-01T06:40Z")
        .await;
    assert_eq!(auto["interval"], "minute", "400 minutes");
    let auto =
        manager.ok("/api/v1/metrics/cpu:load/timeseries?startDate=2020-01-01&endDate=2026-01-01").await;
    assert_eq!(auto["interval"], "week");
}

#[tokio::test(flavor = "multi_thread")]
async fn automatic_buckets_never_exceed_400() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    let first = 946_684_800_000;
    let at = |time, offset| Sample {
        metric: "m",
        time,
        value: 5.0,
        received_at: START,
        offset,
        ..Sample::default()
    };
    stack.store(&project, &[at(first, 0), at(START, 1), at(service::clock::now_ms() + 30_000, 2)]).await;
    for (range, expected) in [
        // Points in the future are outside of a range that ends now.
        ("startDate=0", 2),
        ("startDate=1900-01-01&timezone=America/New_York", 2),
        ("startDate=0900-01-01&timezone=Asia/Kolkata", 2),
        ("startDate=0001-01-02&endDate=9998-01-01", 3),
        ("startDate=2026-01-02&endDate=9000-01-01", 2),
        ("startDate=0900-01-01&endDate=1800-01-01", 0),
        ("startDate=2200-01-01&endDate=2300-01-01", 0),
    ] {
        let path = format!("/api/v1/metrics/m/timeseries?{range}&aggregation=sum&fill=zero");
        let answer = manager.ok(&path).await;
        let points = answer["points"].as_array().expect("points");
        assert!(points.len() <= 400, "{path}: {} buckets", points.len());
        let counted: u64 = points.iter().filter_map(|point| point["count"].as_u64()).sum();
        assert_eq!(counted, expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn last_prefers_the_later_received_of_equal_times() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    let at = |value, received_at, offset| Sample {
        metric: "m",
        time: START + 5,
        value,
        received_at,
        offset,
        ..Sample::default()
    };
    stack.store(&project, &[at(1.0, START + 9, 0), at(2.0, START + 10, 1)]).await;
    stack.store(&project, &[at(3.0, START + 8, 2)]).await;
    for interval in ["minute", "hour", "day"] {
        let path = format!(
            "/api/v1/metrics/m/timeseries?startDate={START}&endDate={}&interval={interval}&aggregation=last",
            START + 24 * HOUR
        );
        assert_eq!(
            manager.ok(&path).await["points"],
            json!([{"timestamp": START, "value": 2.0, "count": 3}]),
            "{interval}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_buckets_are_filled_as_requested() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    let at = |hour, value, offset| Sample {
        metric: "m",
        time: START + hour * HOUR,
        value,
        received_at: START,
        offset,
        ..Sample::default()
    };
    stack.store(&project, &[at(1, 5.0, 0), at(3, 7.0, 1)]).await;
    let range = format!("startDate={START}&endDate={}&interval=hour", START + 4 * HOUR);
    for (fill, values) in [
        ("none", json!([5.0, 7.0])),
        ("null", json!([null, 5.0, null, 7.0])),
        ("zero", json!([0.0, 5.0, 0.0, 7.0])),
        ("previous", json!([null, 5.0, 5.0, 7.0])),
    ] {
        let answer = manager.ok(&format!("/api/v1/metrics/m/timeseries?{range}&fill={fill}")).await;
        let given: Vec<Value> =
            answer["points"].as_array().expect("points").iter().map(|point| point["value"].clone()).collect();
        assert_eq!(json!(given), values, "{fill}");
    }
    let path = format!("/api/v1/metrics/m/timeseries?{range}&fill=null");
    let response = send(manager.request(Method::GET, &path).header("accept", "text/csv")).await;
    let hours: Vec<i64> = (0..4).map(|hour| START + hour * HOUR).collect();
    let expected = format!(
        "timestamp,value,count\r\n{},,0\r\n{},5.0,1\r\n{},,0\r\n{},7.0,1\r\n",
        hours[0], hours[1], hours[2], hours[3]
    );
    assert_eq!(response.text().await.expect("text"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn range_may_exceed_the_times_of_all_possible_points() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    let sample = Sample { metric: "m", time: START, value: 5.0, received_at: START, ..Sample::default() };
    stack.store(&project, &[sample]).await;
    for start in ["1900-01-01", "1969-12-01", "2026-01-01"] {
        for end in ["2106-01-01", "2106-02-06", "2106-02-09", "2110-01-01"] {
            for (interval, aggregation) in [("week", "avg"), ("month", "last"), ("month", "p50")] {
                let range = format!("startDate={start}&endDate={end}&interval={interval}");
                let path = format!("/api/v1/metrics/m/timeseries?{range}&aggregation={aggregation}");
                let points = manager.ok(&path).await["points"].clone();
                let seen: Vec<_> = points.as_array().expect("points").iter().map(|p| &p["value"]).collect();
                assert_eq!(seen, [&json!(5.0)], "{path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_exact_although_their_sums_overflow() {
    let stack = shared();
    let (project, manager) = stack.project().await;
    let at = |hour, value, offset| Sample {
        metric: "m",
        time: START + hour * HOUR,
        value,
        received_at: START,
        offset,
        ..Sample::default()
    };
    let huge = [at(0, 1.7e308, 0), at(0, 1.5e308, 1), at(1, 4.0, 2), at(2, -1.7e308, 3), at(2, -1.7e308, 4)];
    stack.store(&project, &huge).await;
    let range = format!("startDate={START}&endDate={}&fill=previous", START + 4 * HOUR);
    let values = async |query: &str| {
        let path = format!("/api/v1/metrics/m/timeseries?{range}&{query}");
        let points = manager.ok(&path).await["points"].clone();
        points.as_array().expect("points").iter().map(|p| (p["value"].clone(), p["count"].clone())).collect()
    };
    let hours = |values: [Value; 4]| -> Vec<(Value, Value)> {
        values.into_iter().zip([2, 1, 2, 0].map(|count| json!(count))).collect()
    };
    for _ in 0..2 {
        let averages = hours([json!(1.6e308), json!(4.0), json!(-1.7e308), json!(-1.7e308)]);
        let given: Vec<(Value, Value)> = values("interval=hour").await;
        assert_eq!(given, averages);
        let given: Vec<(Value, Value)> = values("interval=hour&aggregation=sum").await;
        assert_eq!(given, hours([Value::Null, json!(4.0), Value::Null, Value::Null]));
    }
    let given: Vec<(Value, Value)> = values("interval=day").await;
    assert!((given[0].0.as_f64().expect("an average") + 0.04e308).abs() < 1e293, "{given:?}");

    let far = |value, offset| Sample { metric: "far", ..at(0, value, offset) };
    stack.store(&project, &[far(-1.6e308, 5), far(1.6e308, 6)]).await;
    for (aggregation, expected) in [("p50", 0.0), ("p90", 1.28e308), ("p99", 1.568e308)] {
        let path = format!("/api/v1/metrics/far/timeseries?{range}&interval=hour&aggregation={aggregation}");
        let value = manager.ok(&path).await["points"][0]["value"].as_f64();
        assert!((value.expect("a quantile") - expected).abs() < 1e294, "{aggregation}: {value:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_validated_before_the_metric_lookup() {
    let stack = shared();
    let (_, manager) = stack.project().await;
    let path = |query: &str| format!("/api/v1/metrics/nothing/timeseries?{query}");
    for (query, expected) in [
        (
            "interval=second&aggregation=median&fill=some&timezone=Mars",
            vec![
                "timezone unknown_timezone",
                "interval unknown_word",
                "aggregation unknown_word",
                "fill unknown_word",
            ],
        ),
        ("startDate=2026-01-02&endDate=2026-01-01", vec!["startDate empty_range"]),
        ("startDate=2026-01-01&endDate=2026-01-09&interval=minute", vec!["interval too_many_buckets"]),
        ("startDate=0001-01-01T00:00:00Z&interval=month", vec!["interval too_many_buckets"]),
    ] {
        let answer = refused(manager.get(&path(query)).await, 400, "invalid_parameter");
        assert_eq!(details(&answer), expected, "{query}");
    }
    refused(manager.get(&path("startDate=0&unknown=x")).await, 404, "not_found");
}
