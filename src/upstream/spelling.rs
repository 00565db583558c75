//! How the names of a request's fields were spelled, and a head that is spelled so.
//!
//! Names mean the same in any case (RFC 9110 section 5.1). Only the case of letters in names is ever changed, whatever
//! was said and whatever is written.

use std::{ops::Range, sync::Arc};

use http::HeaderMap;
use memchr::memchr;

/// Room for the names of most requests.
const NAMES_BYTES: usize = 256;
/// Between a name and its value.
const BETWEEN: &str = ": ";
const LINE_END: &[u8] = b"\r\n";

/// The names of one request's fields, in the order in which they were said.
#[derive(Debug, Default)]
pub struct Spelling {
    /// Each behind its length.
    names: Vec<u8>,
}

impl Spelling {
    /// The next name that is said.
    pub fn add(&mut self, name: &[u8]) {
        // Longer ones are no names to hyper.
        let Ok(length) = u16::try_from(name.len()) else { return };
        if self.names.is_empty() {
            self.names.reserve(NAMES_BYTES);
        }
        self.names.extend_from_slice(&length.to_ne_bytes());
        self.names.extend_from_slice(name);
    }

    /// Gives back the room for more names.
    pub fn shrink(&mut self) {
        self.names.shrink_to_fit();
    }

    /// Whether it is not the one in which hyper writes: all in lower case.
    #[must_use]
    pub fn matters(&self) -> bool {
        let mut places = Places { names: &self.names, next: 0 };
        places.any(|place| self.names.get(place).is_some_and(|name| name.iter().any(u8::is_ascii_uppercase)))
    }
}

/// A head that is to be written, and how it is to be spelled.
pub(super) struct Head {
    spelling: Arc<Spelling>,
    /// Of each line the bytes of its name, and of all.
    lines: Vec<(usize, usize)>,
}

impl Head {
    /// One with these fields.
    pub(super) fn of(spelling: Arc<Spelling>, fields: &HeaderMap) -> Self {
        let line = |name: usize, value: usize| (name, name + BETWEEN.len() + value + LINE_END.len());
        let lines = fields.iter().map(|(name, value)| line(name.as_str().len(), value.len()));
        Self { spelling, lines: lines.collect() }
    }

    /// The head that these bytes begin with, spelled so; `None` where that is another one, or not whole. Of the lines with
    /// one name the first is spelled as that name was said first, the second as it was said then, and so on. One that was
    /// not said so often stays as it is.
    pub(super) fn spelled(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let first = memchr(b'\n', bytes)? + 1;
        let all: usize = self.lines.iter().map(|(_, line)| line).sum();
        let mut head = bytes.get(..first + all + LINE_END.len())?.to_vec();
        let lower = self.spelling.names.to_ascii_lowercase();
        let mut said = Said::of(&self.spelling.names, &lower);
        let mut rest = head.get_mut(first..)?;
        for (name, line) in &self.lines {
            let (line, after) = rest.split_at_mut_checked(*line)?;
            rest = after;
            if !line.ends_with(LINE_END) || line.get(*name) != Some(&b':') {
                return None;
            }
            let name = line.get_mut(..*name)?;
            if let Some(said) = said.take(name) {
                name.copy_from_slice(said);
            }
        }
        (rest == LINE_END).then_some(head)
    }
}

/// The places of names that stand behind their lengths.
#[derive(Clone)]
struct Places<'s> {
    names: &'s [u8],
    next: usize,
}

impl Iterator for Places<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let length = self.names.get(self.next..)?.first_chunk()?;
        let begin = self.next + length.len();
        self.next = begin + usize::from(u16::from_ne_bytes(*length));
        Some(begin..self.next)
    }
}

/// The names that no line has taken yet. Usually lines come in the order in which their names were said, so that each name
/// is looked at once.
struct Said<'s> {
    names: &'s [u8],
    /// The same in lower case, as lines are written: to compare that costs a fifth of a comparison in any case.
    lower: &'s [u8],
    /// Those that stand before one that was taken.
    passed: Vec<Range<usize>>,
    behind: Places<'s>,
}

impl<'s> Said<'s> {
    fn of(names: &'s [u8], lower: &'s [u8]) -> Self {
        Self { names, lower, passed: Vec::new(), behind: Places { names, next: 0 } }
    }

