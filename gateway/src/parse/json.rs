//! JSON, checked whole and then looked at in place.
//!
//! [`check`] decides whether a body is JSON as RFC 8259 has it and finds the place of the first error. What it returns
//! is a view: members and elements are found by walking over the checked text again, so nothing is built, however
//! large or deep a body is. Unlike most parsers it keeps members that are given twice and the text of numbers, so that
//! the caller can tell a number that no double holds from one that is not a number.

use std::borrow::Cow;
use std::fmt;

/// How many arrays and objects may be nested; a lone object counts as one.
pub const DEPTH_LIMIT: usize = 64;

/// Where and why a body is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntaxError {
    /// Counted from 1.
    pub line: usize,
    /// Characters, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {}, column {}", self.what, self.line, self.column)
    }
}

impl SyntaxError {
    fn at(text: &str, what: &'static str) -> Self {
        let (line, last) = text.split('\n').enumerate().last().unwrap_or((0, text));
        Self { line: line + 1, column: last.chars().count() + 1, what }
    }
}

/// A JSON value within a checked body, as its text.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a>(&'a str);

/// What a value is.
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

/// Checks `body` from its first byte to its last.
pub fn check(body: &[u8]) -> Result<Raw<'_>, SyntaxError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let (valid, _) = body.split_at(error.valid_up_to());
        SyntaxError::at(&String::from_utf8_lossy(valid), "there is a byte that is not UTF-8")
    })?;
    if text.starts_with('\u{feff}') {
        return Err(SyntaxError::at("", "there is a byte order mark"));
    }
    let mut walk = Walk::new(text);
    match walk.document() {
        Ok(()) => Ok(Raw(text.trim_matches(BLANK))),
        // The place may be within a character, where a string ends in an escape that is none.
        Err(what) => Err(SyntaxError::at(&text[..text.floor_char_boundary(walk.at)], what)),
    }
}

const BLANK: [char; 4] = [' ', '\t', '\n', '\r'];

impl<'a> Raw<'a> {
    /// What it is.
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

    /// Its text as it was sent, without blanks around it.
    pub fn text(self) -> &'a str {
        self.0
    }

    /// The members of an object, in the order they were sent; nothing for any other value.
    pub fn members(self) -> impl Iterator<Item = (Cow<'a, str>, Raw<'a>)> {
        let mut walk = Walk::inside(self, Kind::Object);
        std::iter::from_fn(move || {
            let name = walk.next_value()?;
            walk.blank();
            // The colon.
            walk.at += 1;
            Some((name.string(), walk.next_value()?))
        })
    }

    /// The elements of an array; nothing for any other value.
    pub fn elements(self) -> impl Iterator<Item = Raw<'a>> {
        let mut walk = Walk::inside(self, Kind::Array);
        std::iter::from_fn(move || walk.next_value())
    }

    /// The characters of a string, borrowed if it has no escapes.
    pub fn string(self) -> Cow<'a, str> {
        let inner = self.0.get(1..self.0.len().saturating_sub(1)).unwrap_or_default();
        if inner.contains('\\') { Cow::Owned(unescaped(inner)) } else { Cow::Borrowed(inner) }
    }
}

/// `text` with its escapes undone; they were checked.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('\\');
    out.push_str(parts.next().unwrap_or_default());
    let mut high = None;
    while let Some(part) = parts.next() {
        let (escape, rest) = part.split_at_checked(1).unwrap_or_default();
        let mut rest = rest;
        match escape {
            // A backslash that was escaped: the next part begins right after it.
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

/// A place in a text. The methods move it on, or leave it where something is wrong and say what.
struct Walk<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

type Step = Result<(), &'static str>;

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0 }
    }

    /// Just behind the opening bracket of a checked value, or at the end of one that is something else.
    fn inside(value: Raw<'a>, kind: Kind) -> Self {
        let at = if value.kind() == kind { 1 } else { value.0.len() };
        Self { at, ..Self::new(value.0) }
    }

    /// The next value of a checked list, past a comma if there is one; none at the list's end.
    fn next_value(&mut self) -> Option<Raw<'a>> {
        self.blank();
        if self.peek() == Some(b',') {
            self.at += 1;
            self.blank();
        }
        let start = self.at;
        self.value(0).ok()?;
        self.text.get(start..self.at).map(Raw)
    }

    fn document(&mut self) -> Step {
        self.blank();
        if self.peek().is_none() {
            return Err("there is nothing");
        }
        self.value(0)?;
        self.blank();
        if self.peek().is_some() { Err("there is more after the end of the document") } else { Ok(()) }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Step {
        match self.peek() {
            Some(b'{') => self.list(depth + 1, b'}'),
            Some(b'[') => self.list(depth + 1, b']'),
            Some(b'"') => self.quoted(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'N' | b'I') => Err("NaN and Infinity are not JSON"),
            Some(b'\'') => Err("strings need double quotes"),
            Some(_) => Err("there should be a value"),
            None => Err("the text ends where a value should be"),
        }
    }

    /// An array or an object, which differ in their ends and in the names of members.
    fn list(&mut self, depth: usize, end: u8) -> Step {
        if depth > DEPTH_LIMIT {
            return Err("arrays and objects are nested deeper than 64");
        }
        self.at += 1;
        self.blank();
        if self.peek() == Some(end) {
            self.at += 1;
            return Ok(());
        }
        loop {
            if end == b'}' {
                self.name()?;
            }
            self.value(depth)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == end => {
                    self.at += 1;
                    return Ok(());
                }
                Some(_) if end == b'}' => return Err("there should be `,` or `}`"),
                Some(_) => return Err("there should be `,` or `]`"),
                None => return Err("the text ends within an array or object"),
            }
            self.blank();
            if self.peek() == Some(end) {
                return Err("there is a comma before the closing bracket");
            }
        }
    }

    fn name(&mut self) -> Step {
        if self.peek() != Some(b'"') {
            return Err("there should be a name in double quotes");
        }
        self.quoted()?;
        self.blank();
        if self.peek() != Some(b':') {
            return Err("there should be `:`");
        }
        self.at += 1;
        self.blank();
        Ok(())
    }

    fn word(&mut self, word: &str) -> Step {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err("there should be a value")
    }

    fn number(&mut self) -> Step {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err("a number may not begin with 0");
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Step {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err("there should be a digit") } else { Ok(()) }
    }

    fn quoted(&mut self) -> Step {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => return Err("control characters in strings must be escaped"),
                Some(_) => self.at += 1,
                None => return Err("the text ends within a string"),
            }
        }
    }

    fn escape(&mut self) -> Step {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match self.unit(self.at)? {
                0xdc00..0xe000 => Err("this half of a surrogate pair lacks the other"),
                0xd800..0xdc00 => match self.bytes.get(self.at + 6..self.at + 8) {
                    Some(br"\u") if (0xdc00..0xe000).contains(&self.unit(self.at + 6)?) => {
                        self.at += 12;
                        Ok(())
                    }
                    _ => Err("this half of a surrogate pair lacks the other"),
                },
                _ => {
                    self.at += 6;
                    Ok(())
                }
            },
            _ => Err("there is no such escape"),
        }
    }

    /// The number of the escape `\uXXXX` that begins at `at`.
    fn unit(&self, at: usize) -> Result<u32, &'static str> {
        let digits = self.bytes.get(at + 2..at + 6).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or("\\u needs four hexadecimal digits")
    }
}
