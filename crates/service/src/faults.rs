//! Validation of settings: collects every fault, so that an operator who got three settings wrong reads three
//! messages.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// Faults found in the settings so far.
#[derive(Debug, Default)]
pub struct Faults(Vec<String>);

impl Faults {
    /// Number of faults.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Adds a fault of `setting`.
    pub fn add(&mut self, setting: &str, message: impl fmt::Display) {
        self.0.push(format!("{setting}: {message}"));
    }

    /// Adds a fault of `setting` unless `holds`.
    pub fn check(&mut self, holds: bool, setting: &str, message: impl fmt::Display) {
        if !holds {
            self.add(setting, message);
        }
    }

    /// Parses `text`. If it is invalid, adds a fault and returns `fallback`, so that the remaining settings
    /// are checked too.
    pub fn parse<T: FromStr>(&mut self, setting: &str, text: &str, expected: &str, fallback: T) -> T {
        text.trim().parse().unwrap_or_else(|_| {
            self.add(setting, format!("`{text}` is not {expected}"));
            fallback
        })
    }

    /// Parses an address to listen on, such as `127.0.0.1:8080`.
    pub fn address(&mut self, setting: &str, text: &str) -> SocketAddr {
        let expected = "an address such as 127.0.0.1:8080 or [::]:8080";
        self.parse(setting, text, expected, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Parses a duration such as `250ms`, `10s` or `1h 30m` that must be within `range`.
    pub fn duration(&mut self, setting: &str, text: &str, range: RangeInclusive<Duration>) -> Duration {
        let bounds = format!(
            "{} to {}",
            humantime::format_duration(*range.start()),
            humantime::format_duration(*range.end())
        );
        match humantime::parse_duration(text.trim()) {
            Ok(value) if range.contains(&value) => value,
            Ok(_) => {
                self.add(setting, format!("`{text}` is out of range: {bounds}"));
                *range.start()
            }
            Err(_) => {
                self.add(setting, format!("`{text}` is not a duration such as `250ms` or `10s` ({bounds})"));
                *range.start()
            }
        }
    }

    /// Returns `settings` if there are no faults.
    pub fn into_result<T>(self, settings: T) -> Result<T, SettingsError> {
        if self.0.is_empty() { Ok(settings) } else { Err(SettingsError(self.0)) }
    }
}

/// All faults of the settings, displayed one per line.
#[derive(Debug, thiserror::Error)]
pub struct SettingsError(Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid settings; `--help` describes them:")?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_out_of_range_names_the_range() {
        let mut faults = Faults::default();
        faults.duration("--timeout", "2h", Duration::from_secs(1)..=Duration::from_secs(60));
        assert!(faults.into_result(()).expect_err("too long").to_string().contains("1s to 1m"));
    }
}
