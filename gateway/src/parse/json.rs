//! Checks a whole JSON text, then reads it in place.
//!
//! [`check`] decides whether a body is JSON as defined by RFC 8259 and locates the first error. Its result is
//! a view: members and elements are found by scanning the checked text again, so nothing is allocated for it,
//! however large or deep the body is. Unlike most parsers, the view keeps duplicate members and the text of
//! numbers. The caller can thus tell a number that overflows a double from a value that is not a number.

use std::borrow::Cow;
use std::fmt;

/// Maximum nesting depth of arrays and objects; a single object has depth 1.
pub const DEPTH_LIMIT: usize = 64;

/// The first syntax error in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntaxError {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    pub problem: &'static str,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {}, column {}", self.problem, self.line, self.column)
    }
}

impl SyntaxError {
    /// Creates an error that is located right after `before`, the text before it.
    fn after(before: &str, problem: &'static str) -> Self {
        let (line, last) = before.split('\n').enumerate().last().unwrap_or((0, before));
        Self { line: line + 1, column: last.chars().count() + 1, problem }
    }
}

/// The text of a JSON value in a checked body.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a>(&'a str);

/// The type of a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// `-1.5e3`
    Number,
    /// `true` or `false`
    Boolean,
    /// `null`
    Null,
}

/// Checks that all of `body` is one JSON value.
pub fn check(body: &[u8]) -> Result<Raw<'_>, SyntaxError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let (valid, _) = body.split_at(error.valid_up_to());
        SyntaxError::after(&String::from_utf8_lossy(valid), "invalid UTF-8")
    })?;
    if text.starts_with('\u{feff}') {
        return Err(SyntaxError::after("", "unexpected byte order mark"));
    }
    let mut scanner = Scanner::new(text);
    match scanner.document() {
        Ok(()) => Ok(Raw(text.trim_matches(WHITESPACE))),
        // Slicing inside a character would panic.
        Err(problem) => Err(SyntaxError::after(&text[..text.floor_char_boundary(scanner.position)], problem)),
    }
}

const WHITESPACE: [char; 4] = [' ', '\t', '\n', '\r'];

impl<'a> Raw<'a> {
    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// Returns the text as sent, without surrounding whitespace.
    pub fn text(self) -> &'a str {
        self.0
    }

    /// Returns the members of an object in the order in which they were sent; nothing for any other type.
    pub fn members(self) -> impl Iterator<Item = (Cow<'a, str>, Raw<'a>)> {
        let mut scanner = Scanner::inside(self, Kind::Object);
        std::iter::from_fn(move || {
            let name = scanner.next_value()?;
            scanner.skip_whitespace();
            // Skip the colon.
            scanner.position += 1;
            Some((name.string(), scanner.next_value()?))
        })
    }

    /// Returns the elements of an array; nothing for any other type.
    pub fn elements(self) -> impl Iterator<Item = Raw<'a>> {
        let mut scanner = Scanner::inside(self, Kind::Array);
        std::iter::from_fn(move || scanner.next_value())
    }

    /// Returns the content of a string, borrowed if it has no escapes.
    pub fn string(self) -> Cow<'a, str> {
        let inner = self.0.get(1..self.0.len().saturating_sub(1)).unwrap_or_default();
        if inner.contains('\\') { Cow::Owned(unescape(inner)) } else { Cow::Borrowed(inner) }
    }
}

/// Replaces the escapes in `text`, which was checked before.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('\\');
    out.push_str(parts.next().unwrap_or_default());
    let mut high = None;
    while let Some(part) = parts.next() {
        let (escape, mut rest) = part.split_at_checked(1).unwrap_or_default();
        match escape {
            // An escaped backslash: the next part starts right after it.
            "" => {
                out.push('\\');
                rest = parts.next().unwrap_or_default();
            }
            "b" => out.push('\u{8}'),
            "f" => out.push('\u{c}'),
            "n" => out.push('\n'),
            "r" => out.push('\r'),
            "t" => out.push('\t'),
            "u" => {
                let (digits, after) = rest.split_at_checked(4).unwrap_or_default();
                let unit = u32::from_str_radix(digits, 16).unwrap_or_default();
                rest = after;
                match high.take() {
                    None if (0xd800..0xdc00).contains(&unit) => high = Some(unit),
                    None => out.extend(char::from_u32(unit)),
                    Some(high) => {
                        out.extend(char::from_u32(0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00)));
                    }
                }
            }
            other => out.push_str(other),
        }
        out.push_str(rest);
    }
    out
}

/// A position in a text. Each method advances past what it names, or stops at an error and returns its
/// description.
struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    position: usize,
}