    /// The first that is this one, as it was said.
    fn take(&mut self, name: &[u8]) -> Option<&'s [u8]> {
        let is_this = |place: &Range<usize>| self.lower.get(place.clone()) == Some(name);
        if let Some(index) = self.passed.iter().position(is_this) {
            return self.names.get(self.passed.remove(index));
        }
        // Where it was not said, nothing is passed.
        let before = self.behind.clone().position(|place| is_this(&place))?;
        self.passed.extend(self.behind.by_ref().take(before));
        self.names.get(self.behind.next()?)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    type Lines = Vec<(String, String)>;

    fn said(names: &[String]) -> Arc<Spelling> {
        let mut spelling = Spelling::default();
        names.iter().for_each(|name| spelling.add(name.as_bytes()));
        Arc::new(spelling)
    }

    fn fields(lines: &Lines) -> HeaderMap {
        let field = |(name, value): &(String, String)| {
            (HeaderName::try_from(name).expect("a name"), HeaderValue::try_from(value).expect("a value"))
        };
        // In the order in which a map gives them: those of one name together.
        let mut fields = HeaderMap::new();
        for (name, value) in lines.iter().map(field) {
            fields.append(name, value);
        }
        fields
    }

    /// A head with these fields: as hyper writes it where none of the names was said. As slowly as can be: each line looks
    /// among all names for the first that is its own and not used.
    fn model(names: &[String], fields: &HeaderMap) -> Vec<u8> {
        let mut unused: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut head = b"GET /a:b HTTP/1.1\r\n".to_vec();
        for (name, value) in fields {
            let place = unused.iter().position(|said| said.to_lowercase() == name.as_str());
            let name = place.map_or(name.as_str(), |place| unused.remove(place));
            head.extend([name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        head
    }

    /// Few letters, so that names are often equal but for their case.
    fn name() -> impl Strategy<Value = String> {
        "[aAbB]{1,3}(-[xX])?"
    }

    fn lines() -> impl Strategy<Value = Lines> {
        proptest::collection::vec((name(), "([aA](b: A|: ?|é)?[aA ]{0,40}[aA])?"), 0..12)
    }

    proptest! {
        #[test]
        fn each_line_is_spelled_as_its_own_saying_of_its_name(
            names in proptest::collection::vec(name(), 0..12),
            lines in lines(),
            body in "(Aa: b\r\n|\r\n){0,4}",
        ) {
            let fields = fields(&lines);
            let expected = Head::of(said(&names), &fields);
            let plain = model(&[], &fields);
            let head = expected.spelled(&[plain.as_slice(), body.as_bytes()].concat()).expect("a whole head");
            prop_assert_eq!(head, model(&names, &fields));
            prop_assert_eq!(expected.spelled(&plain[..plain.len() - 1]), None);
        }

        #[test]
        fn of_another_head_at_most_the_case_of_names_is_changed(
            names in proptest::collection::vec(name(), 0..6),
            expected in lines(),
        ) {
            // As long, line by line, if they come in the same order.
            let others = expected.iter().map(|(name, value)| (name.replace(['a', 'A'], "b"), value.clone()));
            let found = model(&[], &fields(&others.collect()));
            if let Some(head) = Head::of(said(&names), &fields(&expected)).spelled(&found) {
                prop_assert!(head.eq_ignore_ascii_case(&found[..head.len()]));
                for (line, found) in head.split(|byte| *byte == b'\n').zip(found.split(|byte| *byte == b'\n')) {
                    let values = [line, found].map(|line| line.iter().skip_while(|byte| **byte != b':').collect::<Vec<_>>());
                    prop_assert_eq!(&values[0], &values[1]);
                }
            }
        }
    }

    #[test]
    fn names_that_were_taken_off_or_put_in_between_disturb_none() {
        let names = ["HOST", "Connection", "X-a", "x-A", "Dnt"].map(str::to_owned);
        let lines = [("host", "a"), ("via", "me"), ("x-a", "1"), ("x-a", "2"), ("x-a", "3"), ("dnt", "1")];
        let fields = fields(&lines.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec());
        let head = Head::of(said(&names), &fields).spelled(&model(&[], &fields)).expect("a whole head");
        let expected =
            "GET /a:b HTTP/1.1\r\nHOST: a\r\nvia: me\r\nX-a: 1\r\nx-A: 2\r\nx-a: 3\r\nDnt: 1\r\n\r\n";
        assert_eq!(String::from_utf8(head).expect("text"), expected);
    }
}
