use super::*;
use proptest::prelude::*;

const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    // Daylight saving time of half an hour.
    "Australia/Lord_Howe",
    // Skipped midnights.
    "America/Sao_Paulo",
    "Africa/Cairo",
    // A skipped date.
    "Pacific/Apia",
];

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("known time zone")
}

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("valid timestamp").as_millisecond()
}

fn range(start: &str, end: &str) -> Range {
    Range { start: at(start), end: at(end) }
}

fn all(range: Range, interval: Interval, zone_name: &str) -> Vec<String> {
    let starts = starts(range, interval, &zone(zone_name), MAX_BUCKETS).expect("within the limit");
    starts.into_iter().map(|start| instant(start).to_string()).collect()
}

/// Returns a label that is equal for exactly the instants of one bucket, computed from local time alone.
fn label(at: i64, interval: Interval, zone: &TimeZone) -> String {
    let local = zone.to_datetime(instant(at));
    let date = local.date();
    match interval {
        Interval::Minute => format!("{date} {}:{} {}", local.hour(), local.minute(), offset(at, zone)),
        Interval::Hour => format!("{date} {} {}", local.hour(), offset(at, zone)),
        Interval::Day => date.to_string(),
        Interval::Week => {
            let week = date.iso_week_date();
            format!("{}-{}", week.year(), week.week())
        }
        Interval::Month => format!("{}-{}", date.year(), date.month()),
    }
}

