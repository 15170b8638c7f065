//! Parses PromQL within bounds: the size of the query is limited before the syntax tree is built, because the depth of the
//! tree consumes stack.

use promql_parser::parser::Expr;
use std::panic::catch_unwind;

/// Maximum number of tokens of a query. Each token makes the tree deeper by at most one.
const MAX_TOKENS: usize = 2000;

/// Parses a query.
pub fn parse(text: &str) -> Result<Expr, String> {
    if tokens(text) > MAX_TOKENS {
        return Err(format!("parse error: the query has more than {MAX_TOKENS} words and symbols"));
    }
    // The parser panics on durations out of range, such as [1e300].
    match catch_unwind(|| promql_parser::parser::parse(text)) {
        Ok(parsed) => parsed.map_err(|reason| format!("parse error: {reason}")),
        Err(_) => Err("parse error: a number is out of range".to_owned()),
    }
}

/// Counts the tokens of `text`; a string is one token.
fn tokens(text: &str) -> usize {
    let (mut count, mut in_word) = (0, false);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        let word = c.is_alphanumeric() || c == '_' || c == '.';
        match c {
            '"' | '\'' | '`' => {
                count += 1;
                while let Some(inner) = characters.next() {
                    if inner == c {
                        break;
                    }
                    if inner == '\\' && c != '`' {
                        characters.next();
                    }
                }
            }
            '#' => {
                characters.find(|c| *c == '\n');
            }
            _ if word && in_word || c.is_whitespace() => {}
            _ => count += 1,
        }
        in_word = word;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_symbols_and_strings_are_one_token_each() {
        assert_eq!(tokens("rate(http_total{a=~\"x,y\\\"z\"}[5m]) # (((\n + 1.5"), 15);
        assert_eq!(tokens(""), 0);
    }

    #[test]
    fn too_deep_query_is_rejected_and_the_deepest_is_not() {
        let most = MAX_TOKENS / 2 - 1;
        for (opening, inner, closing) in [
            ("(", "1", ")"),
            ("-", "a", ""),
            ("1+", "1", ""),
            ("1^", "1", ""),
            ("abs(", "a", ")"),
            ("sum(", "a", ")"),
        ] {
            let nested = |depth: usize| format!("{}{inner}{}", opening.repeat(depth), closing.repeat(depth));
            let fits = most / opening.len().min(2);
            assert!(parse(&nested(fits)).is_ok(), "{opening}");
            assert!(parse(&nested(1_000_000 / opening.len())).is_err(), "{opening}");
        }
    }

    #[test]
    fn invalid_promql_is_an_error_and_never_a_panic() {
        for text in [
            "",
            "1 +",
            "a[5m",
            "a[1e300]",
            "a[-5]",
            "{}",
            "{a=~\".*\"}",
            "sum()",
            "a{b=~\"(\"}",
            "nope(a)",
            "\u{0}",
            "é",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
