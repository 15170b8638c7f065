//! Distinguishes inserts whose data is in the request's body from all other statements.
//!
//! The engine parses SQL. This module finds only the end of a statement like `INSERT INTO t (a, b) SETTINGS x
//! = 1 FORMAT RowBinary`, and its format, because the engine's streamed insert takes the format as an
//! argument. `INSERT … SELECT`, inserts with their rows in the text, and statements that are not inserts are
//! passed to the engine unchanged.

use std::ops::Range;

/// Meaning of the body for a statement in the URL.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// The body, if any, is the rest of the statement.
    Whole,
    /// The body is the data of an insert.
    Streamed {
        /// The statement up to its `FORMAT` clause.
        sql: String,
        /// Format of the data.
        format: String,
    },
}

#[derive(Debug, PartialEq, Eq)]
enum TokenKind {
    Word,
    Quoted,
    /// A pair of parentheses with its content.
    Parenthesized,
    Other(u8),
}

#[derive(Debug)]
struct Token {
    kind: TokenKind,
    range: Range<usize>,
}

/// Scans `sql` and returns where its data comes from.
pub fn route(sql: &str) -> Route {
    let tokens = tokens(sql);
    let word = |i: usize| tokens.get(i).filter(|t| t.kind == TokenKind::Word).map(|t| &sql[t.range.clone()]);
    let is = |i: usize, keyword: &str| word(i).is_some_and(|w| w.eq_ignore_ascii_case(keyword));

    if !is(0, "INSERT") {
        return Route::Whole;
    }
    let mut i = 1;
    i += usize::from(is(i, "INTO"));
    i += usize::from(is(i, "TABLE"));
    i += usize::from(is(i, "FUNCTION"));
    i = after_name(&tokens, i);

    while let Some(token) = tokens.get(i) {
        let end_of_statement = |i: usize| tokens.get(i).is_none_or(|t| t.kind == TokenKind::Other(b';'));
        if token.kind == TokenKind::Parenthesized && starts_with_select(&sql[token.range.clone()]) {
            return Route::Whole;
        }
        if ["SELECT", "WITH", "WATCH", "EXPLAIN", "INFILE"].iter().any(|keyword| is(i, keyword)) {
            return Route::Whole;
        }
        let before = &sql[..token.range.start];
        if is(i, "VALUES") {
            return if end_of_statement(i + 1) { streamed(before, "Values") } else { Route::Whole };
        }
        if is(i, "FORMAT")
            && let Some(format) = word(i + 1)
        {
            if end_of_statement(i + 2) {
                return streamed(before, format);
            }
            if is(i + 2, "SETTINGS") {
                return streamed(&format!("{before}{}", &sql[tokens[i + 2].range.start..]), format);
            }
            // The text contains rows; the body contains more of them.
            return Route::Whole;
        }
        i += 1;
    }
    streamed(sql, "Values")
}

fn streamed(sql: &str, format: &str) -> Route {
    let mut sql = sql.trim_end_matches([';', ' ', '\n', '\r', '\t']).to_owned();
    if sql.contains("--") {
        // The engine appends the format, which must not become part of a trailing comment.
        sql.push('\n');
    }
    Route::Streamed { sql, format: format.to_owned() }
}

/// Returns the index of the token after a name `a` or `a.b` that starts at token `i`.
fn after_name(tokens: &[Token], mut i: usize) -> usize {
    loop {
        i += 1;
        match tokens.get(i).map(|token| &token.kind) {
            Some(TokenKind::Other(b'.')) => i += 1,
            _ => return i,
        }
    }
}

fn starts_with_select(parenthesized: &str) -> bool {
    let content = &parenthesized[1..];
    tokens(content).first().is_some_and(|first| {
        let first = &content[first.range.clone()];
        first.eq_ignore_ascii_case("SELECT") || first.eq_ignore_ascii_case("WITH")
    })
}

/// Returns the tokens outside of parentheses, without comments and white space.
fn tokens(sql: &str) -> Vec<Token> {
    let bytes = sql.as_bytes();
    let mut tokens = Vec::new();
    let (mut i, mut depth, mut open) = (0, 0_u32, 0);
    while let Some(&byte) = bytes.get(i) {
        let start = i;
        i = end_of_token(bytes, i);
        let kind = match byte {
            b'(' => {
                if depth == 0 {
                    open = start;
                }
                depth += 1;
                continue;
            }
            b')' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    tokens.push(Token { kind: TokenKind::Parenthesized, range: open..i });
                }
                continue;
            }
            _ if depth > 0 || byte.is_ascii_whitespace() || is_comment(bytes, start) => continue,
            b'\'' | b'`' | b'"' => TokenKind::Quoted,
            _ if is_word(byte) => TokenKind::Word,
            _ => TokenKind::Other(byte),
        };
        tokens.push(Token { kind, range: start..i });
    }
    tokens
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn is_comment(bytes: &[u8], i: usize) -> bool {
    bytes[i..].starts_with(b"--") || bytes[i..].starts_with(b"/*")
}

