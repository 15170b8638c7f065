use super::*;
use proptest::prelude::*;

const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    // Half an hour of summer time.
    "Australia/Lord_Howe",
    // Midnights that did not happen.
    "America/Sao_Paulo",
    "Africa/Cairo",
    // A date that did not happen.
    "Pacific/Apia",
];

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("it is a zone")
}

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("it is a time").as_millisecond()
}

fn range(start: &str, end: &str) -> Range {
    Range { start: at(start), end: at(end) }
}

fn all(range: Range, interval: Interval, zone_name: &str) -> Vec<String> {
    let starts = starts(range, interval, &zone(zone_name), MOST).expect("few");
    starts.into_iter().map(|start| instant(start).to_string()).collect()
}

/// What instants of one bucket share, by the zone's clock and nothing else.
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
    // (interval, how finely the naive walk looks, in minutes, how many steps it goes at most)
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
    fn instants_share_a_bucket_exactly_if_the_clock_says_so((interval, start, end, zone_index) in case()) {
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
            prop_assert!(before != here, "a bucket begins where the label does: {}", instant(start));
        }
    }

    #[test]
    fn the_automatic_interval_is_the_shortest_that_stays_within_the_limit((_, start, end, zone_index) in case()) {
        let zone = zone(ZONES[zone_index]);
        let range = Range { start, end };
        let order = [Interval::Minute, Interval::Hour, Interval::Day, Interval::Week, Interval::Month];
        let (kept, chosen, buckets) = automatic(range, &zone, end);
        let position = order.iter().position(|&interval| interval == chosen).expect("one of them");
        prop_assert_eq!((kept, Ok(buckets)), (range, starts(range, chosen, &zone, MOST_AUTOMATIC)));
        if position > 0 {
            prop_assert!(starts(range, order[position - 1], &zone, MOST_AUTOMATIC).is_err());
        }
    }
}

#[test]
fn of_more_than_400_months_those_count_that_can_have_points_and_of_them_the_last() {
    let now = at("2026-11-28T10:00:00Z");
    let cut = |start: &str, end: &str, now: i64| {
        let (range, interval, starts) = automatic(range(start, end), &TimeZone::UTC, now);
        let seen = |at: Option<i64>| at.map(|at| instant(at).to_string()).unwrap_or_default();
        let ends = seen(starts.first().copied()) + " " + &seen(starts.last().copied());
        assert!(starts.is_empty() || starts[0] <= range.start && range.end <= now + AHEAD_MS);
        (interval, starts.len(), ends)
    };
    let months = |count, first: &str, last: &str| (Interval::Month, count, format!("{first} {last}"));
    let since_2000 = months(323, "2000-01-01T00:00:00Z", "2026-11-01T00:00:00Z");
    for start in ["1970-01-01T00:00:00Z", "0900-01-01T00:00:00Z"] {
        assert_eq!(cut(start, "2026-11-28T10:00:00Z", now), since_2000);
        assert_eq!(cut(start, "9000-01-01T00:00:00Z", now), since_2000);
    }
    let (interval, count, _) = cut("2026-11-01T00:00:00Z", "9000-01-01T00:00:00Z", now);
    assert_eq!((interval, count), (Interval::Day, 28));
    let later = at("2046-11-28T10:00:00Z");
    let last = months(400, "2013-08-01T00:00:00Z", "2046-11-01T00:00:00Z");
    assert_eq!(cut("1970-01-01T00:00:00Z", "2046-11-28T10:00:00Z", later), last);
    for (start, end) in
        [("0900-01-01T00:00:00Z", "1900-01-01T00:00:00Z"), ("2100-01-01T00:00:00Z", "2200-01-01T00:00:00Z")]
    {
        assert_eq!(cut(start, end, now), months(0, "", ""));
    }
}

#[test]
fn an_hour_that_happens_twice_is_two_buckets_and_one_that_is_skipped_is_none() {
    let autumn = range("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
    assert_eq!(all(autumn, Interval::Hour, "Europe/Berlin").len(), 25);
    assert_eq!(all(autumn, Interval::Day, "Europe/Berlin").len(), 1);
    let spring = range("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
    assert_eq!(all(spring, Interval::Hour, "Europe/Berlin").len(), 23);
    assert_eq!(all(spring, Interval::Day, "Europe/Berlin").len(), 1);
}

#[test]
fn a_bucket_is_named_by_its_start_also_where_the_range_cuts_it() {
    let cut = range("2026-01-15T10:17:30Z", "2026-01-15T12:00:00.001Z");
    assert_eq!(
        all(cut, Interval::Hour, "UTC"),
        ["2026-01-15T10:00:00Z", "2026-01-15T11:00:00Z", "2026-01-15T12:00:00Z"]
    );
    assert_eq!(all(cut, Interval::Week, "UTC"), ["2026-01-12T00:00:00Z"]);
    assert_eq!(all(cut, Interval::Month, "Asia/Kolkata"), ["2025-12-31T18:30:00Z"]);
}

#[test]
fn hours_and_days_of_a_zone_off_the_full_hour_begin_by_its_own_clock() {
    let morning = range("2026-01-15T00:00:00Z", "2026-01-15T02:00:00Z");
    assert_eq!(
        all(morning, Interval::Hour, "Asia/Kolkata"),
        ["2026-01-14T23:30:00Z", "2026-01-15T00:30:00Z", "2026-01-15T01:30:00Z"]
    );
}

#[test]
fn a_date_without_a_midnight_begins_with_its_first_instant() {
    let days = range("2018-11-03T12:00:00Z", "2018-11-05T12:00:00Z");
    assert_eq!(
        all(days, Interval::Day, "America/Sao_Paulo"),
        ["2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"]
    );
}

#[test]
fn a_date_that_a_zone_skipped_has_no_bucket() {
    let days = range("2011-12-29T12:00:00Z", "2011-12-31T12:00:00Z");
    assert_eq!(
        all(days, Interval::Day, "Pacific/Apia"),
        ["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"]
    );
}

#[test]
fn more_buckets_than_allowed_are_refused_and_exactly_as_many_are_not() {
    let minutes = |count: i64| Range { start: 0, end: count * MINUTE_MS };
    let most = MOST as i64;
    assert_eq!(starts(minutes(most), Interval::Minute, &TimeZone::UTC, MOST).map(|s| s.len()), Ok(MOST));
    assert_eq!(starts(minutes(most + 1), Interval::Minute, &TimeZone::UTC, MOST), Err(TooMany));
}

#[test]
fn an_empty_range_has_no_buckets_and_the_ends_of_the_calendar_end_the_walk() {
    assert_eq!(starts(Range { start: 5, end: 5 }, Interval::Day, &TimeZone::UTC, MOST), Ok(vec![]));
    let end = Timestamp::MAX.as_millisecond();
    let last = Range { start: end - HOUR_MS, end };
    assert!(starts(last, Interval::Month, &TimeZone::UTC, MOST).is_ok_and(|starts| starts.len() == 1));
}
