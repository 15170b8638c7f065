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

fn states(records: impl IntoIterator<Item = AlertRecord>) -> AlertStates {
    let mut states = AlertStates::default();
    for (offset, record) in (0..).zip(records) {
        states.apply(offset, record);
    }
    states
}

#[test]
fn delivery_is_pending_until_delivered_or_failed() {
    let pending = states([
        fired(1, &["a", "b"]),
        delivery("alr-1", "a", "slack", DeliveryStatus::Retrying, 1),
        delivery("alr-1", "b", "slack", DeliveryStatus::Delivered, 1),
    ]);
    assert_eq!(pending.pending_channels(), ["a"]);
    assert_eq!(
        pending.next_delivery("a").map(|delivery| (delivery.message.id.clone(), delivery.attempts)),
        Some(("alr-1".to_owned(), 1))
    );
    assert_eq!(pending.next_delivery("b"), None);
    let failed = states([fired(1, &["a"]), delivery("alr-1", "a", "slack", DeliveryStatus::Failed, 8)]);
    assert!(failed.pending_channels().is_empty() && failed.pending_events.is_empty());
}

#[test]
fn deliveries_of_a_channel_follow_the_order_of_the_topic() {
    let resolved = transition(2, AlertState::Firing, AlertState::Ok, AlertNotice::Told, &["a"]);
    let mut states = states([fired(1, &["a"]), resolved]);
    let first = |states: &AlertStates| states.next_delivery("a").map(|delivery| delivery.message.event);
    assert_eq!(first(&states), Some(Event::Firing));
    states.apply(2, delivery("alr-1", "a", "slack", DeliveryStatus::Delivered, 1));
    assert_eq!(first(&states), Some(Event::Resolved));
}

#[test]
fn silent_transition_has_no_deliveries() {
    let states = states([transition(1, AlertState::Ok, AlertState::Firing, AlertNotice::Silent, &["a"])]);
    assert!(states.pending_channels().is_empty());
    assert_eq!(states.rule("alr").status.state, State::Firing);
}

#[test]
fn acknowledgement_ends_with_its_state() {
    let mut states = states([fired(1, &[]), acknowledgement(1)]);
    assert_eq!(
        states.rule("alr").acknowledged.map(|acknowledgement| acknowledgement.by),
        Some("Ann".to_owned())
    );
    states.apply(2, transition(2, AlertState::Firing, AlertState::Ok, AlertNotice::Told, &[]));
    assert_eq!(states.rule("alr").acknowledged, None);
    states.apply(3, acknowledgement(2));
    assert_eq!(states.rule("alr").acknowledged, None, "an ok rule cannot be acknowledged");
    states.apply(4, fired(3, &[]));
    states.apply(5, acknowledgement(1));
    assert_eq!(states.rule("alr").acknowledged, None, "a transition overtook it");
}

#[test]
fn in_app_notices_are_unread_until_marked_as_read() {
    let mut states =
        states([fired(1, &["a"]), delivery("alr-1", "a", "in_app", DeliveryStatus::Delivered, 1)]);
    let inbox = states.inbox("prj");
    assert_eq!((inbox.notices.len(), inbox.unread()), (1, 1));
    let read = |until_ms| record(Kind::InboxRead(InboxRead { project_id: "prj".to_owned(), until_ms }));
    states.apply(2, read(50));
    states.apply(3, read(10));
    assert_eq!(states.inbox("prj").unread(), 0, "an earlier read mark does not reset a later one");
}

#[test]
fn inbox_is_bounded() {
    let records = (1..=1200u64).flat_map(|i| {
        let event = format!("alr-{i}");
        [fired(i, &["a"]), delivery(&event, "a", "in_app", DeliveryStatus::Delivered, 1)]
    });
    assert_eq!(states(records).inbox("prj").notices.len(), INBOX_CAPACITY);
}

proptest! {
    /// At-least-once reading changes nothing: the state has already moved past a record that is read again.
    #[test]
    fn repeated_records_change_nothing(picks in prop::collection::vec(0usize..6, 1..40)) {
        let all = [
            fired(1, &["a", "b"]),
            delivery("alr-1", "a", "in_app", DeliveryStatus::Delivered, 1),
            acknowledgement(1),
            transition(2, AlertState::Firing, AlertState::Ok, AlertNotice::Told, &["a"]),
            delivery("alr-2", "a", "in_app", DeliveryStatus::Delivered, 1),
            delivery("alr-1", "b", "slack", DeliveryStatus::Failed, 3),
        ];
        let mut states = states(all.clone());
        for pick in picks {
            // A test is read once by its offset; a completed delivery is not queued again.
            if !matches!(all[pick].kind, Some(Kind::Test(_))) {
                states.apply(pick as i64, all[pick].clone());
            }
        }
        prop_assert_eq!(states.rule("alr").status.sequence, 2);
        prop_assert_eq!(states.inbox("prj").notices.len(), 2);
        prop_assert!(states.pending_channels().is_empty());
    }
}
