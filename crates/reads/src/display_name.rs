//! Display names of metrics.

/// Returns the display name of a metric without a name: its id in title case, `daily_signups` → `Daily
/// Signups`.
pub fn title_case(id: &str) -> String {
    let words = id.split(['_', '.', ':', '-']).filter(|word| !word.is_empty());
    let titled: Vec<String> = words
        .map(|word| {
            let mut characters = word.chars();
            characters
                .next()
                .map(|first| first.to_ascii_uppercase().to_string() + characters.as_str())
                .unwrap_or_default()
        })
        .collect();
    // An id that consists of separators has no words.
    if titled.is_empty() { id.to_owned() } else { titled.join(" ") }
}

/// Returns the display name of a metric, given its newest name (empty if none was sent).
pub fn name(id: &str, newest: &str) -> String {
    if newest.is_empty() { title_case(id) } else { newest.to_owned() }
}

/// Returns the unit, given the newest one (empty if none was sent).
pub fn unit(newest: &str) -> Option<String> {
    (!newest.is_empty()).then(|| newest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_an_id_are_capitalized() {
        for (id, name) in [
            ("daily_signups", "Daily Signups"),
            ("api.response-time", "Api Response Time"),
            ("CPU:load__5m", "CPU Load 5m"),
            ("x", "X"),
            ("_", "_"),
        ] {
            assert_eq!(title_case(id), name);
        }
    }
}
