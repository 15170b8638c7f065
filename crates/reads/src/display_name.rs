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

/// The name that people see.
pub fn name(id: &str, newest: &str) -> String {
    if newest.is_empty() { title_case(id) } else { newest.to_owned() }
}

/// The unit, if one was given.
pub fn unit(newest: &str) -> Option<String> {
    (!newest.is_empty()).then(|| newest.to_owned())
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
