use super::*;
use proptest::prelude::*;
use proto::v1::{AlertNotice, AlertState};

fn subject(channels: &[&str]) -> AlertSubject {
    AlertSubject {
        project_id: "prj".to_owned(),
        alert_id: "alr".to_owned(),
        name: "Rule".to_owned(),
        channels: channels.iter().map(|&channel| channel.to_owned()).collect(),
        ..AlertSubject::default()
    }
}

fn record(kind: Kind) -> AlertRecord {
    AlertRecord { kind: Some(kind) }
}

fn transition(
    sequence: u64,
    from: AlertState,
    to: AlertState,
    notice: AlertNotice,
    channels: &[&str],
) -> AlertRecord {
    record(Kind::Transition(AlertTransition {
        subject: Some(subject(channels)),
        sequence,
        at_ms: sequence as i64,
        from: from.into(),
        to: to.into(),
        value: Some(1.0),
        notice: notice.into(),
        ended: false,
    }))
}

fn fired(sequence: u64, channels: &[&str]) -> AlertRecord {
    transition(sequence, AlertState::Ok, AlertState::Firing, AlertNotice::Told, channels)
}

fn delivery(event: &str, channel: &str, kind: &str, status: DeliveryStatus, attempt: u32) -> AlertRecord {
    record(Kind::Delivery(AlertDelivery {
        event_id: event.to_owned(),
        project_id: "prj".to_owned(),
        channel_id: channel.to_owned(),
        at_ms: 50,
        status: status.into(),
        attempt,
        error: String::new(),
        channel_kind: kind.to_owned(),
        alert_id: "alr".to_owned(),
    }))
}

fn acknowledgement(sequence: u64) -> AlertRecord {
    record(Kind::Acknowledgement(AlertAcknowledgement {
        project_id: "prj".to_owned(),
        alert_id: "alr".to_owned(),
        sequence,
        at_ms: 60,
        by: "Ann".to_owned(),
        note: "on it".to_owned(),
    }))
}

fn book(records: impl IntoIterator<Item = AlertRecord>) -> Book {
    let mut book = Book::default();
    for (offset, record) in (0..).zip(records) {
        book.apply(offset, record);
    }
    book
}

#[test]
fn each_channel_is_to_be_told_until_a_try_ended_it() {
    let told = book([
        fired(1, &["a", "b"]),
        delivery("alr-1", "a", "slack", DeliveryStatus::Retrying, 1),
        delivery("alr-1", "b", "slack", DeliveryStatus::Delivered, 1),
    ]);
    assert_eq!(told.waiting(), ["a"]);
    assert_eq!(
        told.task("a").map(|task| (task.message.id.clone(), task.attempts)),
        Some(("alr-1".to_owned(), 1))
    );
    assert_eq!(told.task("b"), None);
    let failed = book([fired(1, &["a"]), delivery("alr-1", "a", "slack", DeliveryStatus::Failed, 8)]);
    assert!(failed.waiting().is_empty() && failed.places.is_empty());
}

#[test]
fn a_channel_is_told_in_the_order_of_the_topic() {
    let resolved = transition(2, AlertState::Firing, AlertState::Ok, AlertNotice::Told, &["a"]);
    let mut book = book([fired(1, &["a"]), resolved]);
    let first = |book: &Book| book.task("a").map(|task| task.message.event);
    assert_eq!(first(&book), Some(Event::Firing));
    book.apply(2, delivery("alr-1", "a", "slack", DeliveryStatus::Delivered, 1));
    assert_eq!(first(&book), Some(Event::Resolved));
}

#[test]
fn a_silent_change_is_told_nobody() {
    let book = book([transition(1, AlertState::Ok, AlertState::Firing, AlertNotice::Silent, &["a"])]);
    assert!(book.waiting().is_empty());
    assert_eq!(book.rule("alr").standing.state, State::Firing);
}

#[test]
fn an_acknowledgement_ends_with_the_state_that_it_is_of() {
    let mut book = book([fired(1, &[]), acknowledgement(1)]);
    assert_eq!(book.rule("alr").acknowledged.map(|said| said.by), Some("Ann".to_owned()));
    book.apply(2, transition(2, AlertState::Firing, AlertState::Ok, AlertNotice::Told, &[]));
    assert_eq!(book.rule("alr").acknowledged, None);
    book.apply(3, acknowledgement(2));
    assert_eq!(book.rule("alr").acknowledged, None, "there is nothing to acknowledge");
    book.apply(4, fired(3, &[]));
    book.apply(5, acknowledgement(1));
    assert_eq!(book.rule("alr").acknowledged, None, "it was overtaken");
}

#[test]
fn what_in_app_channels_are_told_lies_in_the_inbox_until_it_is_read() {
    let mut book = book([fired(1, &["a"]), delivery("alr-1", "a", "in_app", DeliveryStatus::Delivered, 1)]);
    let inbox = book.inbox("prj");
    assert_eq!((inbox.notices.len(), inbox.unread()), (1, 1));
    let read = |until_ms| record(Kind::InboxRead(InboxRead { project_id: "prj".to_owned(), until_ms }));
    book.apply(2, read(50));
    book.apply(3, read(10));
    assert_eq!(book.inbox("prj").unread(), 0, "the greatest moment counts");
}

#[test]
fn an_inbox_is_bounded() {
    let records = (1..=1200u64).flat_map(|i| {
        let event = format!("alr-{i}");
        [fired(i, &["a"]), delivery(&event, "a", "in_app", DeliveryStatus::Delivered, 1)]
    });
    assert_eq!(book(records).inbox("prj").notices.len(), INBOX);
}

proptest! {
    /// At-least-once reading changes nothing: a record that comes again is one that the book has moved beyond.
    #[test]
    fn records_that_come_again_change_nothing(picks in prop::collection::vec(0usize..6, 1..40)) {
        let all = [
            fired(1, &["a", "b"]),
            delivery("alr-1", "a", "in_app", DeliveryStatus::Delivered, 1),
            acknowledgement(1),
            transition(2, AlertState::Firing, AlertState::Ok, AlertNotice::Told, &["a"]),
            delivery("alr-2", "a", "in_app", DeliveryStatus::Delivered, 1),
            delivery("alr-1", "b", "slack", DeliveryStatus::Failed, 3),
        ];
        let mut book = book(all.clone());
        for pick in picks {
            // A test or transition is read once by its offset; what was delivered is not queued again.
            if !matches!(all[pick].kind, Some(Kind::Test(_))) {
                book.apply(pick as i64, all[pick].clone());
            }
        }
        prop_assert_eq!(book.rule("alr").standing.sequence, 2);
        prop_assert_eq!(book.inbox("prj").notices.len(), 2);
        prop_assert!(book.waiting().is_empty());
    }
}