fn case() -> impl Strategy<Value = (Interval, i64, i64, usize)> {
    // Interval, step of the naive walk in minutes, maximum number of steps.
    let intervals = prop_oneof![
        Just((Interval::Minute, 1, 3_000)),
        Just((Interval::Hour, 5, 5_000)),
        Just((Interval::Day, 30, 5_000)),
        Just((Interval::Week, 30, 9_000)),
        Just((Interval::Month, 60, 20_000)),
    ];
    // 2000 to 2037.
    (intervals, 946_684_800_000i64..2_114_380_800_000, 0..ZONES.len(), any::<prop::sample::Index>()).prop_map(
        |((interval, step, steps), start, zone, length)| {
            let length = length.index(steps) as i64;
            (interval, start, start + length * step * MINUTE_MS + 1, zone)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn instants_share_a_bucket_exactly_if_local_time_agrees((interval, start, end, zone_index) in case()) {
        let zone = zone(ZONES[zone_index]);
        let step = match interval { Interval::Minute => 1, Interval::Hour => 5, Interval::Day | Interval::Week => 30, Interval::Month => 60 };
        let starts = starts(Range { start, end }, interval, &zone, usize::MAX).expect("no limit");
        prop_assert!(starts.is_sorted_by(|a, b| a < b));
        prop_assert!(starts[0] <= start && starts[starts.len() - 1] < end);
        let bucket = |at: i64| starts.partition_point(|&start| start <= at) - 1;
        let mut instants = (start..end).step_by((step * MINUTE_MS) as usize);
        let mut before = instants.next().expect("the range is not empty");
        prop_assert_eq!(label(starts[0], interval, &zone), label(before, interval, &zone));
        for at in instants {
            let same = label(before, interval, &zone) == label(at, interval, &zone);
            prop_assert_eq!(bucket(before) == bucket(at), same, "{} and {}", instant(before), instant(at));
            before = at;
        }
        for &start in &starts {
            let (before, here) = (label(start - 1, interval, &zone), label(start, interval, &zone));
            prop_assert!(before != here, "the label does not change at the start of a bucket: {}", instant(start));
        }
    }

    #[test]
    fn automatic_interval_is_the_shortest_within_the_limit((_, start, end, zone_index) in case()) {
        let zone = zone(ZONES[zone_index]);
        let range = Range { start, end };
        let order = [Interval::Minute, Interval::Hour, Interval::Day, Interval::Week, Interval::Month];
        let (chosen_range, chosen, buckets) = automatic(range, &zone, end);
        let position = order.iter().position(|&interval| interval == chosen).expect("one of them");
        prop_assert_eq!((chosen_range, Ok(buckets)), (range, starts(range, chosen, &zone, MAX_AUTOMATIC_BUCKETS)));
        if position > 0 {
            prop_assert!(starts(range, order[position - 1], &zone, MAX_AUTOMATIC_BUCKETS).is_err());
        }
    }
}

#[test]
fn automatic_range_over_400_months_keeps_the_last_possible_ones() {
    let now = at("2026-11-28T10:00:00Z");
    let summary = |start: &str, end: &str, now: i64| {
        let (range, interval, starts) = automatic(range(start, end), &TimeZone::UTC, now);
        let text = |at: Option<i64>| at.map(|at| instant(at).to_string()).unwrap_or_default();
        let ends = text(starts.first().copied()) + " " + &text(starts.last().copied());
        assert!(starts.is_empty() || starts[0] <= range.start && range.end <= now + MAX_FUTURE_MS);
        (interval, starts.len(), ends)
    };
    let months = |count, first: &str, last: &str| (Interval::Month, count, format!("{first} {last}"));
    let since_2000 = months(323, "2000-01-01T00:00:00Z", "2026-11-01T00:00:00Z");
    for start in ["1970-01-01T00:00:00Z", "0900-01-01T00:00:00Z"] {
        assert_eq!(summary(start, "2026-11-28T10:00:00Z", now), since_2000);
        assert_eq!(summary(start, "9000-01-01T00:00:00Z", now), since_2000);
    }
    let (interval, count, _) = summary("2026-11-01T00:00:00Z", "9000-01-01T00:00:00Z", now);
    assert_eq!((interval, count), (Interval::Day, 28));
    let later = at("2046-11-28T10:00:00Z");
    let last = months(400, "2013-08-01T00:00:00Z", "2046-11-01T00:00:00Z");
    assert_eq!(summary("1970-01-01T00:00:00Z", "2046-11-28T10:00:00Z", later), last);
    for (start, end) in
        [("0900-01-01T00:00:00Z", "1900-01-01T00:00:00Z"), ("2100-01-01T00:00:00Z", "2200-01-01T00:00:00Z")]
    {
        assert_eq!(summary(start, end, now), months(0, "", ""));
    }
}

#[test]
fn repeated_hour_is_two_buckets_and_skipped_hour_is_none() {
    let autumn = range("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
    assert_eq!(all(autumn, Interval::Hour, "Europe/Berlin").len(), 25);
    assert_eq!(all(autumn, Interval::Day, "Europe/Berlin").len(), 1);
    let spring = range("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
    assert_eq!(all(spring, Interval::Hour, "Europe/Berlin").len(), 23);
    assert_eq!(all(spring, Interval::Day, "Europe/Berlin").len(), 1);
}

#[test]
fn bucket_is_identified_by_its_start_even_outside_the_range() {
    let partial = range("2026-01-15T10:17:30Z", "2026-01-15T12:00:00.001Z");
    assert_eq!(
        all(partial, Interval::Hour, "UTC"),
        ["2026-01-15T10:00:00Z", "2026-01-15T11:00:00Z", "2026-01-15T12:00:00Z"]
    );
    assert_eq!(all(partial, Interval::Week, "UTC"), ["2026-01-12T00:00:00Z"]);
    assert_eq!(all(partial, Interval::Month, "Asia/Kolkata"), ["2025-12-31T18:30:00Z"]);
}

#[test]
fn buckets_follow_local_time_in_zones_off_the_full_hour() {
    let morning = range("2026-01-15T00:00:00Z", "2026-01-15T02:00:00Z");
    assert_eq!(
        all(morning, Interval::Hour, "Asia/Kolkata"),
        ["2026-01-14T23:30:00Z", "2026-01-15T00:30:00Z", "2026-01-15T01:30:00Z"]
    );
}

#[test]
fn date_without_midnight_begins_with_its_first_instant() {
    let days = range("2018-11-03T12:00:00Z", "2018-11-05T12:00:00Z");
    assert_eq!(
        all(days, Interval::Day, "America/Sao_Paulo"),
        ["2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"]
    );
}

#[test]
fn skipped_date_has_no_bucket() {
    let days = range("2011-12-29T12:00:00Z", "2011-12-31T12:00:00Z");
    assert_eq!(
        all(days, Interval::Day, "Pacific/Apia"),
        ["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"]
    );
}

#[test]
fn exactly_the_maximum_number_of_buckets_is_allowed() {
    let minutes = |count: i64| Range { start: 0, end: count * MINUTE_MS };
    let limit = MAX_BUCKETS as i64;
    assert_eq!(
        starts(minutes(limit), Interval::Minute, &TimeZone::UTC, MAX_BUCKETS).map(|s| s.len()),
        Ok(MAX_BUCKETS)
    );
    assert_eq!(
        starts(minutes(limit + 1), Interval::Minute, &TimeZone::UTC, MAX_BUCKETS),
        Err(TooManyBuckets)
    );
}

#[test]
fn empty_range_has_no_buckets_and_the_calendar_end_terminates() {
    assert_eq!(starts(Range { start: 5, end: 5 }, Interval::Day, &TimeZone::UTC, MAX_BUCKETS), Ok(vec![]));
    let end = Timestamp::MAX.as_millisecond();
    let last = Range { start: end - HOUR_MS, end };
    assert!(starts(last, Interval::Month, &TimeZone::UTC, MAX_BUCKETS).is_ok_and(|starts| starts.len() == 1));
}
