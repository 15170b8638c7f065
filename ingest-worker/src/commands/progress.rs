//! How far a long job is: records, rate, time left.

use std::collections::VecDeque;
use std::time::Duration;

/// The rate is that of so long a time.
const WINDOW: Duration = Duration::from_secs(15);

/// Counts done work by the clock that it is told.
#[derive(Debug, Default)]
pub struct Progress {
    /// When so much was done, the newest last.
    seen: VecDeque<(Duration, u64)>,
}

impl Progress {
    /// At `now`, counted from any beginning, `done` was done.
    pub fn at(&mut self, now: Duration, done: u64) {
        self.seen.push_back((now, done));
        while self.seen.len() > 2 && self.seen.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= WINDOW)
        {
            self.seen.pop_front();
        }
    }

    /// Records a second.
    pub fn rate(&self) -> f64 {
        match (self.seen.front(), self.seen.back()) {
            (Some(first), Some(last)) if last.0 > first.0 => {
                last.1.saturating_sub(first.1) as f64 / (last.0 - first.0).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    /// How long nothing has moved.
    pub fn standing(&self) -> Duration {
        let Some(&(now, done)) = self.seen.back() else { return Duration::ZERO };
        let since = self.seen.iter().rev().take_while(|seen| seen.1 == done).last();
        since.map_or(Duration::ZERO, |since| now - since.0)
    }

    /// One line for people.
    pub fn line(&self, total: u64) -> String {
        let done = self.seen.back().map_or(0, |seen| seen.1);
        let percent = if total == 0 { 100.0 } else { 100.0 * done as f64 / total as f64 };
        let rate = self.rate();
        let left = total.saturating_sub(done);
        let left = match (left, rate > 0.0) {
            (0, _) => "caught up".to_owned(),
            (_, false) => "standing still".to_owned(),
            (_, true) => {
                // Whole seconds, and none too few.
                let left = Duration::from_secs((left as f64 / rate).ceil() as u64);
                format!("{} left", humantime::format_duration(left))
            }
        };
        format!("{done} of {total} records ({percent:.1} %), {rate:.0} a second, {left}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_records_rate_and_time_left() {
        let mut progress = Progress::default();
        for second in 0..=60 {
            progress.at(Duration::from_secs(second), second * 100);
        }
        assert_eq!(progress.line(12_000), "6000 of 12000 records (50.0 %), 100 a second, 1m left");
        assert_eq!(progress.line(6_000), "6000 of 6000 records (100.0 %), 100 a second, caught up");
        for second in 61..=120 {
            progress.at(Duration::from_secs(second), 6_000);
        }
        assert_eq!(progress.line(12_000), "6000 of 12000 records (50.0 %), 0 a second, standing still");
        assert!(progress.standing() >= WINDOW);
    }
}
