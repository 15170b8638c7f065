//! Positions of listeners in the log.
//!
//! The encoded cursor is opaque to clients: base64url of a version byte and variable-length integers, so that
//! event ids stay short even with a hundred partitions.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const VERSION: u8 = 1;
/// Maximum number of partitions; more than any topic has.
const MAX_PARTITIONS: u64 = 100_000;

/// Position in the log up to which a listener has received everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    /// First offset of each partition whose record was not received completely. Missing partitions begin at 0.
    next: Vec<i64>,
    /// Partition whose record at that offset was received in part, and the number of its samples that were
    /// received.
    partial: Option<(usize, usize)>,
}

impl Cursor {
    /// Creates a cursor before the offsets `next` of all partitions.
    pub fn before(next: Vec<i64>) -> Self {
        Self { next, partial: None }
    }

    /// Returns the first offset of `partition` whose record was not received completely.
    pub fn next(&self, partition: usize) -> i64 {
        self.next.get(partition).copied().unwrap_or(0)
    }

    /// Returns the first offset of each partition whose record was not received completely.
    pub fn offsets(&self) -> &[i64] {
        &self.next
    }

    /// Returns the number of samples of a record that were received; `None` if all were.
    pub fn samples_received(&self, partition: usize, offset: i64) -> Option<usize> {
        match offset - self.next(partition) {
            ..0 => None,
            0 => Some(
                self.partial.filter(|(partial, _)| *partial == partition).map_or(0, |(_, samples)| samples),
            ),
            _ => Some(0),
        }
    }

    /// Notes that the first `samples` samples of a record and all earlier records of the partition were
    /// received.
    pub fn advance_within(&mut self, partition: usize, offset: i64, samples: usize) {
        self.advance_to(partition, offset);
        self.partial = Some((partition, samples));
    }

    /// Notes that a record and all earlier records of the partition were received.
    pub fn advance_past(&mut self, partition: usize, offset: i64) {
        self.advance_to(partition, offset + 1);
    }

    /// Notes that all records before the offsets `other` of all partitions were received.
    pub fn merge(&mut self, other: &[i64]) {
        for (partition, next) in other.iter().enumerate() {
            self.advance_to(partition, *next);
        }
    }

    fn advance_to(&mut self, partition: usize, next: i64) {
        if self.next.len() <= partition {
            self.next.resize(partition + 1, 0);
        }
        if self.next[partition] < next {
            self.next[partition] = next;
            self.partial = self.partial.filter(|(partial, _)| *partial != partition);
        }
    }

    /// Returns the id of an event with this position.
    pub fn encode(&self) -> String {
        let mut bytes = vec![VERSION];
        let partial =
            self.partial.map_or([0, 0], |(partition, samples)| [partition as u64 + 1, samples as u64]);
        let next = self.next.iter().map(|next| next.unsigned_abs());
        for mut number in partial.into_iter().chain([self.next.len() as u64]).chain(next) {
            while number >= 0x80 {
                bytes.push(number as u8 | 0x80);
                number >>= 7;
            }
            bytes.push(number as u8);
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Parses an event id; `None` if it is not one that [`Self::encode`] returns.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (version, mut rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (partition, samples) = (read_number(&mut rest)?, read_number(&mut rest)?);
        let length = read_number(&mut rest).filter(|length| *length <= MAX_PARTITIONS)?;
        let next: Option<Vec<i64>> = (0..length)
            .map(|_| i64::try_from(read_number(&mut rest)?).ok().filter(|next| *next < i64::MAX))
            .collect();
        let next = next.filter(|_| rest.is_empty())?;
        let partial = match partition.checked_sub(1) {
            None => None,
            Some(partition) if partition < length => {
                Some((partition as usize, usize::try_from(samples).ok()?))
            }
            Some(_) => return None,
        };
        Some(Self { next, partial })
    }
}

/// Reads a variable-length integer from the front of `bytes`.
fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn encoded_cursor_parses_to_itself(
            next in prop::collection::vec(0..i64::MAX, 0..12), within in (any::<prop::sample::Index>(), 0usize..100), inside: bool,
        ) {
            let mut cursor = Cursor::before(next.clone());
            if inside && !next.is_empty() {
                let partition = within.0.index(next.len());
                cursor.advance_within(partition, next[partition], within.1);
            }
            prop_assert_eq!(Cursor::parse(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn invalid_ids_are_rejected_without_panic(text in ".{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            Cursor::parse(&text);
            Cursor::parse(&URL_SAFE_NO_PAD.encode(bytes));
        }
    }

    #[test]
    fn records_before_the_cursor_were_received_and_later_ones_not() {
        let mut cursor = Cursor::before(vec![5, 9]);
        assert_eq!(
            (cursor.samples_received(0, 4), cursor.samples_received(0, 5), cursor.samples_received(2, 0)),
            (None, Some(0), Some(0))
        );
        cursor.advance_within(0, 6, 3);
        assert_eq!(
            (cursor.samples_received(0, 5), cursor.samples_received(0, 6), cursor.samples_received(0, 7)),
            (None, Some(3), Some(0))
        );
        cursor.merge(&[2, 20]);
        assert_eq!(
            (cursor.samples_received(0, 6), cursor.samples_received(1, 19), cursor.samples_received(1, 20)),
            (Some(3), None, Some(0))
        );
        cursor.advance_past(0, 6);
        assert_eq!((cursor.samples_received(0, 6), cursor.samples_received(0, 7)), (None, Some(0)));
    }
}