type ScanResult = Result<(), &'static str>;

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), position: 0 }
    }

    /// Starts right after the opening bracket of a checked value of type `kind`, or at the end of a value of
    /// another type.
    fn inside(value: Raw<'a>, kind: Kind) -> Self {
        let position = if value.kind() == kind { 1 } else { value.0.len() };
        Self { position, ..Self::new(value.0) }
    }

    /// Returns the next value of a checked array or object, skipping a comma before it, or `None` at the end.
    fn next_value(&mut self) -> Option<Raw<'a>> {
        self.skip_whitespace();
        if self.peek() == Some(b',') {
            self.position += 1;
            self.skip_whitespace();
        }
        let start = self.position;
        self.value(0).ok()?;
        self.text.get(start..self.position).map(Raw)
    }

    fn document(&mut self) -> ScanResult {
        self.skip_whitespace();
        if self.peek().is_none() {
            return Err("unexpected end of empty body");
        }
        self.value(0)?;
        self.skip_whitespace();
        if self.peek().is_some() { Err("unexpected text after the end of the JSON document") } else { Ok(()) }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    fn skip_whitespace(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.position += 1;
        }
    }

    fn value(&mut self, depth: usize) -> ScanResult {
        match self.peek() {
            Some(b'{') => self.container(depth + 1, b'}'),
            Some(b'[') => self.container(depth + 1, b']'),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(b'N' | b'I') => Err("NaN and Infinity are not JSON values"),
            Some(b'\'') => Err("strings must be in double quotes"),
            Some(_) => Err("expected a value"),
            None => Err("expected a value, but the body ends"),
        }
    }

    /// Scans an array or an object; `end` is its closing bracket.
    fn container(&mut self, depth: usize, end: u8) -> ScanResult {
        if depth > DEPTH_LIMIT {
            return Err("arrays and objects are nested more than 64 levels deep");
        }
        self.position += 1;
        self.skip_whitespace();
        if self.peek() == Some(end) {
            self.position += 1;
            return Ok(());
        }
        loop {
            if end == b'}' {
                self.member_name()?;
            }
            self.value(depth)?;
            self.skip_whitespace();
            match self.peek() {
                Some(b',') => self.position += 1,
                Some(byte) if byte == end => {
                    self.position += 1;
                    return Ok(());
                }
                Some(_) if end == b'}' => return Err("expected `,` or `}`"),
                Some(_) => return Err("expected `,` or `]`"),
                None => return Err("the body ends inside an array or object"),
            }
            self.skip_whitespace();
            if self.peek() == Some(end) {
                return Err("unexpected comma before the closing bracket");
            }
        }
    }

    fn member_name(&mut self) -> ScanResult {
        if self.peek() != Some(b'"') {
            return Err("expected a member name in double quotes");
        }
        self.string()?;
        self.skip_whitespace();
        if self.peek() != Some(b':') {
            return Err("expected `:`");
        }
        self.position += 1;
        self.skip_whitespace();
        Ok(())
    }

    fn literal(&mut self, literal: &str) -> ScanResult {
        if self.bytes[self.position..].starts_with(literal.as_bytes()) {
            self.position += literal.len();
            return Ok(());
        }
        Err("expected a value")
    }

    fn number(&mut self) -> ScanResult {
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        if self.peek() == Some(b'0') {
            self.position += 1;
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err("a number must not have leading zeros");
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.position += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> ScanResult {
        let start = self.position;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.position += 1;
        }
        if self.position == start { Err("expected a digit") } else { Ok(()) }
    }

    fn string(&mut self) -> ScanResult {
        self.position += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => return Err("control characters in strings must be escaped"),
                Some(_) => self.position += 1,
                None => return Err("the body ends inside a string"),
            }
        }
    }

    fn escape(&mut self) -> ScanResult {
        match self.bytes.get(self.position + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.position += 2;
                Ok(())
            }
            Some(b'u') => match self.code_unit(self.position)? {
                0xdc00..0xe000 => Err("unpaired surrogate in a \\u escape"),
                0xd800..0xdc00 => match self.bytes.get(self.position + 6..self.position + 8) {
                    Some(br"\u") if (0xdc00..0xe000).contains(&self.code_unit(self.position + 6)?) => {
                        self.position += 12;
                        Ok(())
                    }
                    _ => Err("unpaired surrogate in a \\u escape"),
                },
                _ => {
                    self.position += 6;
                    Ok(())
                }
            },
            _ => Err("invalid escape sequence"),
        }
    }

    /// Returns the UTF-16 code unit of the escape `\uXXXX` that starts at `at`.
    fn code_unit(&self, at: usize) -> Result<u32, &'static str> {
        let digits = self.bytes.get(at + 2..at + 6).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or("\\u needs four hexadecimal digits")
    }
}
