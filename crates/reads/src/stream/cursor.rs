//! What a listener has seen.
//!
//! As text it is opaque to clients: base64url of a version byte and variable-length integers, so that the ids of an
//! installation with a hundred partitions stay short.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const VERSION: u8 = 1;
/// More partitions than any topic has.
const MOST: u64 = 100_000;

/// A place in the log: everything before it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    /// By partition, the first offset that was not seen whole. A partition that is not there was not seen at all.
    next: Vec<i64>,
    /// In which partition the record at that offset was seen in part: its first so many samples.
    within: Option<(usize, usize)>,
}

impl Cursor {
    /// Before the offsets `next`, by partition.
    pub fn at(next: Vec<i64>) -> Self {
        Self { next, within: None }
    }

    /// The first offset of `partition` that was not seen whole.
    pub fn next(&self, partition: usize) -> i64 {
        self.next.get(partition).copied().unwrap_or(0)
    }

    /// By partition, the first offset that was not seen whole.
    pub fn offsets(&self) -> &[i64] {
        &self.next
    }

    /// How many samples of a record were seen; none if all.
    pub fn seen(&self, partition: usize, offset: i64) -> Option<usize> {
        match offset - self.next(partition) {
            ..0 => None,
            0 => {
                Some(self.within.filter(|(within, _)| *within == partition).map_or(0, |(_, samples)| samples))
            }
            _ => Some(0),
        }
    }

    /// The first `samples` samples of a record were seen, and all records of the partition before it.
    pub fn enter(&mut self, partition: usize, offset: i64, samples: usize) {
        self.reach(partition, offset);
        self.within = Some((partition, samples));
    }

    /// A record was seen whole, and all of the partition before it.
    pub fn pass(&mut self, partition: usize, offset: i64) {
        self.reach(partition, offset + 1);
    }

    /// All before `other` was seen as well.
    pub fn merge(&mut self, other: &[i64]) {
        for (partition, next) in other.iter().enumerate() {
            self.reach(partition, *next);
        }
    }

    fn reach(&mut self, partition: usize, next: i64) {
        if self.next.len() <= partition {
            self.next.resize(partition + 1, 0);
        }
        if self.next[partition] < next {
            self.next[partition] = next;
            self.within = self.within.filter(|(within, _)| *within != partition);
        }
    }

    /// The text of an event's id.
    pub fn text(&self) -> String {
        let mut bytes = vec![VERSION];
        let within =
            self.within.map_or([0, 0], |(partition, samples)| [partition as u64 + 1, samples as u64]);
        let next = self.next.iter().map(|next| next.unsigned_abs());
        for mut number in within.into_iter().chain([self.next.len() as u64]).chain(next) {
            while number >= 0x80 {
                bytes.push(number as u8 | 0x80);
                number >>= 7;
            }
            bytes.push(number as u8);
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The cursor of an id that we gave out.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (version, mut rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (partition, samples) = (number(&mut rest)?, number(&mut rest)?);
        let length = number(&mut rest).filter(|length| *length <= MOST)?;
        let next: Option<Vec<i64>> = (0..length)
            .map(|_| i64::try_from(number(&mut rest)?).ok().filter(|next| *next < i64::MAX))
            .collect();
        let next = next.filter(|_| rest.is_empty())?;
        let within = match partition.checked_sub(1) {
            None => None,
            Some(partition) if partition < length => {
                Some((partition as usize, usize::try_from(samples).ok()?))
            }
            Some(_) => return None,
        };
        Some(Self { next, within })
    }
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
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
        fn an_id_reads_back_as_it_was_given(
            next in prop::collection::vec(0..i64::MAX, 0..12), within in (any::<prop::sample::Index>(), 0usize..100), inside: bool,
        ) {
            let mut cursor = Cursor::at(next.clone());
            if inside && !next.is_empty() {
                let partition = within.0.index(next.len());
                cursor.enter(partition, next[partition], within.1);
            }
            prop_assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        }

        #[test]
        fn what_is_no_id_of_ours_is_none_and_no_panic(text in ".{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            Cursor::parse(&text);
            Cursor::parse(&URL_SAFE_NO_PAD.encode(bytes));
        }
    }

    #[test]
    fn what_lies_before_was_seen_and_what_lies_behind_was_not() {
        let mut cursor = Cursor::at(vec![5, 9]);
        assert_eq!((cursor.seen(0, 4), cursor.seen(0, 5), cursor.seen(2, 0)), (None, Some(0), Some(0)));
        cursor.enter(0, 6, 3);
        assert_eq!((cursor.seen(0, 5), cursor.seen(0, 6), cursor.seen(0, 7)), (None, Some(3), Some(0)));
        cursor.merge(&[2, 20]);
        assert_eq!((cursor.seen(0, 6), cursor.seen(1, 19), cursor.seen(1, 20)), (Some(3), None, Some(0)));
        cursor.pass(0, 6);
        assert_eq!((cursor.seen(0, 6), cursor.seen(0, 7)), (None, Some(0)));
    }
}
