//! Which dead letters are open: what follows from the topic's records in their order, no I/O.
//!
//! A letter is known by its source, the place where its record stood first. A retried record that fails again, and a
//! rebuild that meets the record again, write further letters of the same source. A note tells what became of all of a
//! source's letters up to a place in the metrics topic: so a letter that a rebuild writes again stays settled, and one
//! of a retry that failed, which stands at a later place, is open.

use proto::topics::Place;
use std::collections::BTreeMap;

/// A dead letter without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Where the record stood first.
    pub source: Place,
    /// Where it stood when it could not be stored this time.
    pub place: Place,
    /// A word for machines.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// When the letter was written, Unix milliseconds.
    pub at_ms: i64,
    /// How many bytes the record has.
    pub size: usize,
    /// Partition and offset of the letter in its topic.
    pub kept_at: (i32, i64),
}

/// One record of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A record that could not be stored.
    Letter(Letter),
    /// What became of the letters of a source, up to a place.
    Note {
        /// The source.
        source: Place,
        /// The place.
        place: Place,
    },
}

/// The open letters, the newest of each source, by source.
pub fn open(entries: impl IntoIterator<Item = Entry>) -> Vec<Letter> {
    let mut letters: BTreeMap<Place, Letter> = BTreeMap::new();
    let mut settled: BTreeMap<Place, i64> = BTreeMap::new();
    for entry in entries {
        match entry {
            Entry::Letter(letter) => {
                let newest =
                    letters.get(&letter.source).is_none_or(|known| known.place.offset <= letter.place.offset);
                if newest {
                    letters.insert(letter.source.clone(), letter);
                }
            }
            Entry::Note { source, place } => {
                let until = settled.entry(source).or_insert(place.offset);
                *until = place.offset.max(*until);
            }
        }
    }
    let is_open =
        |letter: &Letter| settled.get(&letter.source).is_none_or(|until| *until < letter.place.offset);
    letters.into_values().filter(is_open).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: i64) -> Place {
        Place { topic: "metrics.v1".to_owned(), partition: 0, offset }
    }

    fn letter(source: i64, at: i64) -> Entry {
        Entry::Letter(Letter {
            source: place(source),
            place: place(at),
            reason: "undecodable".to_owned(),
            message: String::new(),
            at_ms: 0,
            size: 1,
            kept_at: (0, 0),
        })
    }

    fn note(source: i64, at: i64) -> Entry {
        Entry::Note { source: place(source), place: place(at) }
    }

    fn open_places(entries: Vec<Entry>) -> Vec<(i64, i64)> {
        open(entries).into_iter().map(|letter| (letter.source.offset, letter.place.offset)).collect()
    }

    #[test]
    fn a_letter_is_open_until_a_note_settles_it_and_a_rebuild_opens_nothing_again() {
        assert_eq!(open_places(vec![letter(5, 5), letter(7, 7)]), [(5, 5), (7, 7)]);
        assert_eq!(open_places(vec![letter(5, 5), letter(7, 7), note(5, 5)]), [(7, 7)]);
        assert_eq!(open_places(vec![letter(5, 5), note(5, 5), letter(5, 5)]), []);
    }

    #[test]
    fn a_retry_that_failed_is_open_whichever_of_note_and_letter_came_first() {
        assert_eq!(open_places(vec![letter(5, 5), note(5, 5), letter(5, 9)]), [(5, 9)]);
        assert_eq!(open_places(vec![letter(5, 5), letter(5, 9), note(5, 5)]), [(5, 9)]);
        assert_eq!(open_places(vec![letter(5, 5), letter(5, 9), note(5, 9), letter(5, 5), letter(5, 9)]), []);
    }
}
