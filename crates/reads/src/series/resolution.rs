//! Lengths of cells and of the blocks that hold them.

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Length of cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// One minute. A block is an hour of minutes.
    Minute,
    /// One hour. A block is a day of hours.
    Hour,
}

impl Resolution {
    /// All resolutions.
    pub const ALL: [Self; 2] = [Self::Minute, Self::Hour];

    /// Returns the length of a cell in milliseconds.
    pub fn cell_ms(self) -> i64 {
        match self {
            Self::Minute => MINUTE_MS,
            Self::Hour => HOUR_MS,
        }
    }

    /// Returns the length of a block in milliseconds.
    pub fn block_ms(self) -> i64 {
        match self {
            Self::Minute => HOUR_MS,
            Self::Hour => DAY_MS,
        }
    }
}
