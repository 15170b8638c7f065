//! Alert history in ClickHouse.
//!
//! The table `alert_events` is derived from `alerts.v1` and may be dropped: the leader copies the topic into it, starting
//! after the greatest stored offset. A record that is copied twice is one row, because rows of one offset replace each other.

use super::follower::reader;
use super::records;
use super::records::StateWord;
use super::state_machine::{Notification, State};
use clickhouse::{Client, Row};
use proto::Message as _;
use proto::topics::Topics;
use proto::v1::{AlertRecord, DeliveryStatus, alert_record::Kind};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use serde::{Deserialize, Serialize};
use service::clickhouse::Server;
use service::connections::TlsError;
use service::kafka::KafkaBrokers;
use service::wire_enum::WireEnum as _;
use std::time::Duration;

/// Maximum number of rows per insert.
const MAX_BATCH: usize = 10_000;
/// Time limit of a statement.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Delay before a failed copy is retried.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// Sorted so that a rule's transitions are adjacent, each with its deliveries and its acknowledgement, and its tests.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS {database}.alert_events (\
    project_id String, alert_id String, sequence UInt64, offset Int64, \
    kind Enum8('transition' = 1, 'delivery' = 2, 'acknowledgement' = 3, 'test' = 4), at_ms Int64, \
    state_from String, state_to String, value Nullable(Float64), threshold Float64, \
    channel_id String, status String, attempt UInt32, error String, person String, note String, test_id String\
    ) ENGINE = ReplacingMergeTree ORDER BY (project_id, alert_id, sequence, offset)";

/// Adds the columns that tables of earlier versions lack.
const MIGRATION: &str = "ALTER TABLE {database}.alert_events \
    MODIFY COLUMN kind Enum8('transition' = 1, 'delivery' = 2, 'acknowledgement' = 3, 'test' = 4), \
    ADD COLUMN IF NOT EXISTS test_id String";

/// A row of `alert_events`.
#[derive(Debug, Clone, Default, PartialEq, Row, Serialize, Deserialize)]
pub struct EventRow {
    /// The project.
    pub project_id: String,
    /// The rule.
    pub alert_id: String,
    /// Sequence number of the transition that the row is, or belongs to; 0 for tests.
    pub sequence: u64,
    /// Offset in the topic.
    pub offset: i64,
    /// 1 transition, 2 delivery, 3 acknowledgement, 4 test.
    pub kind: i8,
    /// Time, Unix milliseconds.
    pub at_ms: i64,
    /// Transitions: the state before. Tests: the state.
    pub state_from: String,
    /// Transitions: the state after. Tests: the state.
    pub state_to: String,
    /// Transitions and tests: the observed value.
    pub value: Option<f64>,
    /// Transitions and tests: the threshold.
    pub threshold: f64,
    /// Deliveries: the channel.
    pub channel_id: String,
    /// Deliveries: `delivered`, `retrying` or `failed`.
    pub status: String,
    /// Deliveries: number of the attempt.
    pub attempt: u32,
    /// Deliveries: the error.
    pub error: String,
    /// Acknowledgements: the person.
    pub person: String,
    /// Acknowledgements: the note.
    pub note: String,
    /// Tests and their deliveries: id of the test.
    pub test_id: String,
}

impl EventRow {
    /// Returns whether the row is a transition or a test, and not one of their consequences.
    pub fn is_head(&self) -> bool {
        matches!(self.kind, TRANSITION | TEST)
    }
}

/// [`EventRow::kind`] of a transition.
pub const TRANSITION: i8 = 1;
/// [`EventRow::kind`] of a delivery.
pub const DELIVERY: i8 = 2;
/// [`EventRow::kind`] of an acknowledgement.
pub const ACKNOWLEDGEMENT: i8 = 3;
/// [`EventRow::kind`] of a test.
pub const TEST: i8 = 4;

/// Reason why the history is not up to date.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// ClickHouse rejected a statement or was unreachable.
    #[error("ClickHouse: {0}")]
    ClickHouse(#[from] clickhouse::error::Error),
    /// ClickHouse did not answer in time.
    #[error("ClickHouse did not answer in time")]
    TimedOut,
    /// The topic could not be read.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
}

/// Alert history of one installation.
#[derive(Clone)]
pub struct History {
    client: Client,
    database: String,
    brokers: KafkaBrokers,
    topic: String,
}

impl History {
    /// Creates the history of the installation `namespace`.
    pub fn new(server: &Server, brokers: &KafkaBrokers, namespace: &str) -> Result<Self, TlsError> {
        let client = service::clickhouse::client(server)?.with_setting("async_insert", "0");
        let database = service::clickhouse::alerts_database(namespace);
        Ok(Self { client, database, brokers: brokers.clone(), topic: Topics::new(namespace).alerts })
    }

