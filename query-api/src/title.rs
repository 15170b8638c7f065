//! Names for people.

/// The name of a metric that was never given one: its id in title case, `daily_signups` → `Daily Signups`.
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
    // An id of separators alone has no words.
    if titled.is_empty() { id.to_owned() } else { titled.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_an_id_begin_with_capitals() {
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
