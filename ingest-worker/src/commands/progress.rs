//! Progress of a long job: records done, rate, and remaining time. Pure: the caller passes the time.

use std::collections::VecDeque;
use std::time::Duration;

/// The rate is the average over this time.
const RATE_WINDOW: Duration = Duration::from_secs(15);

#[derive(Debug, Default)]
pub struct Progress {
    /// Observations of time and records done, the newest last.
    observations: VecDeque<(Duration, u64)>,
}

impl Progress {
    /// Records that `done` records were done at `now`, counted from any fixed instant.
    pub fn observe(&mut self, now: Duration, done: u64) {
        self.observations.push_back((now, done));
        while self.observations.len() > 2
            && self.observations.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= RATE_WINDOW)
        {
            self.observations.pop_front();
        }
    }

    /// Records per second.
    pub fn rate(&self) -> f64 {
        match (self.observations.front(), self.observations.back()) {
            (Some(first), Some(last)) if last.0 > first.0 => {
                last.1.saturating_sub(first.1) as f64 / (last.0 - first.0).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    /// Time since the last progress.
    pub fn stalled_for(&self) -> Duration {
        let Some(&(now, done)) = self.observations.back() else { return Duration::ZERO };
        let since = self.observations.iter().rev().take_while(|observation| observation.1 == done).last();
        since.map_or(Duration::ZERO, |since| now - since.0)
    }

    /// Returns a line for people.
    pub fn line(&self, total: u64) -> String {
        let done = self.observations.back().map_or(0, |observation| observation.1);
        let percent = if total == 0 { 100.0 } else { 100.0 * done as f64 / total as f64 };
        let rate = self.rate();
        let left = total.saturating_sub(done);
        let left = match (left, rate > 0.0) {
            (0, _) => "caught up".to_owned(),
            (_, false) => "stalled".to_owned(),
            (_, true) => {
                // Whole seconds, rounded up.
                let left = Duration::from_secs((left as f64 / rate).ceil() as u64);
                format!("{} left", humantime::format_duration(left))
            }
        };
        format!("{done} of {total} records ({percent:.1} %), {rate:.0} per second, {left}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_shows_records_rate_and_remaining_time() {
        let mut progress = Progress::default();
        for second in 0..=60 {
            progress.observe(Duration::from_secs(second), second * 100);
        }
        assert_eq!(progress.line(12_000), "6000 of 12000 records (50.0 %), 100 per second, 1m left");
        assert_eq!(progress.line(6_000), "6000 of 6000 records (100.0 %), 100 per second, caught up");
        for second in 61..=120 {
            progress.observe(Duration::from_secs(second), 6_000);
        }
        assert_eq!(progress.line(12_000), "6000 of 12000 records (50.0 %), 0 per second, stalled");
        assert!(progress.stalled_for() >= RATE_WINDOW);
    }
}
