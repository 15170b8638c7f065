//! Query plans of the statements in ClickHouse.

use crate::support::{Sample, shared, store_address};
use clickhouse::Client;
use jiff::tz::TimeZone;
use reads::Error;
use reads::deletions::View;
use reads::metrics::Metrics;
use reads::series::buckets::{self, Interval, Range};
use reads::series::merge::Partial;
use reads::series::query::{Kind, Plan, cells};
use reads::series::resolution::Resolution;
use reads::series::rows::SumsRow;
use reads::source::{Source, Statement};
use reads::store::Store;
use service::clickhouse::Server;
use service::connections::TrustedRoots;
use std::time::{Duration, Instant};

const START: i64 = 1_767_571_200_000;
const HOUR: i64 = 3_600_000;

fn statement(range: Range, interval: Interval, zone: &str) -> Statement {
    let zone = TimeZone::get(zone).expect("a zone");
    let starts =
        buckets::starts(range, interval, &zone, buckets::MAX_BUCKETS).expect("at most MAX_BUCKETS buckets");
    Plan::new(range, &starts, interval, Kind::Sums, false).expect("a plan").statement(&starts, Kind::Sums, "")
}

/// Stores many points per hour: with few points the rollup is no smaller than the rows, and ClickHouse may
/// prefer them.
async fn fill(project: &str) {
    let stack = shared();
    let samples: Vec<Sample> = (0..20_000)
        .map(|i| Sample {
            metric: "m",
            time: START + i * 20_000,
            value: 1.0,
            received_at: START,
            offset: i,
            ..Sample::default()
        })
        .collect();
    for part in samples.chunks(5000) {
        stack.store(project, part).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_hours_are_read_from_the_rollup() {
    let stack = shared();
    let (project, _) = stack.project().await;
    fill(&project).await;
    let forced = |client: Client| client.with_setting("force_optimize_projection_name", "rollup_1h");
    let whole = Range { start: START, end: START + 100 * HOUR };
    for (interval, zone) in [
        (Interval::Hour, "UTC"),
        (Interval::Day, "UTC"),
        (Interval::Day, "Europe/Berlin"),
        (Interval::Week, "America/New_York"),
        (Interval::Month, "UTC"),
    ] {
        let Statement { text, source } = statement(whole, interval, zone);
        let query = forced(stack.clickhouse()).query_raw(&text);
        let query = source.hint(query).param("project", &project).param("metrics", &["m"][..]);
        let rows: Vec<SumsRow> = query.fetch_all().await.expect("the projection is used");
        let rows = rows.into_iter().map(<(u32, Partial)>::from);
        assert_eq!(rows.map(|(_, part)| part.points).sum::<u64>(), 18_000, "{interval:?} {zone}");
    }
    let Statement { text, source } = cells(whole, Resolution::Hour, Kind::Sums);
    let query = source.hint(forced(stack.clickhouse()).query_raw(&text)).param("project", &project);
    let rows: Vec<SumsRow> =
        query.param("metrics", &["other", "m"][..]).fetch_all().await.expect("the projection is used");
    let rows: Vec<(u32, Partial)> = rows.into_iter().map(Into::into).collect();
    assert_eq!(rows.len(), 100);
    assert!(rows.iter().all(|(index, cell)| *index == 1 && cell.points == 180 && cell.bucket % HOUR == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_hours_are_read_from_few_raw_rows() {
    let stack = shared();
    let (project, _) = stack.project().await;
    fill(&project).await;
    let cut = Range { start: START + 5, end: START + 100 * HOUR + 7 };
    for (interval, zone) in [(Interval::Hour, "UTC"), (Interval::Day, "Asia/Kolkata")] {
        let Statement { text, source } = statement(cut, interval, zone);
        let query = source.hint(stack.clickhouse().query_raw(&format!("EXPLAIN {text}")));
        let query = query.param("project", &project).param("metrics", &["m"][..]);
        let plan = query.fetch_all::<String>().await.expect("a plan").join("\n");
        assert!(plan.contains("ReadFromMergeTree (rollup_1h)"), "{plan}");
        assert!(plan.contains(&format!("ReadFromMergeTree ({}.samples)", stack.namespace)), "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn catalogue_and_heads_are_read_from_their_projections() {
    let stack = shared();
    let (project, _) = stack.project().await;
    fill(&project).await;
    stack.mark(0, 20_000).await;
    let server = |url: String| Server { url, user: None, password: None, roots: TrustedRoots::default() };
    // The store's own statements, with a client that fails without a projection.
    let store =
        Store::new(&server(store_address("CLICKHOUSE_URL")), Duration::from_secs(10), Metrics::default())
            .expect("an HTTP client")
            .with_setting("force_optimize_projection", "1");
    assert_eq!(
        store.metric(&View::unmasked(&stack.namespace), &project, "m").await.map(|row| row.points),
        Ok(20_000)
    );
    assert!(
        store
            .heads(&stack.namespace.as_str().into())
            .await
            .is_ok_and(|heads| heads.last.iter().any(|head| head.last >= 20_000))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn query_past_its_deadline_is_a_timeout() {
    let stack = shared();
    let text = "SELECT toUInt32(0) AS series_index, toInt64(count()) AS bucket, count() AS points, sum(sin(number)) AS total, \
                   0. AS min_value, 0. AS max_value FROM numbers(1000000000000)";
    let endless = Statement { text: text.to_owned(), source: Source::Rows };
    let server = Server {
        url: store_address("CLICKHOUSE_URL"),
        user: None,
        password: None,
        roots: TrustedRoots::default(),
    };
    for timeout in [Duration::from_millis(100), Duration::from_secs(2)] {
        let store = Store::new(&server, timeout, Metrics::default()).expect("an HTTP client");
        let start = Instant::now();
        assert_eq!(
            store.series(&View::unmasked(&stack.namespace), ("p", &["m"]), Kind::Sums, &endless).await,
            Err(Error::QueryTimeout)
        );
        assert!(start.elapsed() < timeout + Duration::from_secs(30));
    }
}