fn end_of_token(bytes: &[u8], start: usize) -> usize {
    let find = |from: usize, end: &[u8]| {
        bytes[from..]
            .windows(end.len())
            .position(|w| w == end)
            .map_or(bytes.len(), |at| from + at + end.len())
    };
    match bytes[start] {
        b'-' if is_comment(bytes, start) => find(start, b"\n"),
        b'/' if is_comment(bytes, start) => find(start + 2, b"*/"),
        quote @ (b'\'' | b'`' | b'"') => {
            let mut i = start + 1;
            while let Some(&byte) = bytes.get(i) {
                i += if byte == b'\\' { 2 } else { 1 };
                if byte == quote {
                    break;
                }
            }
            i.min(bytes.len())
        }
        byte if is_word(byte) => {
            bytes[start..].iter().position(|&b| !is_word(b)).map_or(bytes.len(), |at| start + at)
        }
        _ => start + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_streamed(statement: &str, sql: &str, format: &str) {
        assert_eq!(
            route(statement),
            Route::Streamed { sql: sql.into(), format: format.into() },
            "for: {statement}"
        );
    }

    #[test]
    fn insert_with_a_format_is_streamed() {
        assert_streamed("INSERT INTO t FORMAT TSV", "INSERT INTO t", "TSV");
        assert_streamed(
            "insert into `t`(`a`,`b`) format RowBinary;",
            "insert into `t`(`a`,`b`)",
            "RowBinary",
        );
        assert_streamed(
            "INSERT INTO d.t (a, b) SETTINGS async_insert = 0 FORMAT JSONEachRow",
            "INSERT INTO d.t (a, b) SETTINGS async_insert = 0",
            "JSONEachRow",
        );
        assert_streamed(
            "INSERT INTO t FORMAT CSV SETTINGS async_insert = 0",
            "INSERT INTO t SETTINGS async_insert = 0",
            "CSV",
        );
    }

    #[test]
    fn insert_without_a_format_uses_values() {
        assert_streamed("INSERT INTO t VALUES ", "INSERT INTO t", "Values");
        assert_streamed("INSERT INTO t", "INSERT INTO t", "Values");
    }

    #[test]
    fn keywords_in_quotes_parentheses_and_comments_are_ignored() {
        assert_streamed("INSERT INTO `select` FORMAT TSV", "INSERT INTO `select`", "TSV");
        assert_streamed("INSERT INTO values (format) FORMAT TSV", "INSERT INTO values (format)", "TSV");
        assert_streamed(
            "/* SELECT */ INSERT INTO t -- VALUES\n FORMAT TSV",
            "/* SELECT */ INSERT INTO t -- VALUES\n",
            "TSV",
        );
        assert_streamed(
            "INSERT INTO t SETTINGS log_comment = 'it\\'s SELECT' FORMAT TSV",
            "INSERT INTO t SETTINGS log_comment = 'it\\'s SELECT'",
            "TSV",
        );
        assert_streamed(
            "INSERT INTO FUNCTION file('x', 'TSV') FORMAT TSV",
            "INSERT INTO FUNCTION file('x', 'TSV')",
            "TSV",
        );
    }

    #[test]
    fn other_statements_are_passed_on_whole() {
        for statement in [
            "SELECT 1",
            "",
            "INSERT INTO t SELECT 1",
            "INSERT INTO t (a) WITH x AS (SELECT 1) SELECT * FROM x",
            "INSERT INTO t (SELECT 1)",
            "INSERT INTO t VALUES (1), (2)",
            "INSERT INTO t FORMAT TSV\n1\n2",
            "INSERT INTO t FROM INFILE 'x' FORMAT TSV",
            "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
        ] {
            assert_eq!(route(statement), Route::Whole, "for: {statement}");
        }
    }

    #[test]
    fn malformed_statements_do_not_panic() {
        for statement in ["INSERT INTO t ('", "INSERT INTO t /* FORMAT", "INSERT INTO t (((", "INSERT", "'\\"]
        {
            route(statement);
        }
    }
}
