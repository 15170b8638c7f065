//! What ClickHouse says when it refuses.

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