    /// Copies the topic for ever.
    pub async fn run(self) {
        loop {
            let Err(error) = self.copy().await;
            tracing::warn!(%error, "alert history is behind: copy failed; retrying");
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    async fn copy(&self) -> Result<std::convert::Infallible, HistoryError> {
        let database = format!("CREATE DATABASE IF NOT EXISTS {} ENGINE = Atomic", self.database);
        let table = [SCHEMA, MIGRATION].map(|statement| statement.replace("{database}", &self.database));
        for statement in [database].into_iter().chain(table) {
            in_time(self.client.query_raw(&statement).execute()).await?;
        }
        let last = format!("SELECT max(offset) AS last, count() AS rows FROM {}.alert_events", self.database);
        let (last, rows): (i64, u64) = in_time(self.client.query_raw(&last).fetch_one()).await?;
        let consumer = reader(&self.brokers, &self.topic, if rows == 0 { 0 } else { last + 1 })?;
        loop {
            let mut batch = Vec::new();
            batch.extend(row(&consumer.recv().await?));
            while batch.len() < MAX_BATCH {
                // Records that are already available join the batch.
                let next = tokio::time::timeout(Duration::from_millis(20), consumer.recv()).await;
                let Ok(next) = next else { break };
                batch.extend(row(&next?));
            }
            self.insert(&batch).await?;
        }
    }

    async fn insert(&self, rows: &[EventRow]) -> Result<(), HistoryError> {
        if rows.is_empty() {
            return Ok(());
        }
        // A unique token: the table itself removes repeats, and no insert may be dropped as a duplicate.
        let token = uuid::Uuid::new_v4().to_string();
        let client = self
            .client
            .clone()
            .with_database(&self.database)
            .with_setting("insert_deduplication_token", token);
        in_time(async {
            let mut insert = client.insert::<EventRow>("alert_events").await?;
            for row in rows {
                insert.write(row).await?;
            }
            insert.end().await
        })
        .await
    }

    /// Returns the rule's newest transitions and tests before the offset `before`, newest first, each followed by the rows
    /// that belong to it.
    pub async fn page(
        &self,
        (project_id, alert_id): (&str, &str),
        before: i64,
        limit: usize,
    ) -> Result<Vec<Vec<EventRow>>, HistoryError> {
        let database = &self.database;
        let of = "project_id = {project:String} AND alert_id = {alert:String}";
        let sql = format!(
            "SELECT project_id, alert_id, sequence, offset, toInt8(kind) AS kind, at_ms, state_from, state_to, value, \
             threshold, channel_id, status, attempt, error, person, note, test_id \
             FROM {database}.alert_events FINAL WHERE {of} AND (sequence, test_id) IN (\
             SELECT sequence, test_id FROM {database}.alert_events WHERE {of} AND kind IN ('transition', 'test') \
             GROUP BY sequence, test_id HAVING min(offset) < {before} ORDER BY min(offset) DESC LIMIT {limit}) \
             ORDER BY sequence, test_id, offset"
        );
        let query = self.client.query_raw(&sql).param("project", project_id).param("alert", alert_id);
        let rows: Vec<EventRow> = match in_time(query.fetch_all()).await {
            // No rule was ever evaluated.
            Err(HistoryError::ClickHouse(error)) if is_missing(&error) => Vec::new(),
            rows => rows?,
        };
        Ok(items(&rows))
    }
}

/// Groups rows, sorted by transition and offset, by transition or test, newest first.
fn items(rows: &[EventRow]) -> Vec<Vec<EventRow>> {
    let of = |row: &EventRow| (row.sequence, row.test_id.clone());
    let mut items: Vec<Vec<EventRow>> =
        rows.chunk_by(|a, b| of(a) == of(b)).map(<[EventRow]>::to_vec).collect();
    items.retain(|rows| rows.first().is_some_and(EventRow::is_head));
    items.sort_by_key(|rows| std::cmp::Reverse(rows.first().map(|head| head.offset)));
    items
}

/// Returns whether the table or its database does not exist.
fn is_missing(error: &clickhouse::error::Error) -> bool {
    /// UNKNOWN_TABLE and UNKNOWN_DATABASE.
    const MISSING: [u32; 2] = [60, 81];
    let clickhouse::error::Error::BadResponse(text) = error else { return false };
    service::clickhouse::error_code(text).is_some_and(|code| MISSING.contains(&code))
}

async fn in_time<T>(
    work: impl Future<Output = Result<T, clickhouse::error::Error>>,
) -> Result<T, HistoryError> {
    Ok(tokio::time::timeout(TIMEOUT, work).await.map_err(|_| HistoryError::TimedOut)??)
}

fn row(message: &rdkafka::message::BorrowedMessage<'_>) -> Option<EventRow> {
    let record = AlertRecord::decode(message.payload().unwrap_or_default()).ok()?;
    let row = row_of(record)?;
    Some(EventRow { offset: message.offset(), ..row })
}

/// Returns the row of a record; none if the record is not part of a rule's history.
fn row_of(record: AlertRecord) -> Option<EventRow> {
    let name = |state: State| StateWord::from(state).as_str().to_owned();
    Some(match record.kind? {
        Kind::Transition(record) => {
            let transition = records::transition_from_record(&record);
            // An edit that did not change the state.
            if transition.from == transition.to && transition.notification == Notification::Silent {
                return None;
            }
            let subject = record.subject.unwrap_or_default();
            EventRow {
                project_id: subject.project_id,
                alert_id: subject.alert_id,
                sequence: transition.sequence,
                kind: TRANSITION,
                at_ms: transition.at_ms,
                state_from: name(transition.from),
                state_to: name(transition.to),
                value: transition.value,
                threshold: subject.threshold,
                ..EventRow::default()
            }
        }
        Kind::Delivery(delivery) => {
            let status = match delivery.status() {
                DeliveryStatus::Delivered => "delivered",
                DeliveryStatus::Retrying => "retrying",
                DeliveryStatus::Failed => "failed",
                DeliveryStatus::Unspecified => return None,
            };
            let (alert_id, sequence, test_id) = match delivery.event_id.rsplit_once('-') {
                Some((alert_id, sequence)) => (alert_id.to_owned(), sequence.parse().ok()?, String::new()),
                // A test of a channel is not part of a rule's history.
                None if delivery.alert_id.is_empty() => return None,
                None => (delivery.alert_id, 0, delivery.event_id),
            };
            EventRow {
                alert_id,
                sequence,
                test_id,
                project_id: delivery.project_id,
                kind: DELIVERY,
                at_ms: delivery.at_ms,
                channel_id: delivery.channel_id,
                status: status.to_owned(),
                attempt: delivery.attempt,
                error: delivery.error,
                ..EventRow::default()
            }
        }
        Kind::Acknowledgement(acknowledgement) => EventRow {
            project_id: acknowledgement.project_id,
            alert_id: acknowledgement.alert_id,
            sequence: acknowledgement.sequence,
            kind: ACKNOWLEDGEMENT,
            at_ms: acknowledgement.at_ms,
            person: acknowledgement.by,
            note: acknowledgement.note,
            ..EventRow::default()
        },
        Kind::Test(test) => {
            let state = name(records::state_from_proto(test.state()));
            let subject = test.subject.filter(|subject| !subject.alert_id.is_empty())?;
            EventRow {
                project_id: subject.project_id,
                alert_id: subject.alert_id,
                kind: TEST,
                at_ms: test.at_ms,
                state_from: state.clone(),
                state_to: state,
                value: test.value,
                threshold: subject.threshold,
                test_id: test.test_id,
                ..EventRow::default()
            }
        }
        Kind::Term(_) | Kind::InboxRead(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::{AlertDelivery, AlertSubject, AlertTest};

    fn delivery(event_id: &str, alert_id: &str) -> Option<EventRow> {
        row_of(AlertRecord {
            kind: Some(Kind::Delivery(AlertDelivery {
                event_id: event_id.to_owned(),
                alert_id: alert_id.to_owned(),
                status: DeliveryStatus::Failed.into(),
                ..AlertDelivery::default()
            })),
        })
    }

    #[test]
    fn delivery_belongs_to_the_transition_or_test_of_its_event() {
        let row = delivery("alr_x-y-12", "").expect("a row");
        assert_eq!((row.alert_id.as_str(), row.sequence, row.status.as_str()), ("alr_x-y", 12, "failed"));
        let row = delivery("test_0123", "alr_x").expect("a row");
        assert_eq!((row.alert_id.as_str(), row.sequence, row.test_id.as_str()), ("alr_x", 0, "test_0123"));
        assert_eq!(delivery("test_0123", ""), None, "a test of a channel is not part of a rule's history");
    }

    #[test]
    fn rule_test_is_a_row_and_channel_test_is_not() {
        let test = |alert_id: &str| {
            let subject = AlertSubject { alert_id: alert_id.to_owned(), ..AlertSubject::default() };
            let state = records::state_to_proto(State::Firing).into();
            let test = AlertTest { subject: Some(subject), state, value: Some(7.0), ..AlertTest::default() };
            row_of(AlertRecord { kind: Some(Kind::Test(test)) })
        };
        let row = test("alr").expect("a row");
        assert_eq!(
            (row.state_from.as_str(), row.state_to.as_str(), row.value),
            ("firing", "firing", Some(7.0))
        );
        assert_eq!(test(""), None);
    }

    #[test]
    fn transitions_and_tests_are_listed_newest_first_with_their_rows() {
        let row = |sequence, test: &str, offset, kind| EventRow {
            sequence,
            test_id: test.to_owned(),
            offset,
            kind,
            ..EventRow::default()
        };
        let sorted = [
            row(0, "test_a", 3, TEST),
            row(0, "test_a", 6, DELIVERY),
            row(0, "test_b", 9, TEST),
            row(1, "", 1, TRANSITION),
            row(1, "", 8, DELIVERY),
            row(2, "", 7, TRANSITION),
        ];
        let listed: Vec<Vec<i64>> =
            items(&sorted).iter().map(|rows| rows.iter().map(|row| row.offset).collect()).collect();
        assert_eq!(listed, [vec![9], vec![7], vec![3, 6], vec![1, 8]]);
    }
}
