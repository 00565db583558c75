//! The grammar of RFC 9535 by recursive descent: segments and selectors; filters are in `filter.rs`.

use jsonpath_rust::parser::model::{Segment, Selector};

use super::{MAX_LENGTH, MAX_NESTING, MAX_SEGMENTS, PathError};

/// The greatest integer of I-JSON, the bound of the RFC for indexes.
const GREATEST_INDEX: i64 = 9_007_199_254_740_991;

pub(super) struct Parser<'t> {
    pub(super) text: &'t str,
    /// The byte that comes next; always on a character's boundary.
    pub(super) at: usize,
    nesting: usize,
    descended: bool,
    pub(super) filter_uses_root: bool,
    /// Set by blanks inside brackets: the RFC allows none in a path that is compared.
    pub(super) padded: bool,
}

pub(super) struct Parsed {
    pub(super) segments: Vec<Segment>,
    /// A filter somewhere in the path looks at `$`.
    pub(super) filter_uses_root: bool,
}

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Parser { text, at: 0, nesting: 0, descended: false, filter_uses_root: false, padded: false }
    }

    /// The whole text as one path.
    pub(super) fn path(mut self) -> Result<Parsed, PathError> {
        if self.text.len() > MAX_LENGTH {
            let end = self.text.floor_char_boundary(MAX_LENGTH);
            return Err(fail(end, format!("the path is longer than {MAX_LENGTH} bytes")));
        }
        if !self.eat("$") {
            return Err(self.unexpected("a path begins with '$'"));
        }
        let segments = self.segments()?;
        match self.peek() {
            None => Ok(Parsed { segments, filter_uses_root: self.filter_uses_root }),
            Some(_) if self.rest().trim().is_empty() => {
                Err(fail(self.at, "blanks after the end of the path"))
            }
            Some(_) if matches!(segments.last(), Some(Segment::Selector(Selector::Name(_)))) => Err(self
                .unexpected(
                    "a name with other signs than letters, digits and '_' is quoted, as in $['a b']",
                )),
            Some(_) => Err(self.unexpected("expected '.', '[' or the end of the path")),
        }
    }

    /// As many segments as follow; blanks before one belong to it, blanks after the last are not touched.
    pub(super) fn segments(&mut self) -> Result<Vec<Segment>, PathError> {
        let mut segments = Vec::new();
        loop {
            let end = self.at;
            self.blanks();
            if !matches!(self.peek(), Some('.' | '[')) {
                self.at = end;
                return Ok(segments);
            }
            if segments.len() == MAX_SEGMENTS {
                return Err(fail(self.at, format!("the path has more than {MAX_SEGMENTS} segments")));
            }
            segments.push(self.segment()?);
        }
    }

    fn segment(&mut self) -> Result<Segment, PathError> {
        let start = self.at;
        if self.eat("..") {
            if self.descended {
                return Err(fail(start, "only one '..' is allowed in a path"));
            }
            self.descended = true;
            let found = match self.peek() {
                Some('[') => self.bracketed()?,
                _ => self.shorthand("expected a name, '*' or '[' after '..'")?,
            };
            return Ok(Segment::Descendant(Box::new(found)));
        }
        if self.eat(".") {
            return self.shorthand("expected a name or '*' after '.'");
        }
        self.bracketed()
    }

    fn shorthand(&mut self, allowed: &str) -> Result<Segment, PathError> {
        if self.eat("*") {
            return Ok(Segment::Selector(Selector::Wildcard));
        }
        let first = |sign: char| sign.is_ascii_alphabetic() || sign == '_' || !sign.is_ascii();
        if !self.peek().is_some_and(first) {
            return Err(self.unexpected(allowed));
        }
        let name = self.take_while(|sign| first(sign) || sign.is_ascii_digit());
        Ok(Segment::name(name))
    }

    fn bracketed(&mut self) -> Result<Segment, PathError> {
        self.nested(|parser| {
            parser.eat("[");
            let mut selectors = Vec::new();
            loop {
                parser.padding();
                selectors.push(parser.selector()?);
                parser.padding();
                if parser.eat("]") {
                    break;
                }
                if !parser.eat(",") {
                    return Err(parser.unexpected("expected ',' or ']'"));
                }
            }
            match <[Selector; 1]>::try_from(selectors) {
                Ok([selector]) => Ok(Segment::Selector(selector)),
                Err(selectors) => Ok(Segment::Selectors(selectors)),
            }
        })
    }

    fn selector(&mut self) -> Result<Selector, PathError> {
        match self.peek() {
            Some('\'' | '"') => self.string().map(Selector::Name),
            Some('*') => {
                self.eat("*");
                Ok(Selector::Wildcard)
            }
            Some('?') => {
                self.eat("?");
                self.blanks();
                self.any_of().map(Selector::Filter)
            }
            Some(':' | '-' | '0'..='9') => self.index_or_slice(),
            _ => Err(self.unexpected("expected a quoted name, an index, '*', ':' or '?' in the brackets")),
        }
    }

    fn index_or_slice(&mut self) -> Result<Selector, PathError> {
        let start = self.bound()?;
        let end_of_index = self.at;
        self.padding();
        if !self.eat(":") {
            self.at = end_of_index;
            return match start {
                Some(index) => Ok(Selector::Index(index)),
                None => Err(self.unexpected("expected an index")),
            };
        }
        self.padding();
        let end = self.bound()?;
        self.padding();
        let step = if self.eat(":") {
            self.padding();
            self.bound()?
        } else {
            None
        };
        Ok(Selector::Slice(start, end, step))
    }

    /// An integer, if one follows.
    fn bound(&mut self) -> Result<Option<i64>, PathError> {
        if !matches!(self.peek(), Some('-' | '0'..='9')) {
            return Ok(None);
        }
        let start = self.at;
        self.integer()?;
        let text = self.text.get(start..self.at).unwrap_or_default();
        if text == "-0" {
            return Err(fail(start, "-0 is not an index"));
        }
        match text.parse::<i64>() {
            Ok(index) if (-GREATEST_INDEX..=GREATEST_INDEX).contains(&index) => Ok(Some(index)),
            _ => Err(fail(start, format!("an index is between -{GREATEST_INDEX} and {GREATEST_INDEX}"))),
        }
    }

    /// Passes over `0`, `-0` or digits that do not begin with 0.
    pub(super) fn integer(&mut self) -> Result<(), PathError> {
        let start = self.at;
        self.eat("-");
        let digits = self.take_while(|sign| sign.is_ascii_digit());
        if digits.is_empty() {
            return Err(fail(start, "a '-' without digits"));
        }
        if digits.len() > 1 && digits.starts_with('0') {
            return Err(fail(start, "a number does not begin with 0"));
        }
        Ok(())
    }

    /// A string in either kind of quotes, with its escapes undone.
    pub(super) fn string(&mut self) -> Result<String, PathError> {
        let open = self.at;
        let quote = self.next().unwrap_or('\'');
        let mut string = String::new();
        loop {
            let start = self.at;
            match self.next() {
                None => return Err(fail(open, "this quote is not closed")),
                Some(sign) if sign == quote => return Ok(string),
                Some('\\') => string.push(self.escape(start, quote)?),
                Some(sign) if sign < ' ' => {
                    return Err(fail(
                        start,
                        "a control character is written as an escape, as in \\n or \\u000a",
                    ));
                }
                Some(sign) => string.push(sign),
            }
        }
    }

    /// What the escape that began at `start` stands for; the backslash has been read.
    fn escape(&mut self, start: usize, quote: char) -> Result<char, PathError> {
        match self.next() {
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('u') => self.unicode().ok_or_else(|| {
                fail(
                    start,
                    "\\u takes four hexadecimal digits that are a character, or two of them that are a pair",
                )
            }),
            Some(sign @ ('/' | '\\')) => Ok(sign),
            Some(sign) if sign == quote => Ok(sign),
            _ => Err(fail(
                start,
                format!("after '\\' only b, f, n, r, t, u, '/', '\\' and {quote} are allowed"),
            )),
        }
    }

    fn unicode(&mut self) -> Option<char> {
        let first = self.four_digits()?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first);
        }
        if !self.eat("\\u") {
            return None;
        }
        let second = self.four_digits()?.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
        char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + second)
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits =
            self.rest().get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    /// Runs `inner` one level deeper; every recursion of the parser goes through here.
    pub(super) fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, PathError>,
    ) -> Result<T, PathError> {
        if self.nesting == MAX_NESTING {
            return Err(fail(self.at, format!("nested more than {MAX_NESTING} deep")));
        }
        self.nesting += 1;
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    fn padding(&mut self) {
        let start = self.at;
        self.blanks();
        self.padded |= self.at > start;
    }

    pub(super) fn blanks(&mut self) {
        self.take_while(|sign| matches!(sign, ' ' | '\t' | '\n' | '\r'));
    }

    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let length = rest.find(|sign| !wanted(sign)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    pub(super) fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let sign = self.peek()?;
        self.at += sign.len_utf8();
        Some(sign)
    }

    pub(super) fn eat(&mut self, wanted: &str) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len();
        }
        found
    }

    /// The error for what comes next: what it is, and what was allowed.
    pub(super) fn unexpected(&self, allowed: &str) -> PathError {
        let found = match self.peek() {
            None => "the path ends here".to_owned(),
            Some(' ' | '\t' | '\n' | '\r') => "found a blank".to_owned(),
            Some(sign) => format!("found '{}'", sign.escape_debug()),
        };
        fail(self.at, format!("{found}: {allowed}"))
    }
}

pub(super) fn fail(offset: usize, message: impl Into<String>) -> PathError {
    PathError { offset, message: message.into() }
}
