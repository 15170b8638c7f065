//! Reproducible random numbers: a seed gives the same numbers on every machine and with every version of every
//! library.
//!
//! SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).

/// Generator state.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Creates a generator.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number from `start` inclusive to `end` exclusive; `start` if the range is empty.
    pub fn between(&mut self, start: u64, end: u64) -> u64 {
        start + self.next_u64() % (end - start).max(1)
    }

    /// Returns `first` or one of `others`, each equally likely.
    pub fn one_of<T: Copy>(&mut self, first: T, others: &[T]) -> T {
        match usize::try_from(self.between(0, others.len() as u64 + 1)) {
            Ok(index) if index > 0 => others[index - 1],
            _ => first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_equal_those_of_the_reference_implementation() {
        // The first two numbers of the reference implementation for seed 0.
        let mut rng = Rng::new(0);
        assert_eq!([rng.next_u64(), rng.next_u64()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        assert!((0..1000).all(|_| (3..7).contains(&rng.between(3, 7))));
    }
}
