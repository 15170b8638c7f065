//! ClickHouse: the names that services share, and what it says when it refuses.

/// The database of what is known about the use of an installation. It belongs to no generation: it is filled from
/// another topic.
pub fn usage_database(namespace: &str) -> String {
    if namespace.is_empty() { "tidemark_usage".to_owned() } else { format!("tidemark_{namespace}_usage") }
}

/// The number in the text of a server's error, `Code: N. DB::Exception: …`.
pub fn error_code(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_error_code_is_read_from_its_text() {
        assert_eq!(error_code("Code: 159. DB::Exception: Timeout exceeded"), Some(159));
        assert_eq!(error_code("502 Bad Gateway"), None);
    }
}
