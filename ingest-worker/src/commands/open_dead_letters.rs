//! Determines which dead letters are open from the records of the dead-letter topic in order: a pure function.
//!
//! A dead letter is identified by its source, the position where its record stood first. A retried record that fails
//! again, and a rebuild that meets the record again, write further dead letters of the same source. A note settles all dead
//! letters of a source up to a position in the metrics topic. So a dead letter that a rebuild writes again stays settled,
//! and the dead letter of a failed retry, whose position is later, is open.

use proto::topics::RecordPosition;
use std::collections::BTreeMap;

/// A dead letter without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Position where the record stood first.
    pub source: RecordPosition,
    /// Position of the record that failed this time; differs from the source after a retry.
    pub position: RecordPosition,
    /// Machine-readable code of the reason.
    pub reason: String,
    /// Reason for people.
    pub message: String,
    /// Time when the dead letter was written, Unix milliseconds.
    pub at_ms: i64,
    /// Size of the record in bytes.
    pub size: usize,
    /// Partition and offset in the dead-letter topic.
    pub kept_at: (i32, i64),
}

/// A record of the dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    DeadLetter(DeadLetter),
    /// The dead letters of `source` up to `position` were retried or dropped.
    Note {
        source: RecordPosition,
        position: RecordPosition,
    },
}

/// Returns the newest open dead letter of each source, ordered by source.
pub fn open(entries: impl IntoIterator<Item = Entry>) -> Vec<DeadLetter> {
    let mut newest: BTreeMap<RecordPosition, DeadLetter> = BTreeMap::new();
    let mut settled_to: BTreeMap<RecordPosition, i64> = BTreeMap::new();
    for entry in entries {
        match entry {
            Entry::DeadLetter(letter) => {
                let is_newest = newest
                    .get(&letter.source)
                    .is_none_or(|known| known.position.offset <= letter.position.offset);
                if is_newest {
                    newest.insert(letter.source.clone(), letter);
                }
            }
            Entry::Note { source, position } => {
                let offset = settled_to.entry(source).or_insert(position.offset);
                *offset = position.offset.max(*offset);
            }
        }
    }
    let is_open =
        |letter: &DeadLetter| settled_to.get(&letter.source).is_none_or(|to| *to < letter.position.offset);
    newest.into_values().filter(is_open).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(offset: i64) -> RecordPosition {
        RecordPosition { topic: "metrics.v1".to_owned(), partition: 0, offset }
    }

    fn letter(source: i64, at: i64) -> Entry {
        Entry::DeadLetter(DeadLetter {
            source: position(source),
            position: position(at),
            reason: "undecodable".to_owned(),
            message: String::new(),
            at_ms: 0,
            size: 1,
            kept_at: (0, 0),
        })
    }

    fn note(source: i64, at: i64) -> Entry {
        Entry::Note { source: position(source), position: position(at) }
    }

    /// Offsets of source and position of the open dead letters.
    fn open_offsets(entries: Vec<Entry>) -> Vec<(i64, i64)> {
        open(entries).into_iter().map(|letter| (letter.source.offset, letter.position.offset)).collect()
    }

    #[test]
    fn note_settles_a_dead_letter_even_if_a_rebuild_writes_it_again() {
        assert_eq!(open_offsets(vec![letter(5, 5), letter(7, 7)]), [(5, 5), (7, 7)]);
        assert_eq!(open_offsets(vec![letter(5, 5), letter(7, 7), note(5, 5)]), [(7, 7)]);
        assert_eq!(open_offsets(vec![letter(5, 5), note(5, 5), letter(5, 5)]), []);
    }

    #[test]
    fn failed_retry_is_open_in_either_order_of_note_and_dead_letter() {
        assert_eq!(open_offsets(vec![letter(5, 5), note(5, 5), letter(5, 9)]), [(5, 9)]);
        assert_eq!(open_offsets(vec![letter(5, 5), letter(5, 9), note(5, 5)]), [(5, 9)]);
        let settled = vec![letter(5, 5), letter(5, 9), note(5, 9), letter(5, 5), letter(5, 9)];
        assert_eq!(open_offsets(settled), []);
    }
}
