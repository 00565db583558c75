//! A place in a JSON text: what is there, into it, or past it.
//!
//! It takes exactly what serde_json's `IgnoredAny` takes, no more and no less; a property test holds them together.
//! That includes bytes that are not UTF-8 in strings: only what is kept is checked, by [`Scan::since`].

mod past;

use std::borrow::Cow;
use std::mem;

use past::Past;

/// A place in a text.
pub(crate) struct Scan<'b> {
    text: &'b [u8],
    rest: &'b [u8],
    /// Directly behind the opening bracket of what was entered.
    entered: bool,
    /// The closing brackets that are due while a value is passed; here for its memory.
    due: Vec<u8>,
}

/// A place that was left and may be come back to.
pub(crate) struct Place<'b> {
    rest: &'b [u8],
    entered: bool,
}

/// The byte of the text at which it stops to be JSON.
#[derive(Debug)]
pub(crate) struct NotJson(pub(crate) usize);

/// A member's name as it is written, without its quotes.
pub(crate) struct Name<'b>(&'b [u8]);

impl<'b> Scan<'b> {
    /// At the beginning of a text, which may begin directly behind the opening bracket of what was entered.
    pub(crate) fn new(text: &'b [u8], entered: bool) -> Self {
        Scan { text, rest: text, entered, due: Vec::new() }
    }

    /// Where it is, to come back to.
    pub(crate) fn place(&self) -> Place<'b> {
        Place { rest: self.rest, entered: self.entered }
    }

    pub(crate) fn go_back(&mut self, place: Place<'b>) {
        (self.rest, self.entered) = (place.rest, place.entered);
    }

    /// Whether it is directly behind the opening bracket of what was entered.
    pub(crate) fn entered(&self) -> bool {
        self.entered
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes of the text lie behind.
    pub(crate) fn offset(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// The first byte of what comes next, blanks left behind.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.rest = past::blanks(self.rest);
        self.rest.first().copied()
    }

    /// Goes past the next value.
    pub(crate) fn skip(&mut self) -> Result<(), NotJson> {
        let past = past::value(self.rest, &mut self.due);
        self.go(past)
    }

    /// Goes into the array or object that was peeked at.
    pub(crate) fn enter(&mut self) {
        self.step();
        self.entered = true;
    }

    /// Goes to the next element of the array that was entered; `false` behind its end.
    pub(crate) fn element(&mut self) -> Result<bool, NotJson> {
        self.next(b']')
    }

    /// Goes to the value of the next member of the object that was entered; `None` behind its end.
    pub(crate) fn member(&mut self) -> Result<Option<Name<'b>>, NotJson> {
        if !self.next(b'}')? {
            return Ok(None);
        }
        self.peek();
        let quoted = self.rest;
        self.go(past::name(quoted))?;
        let length = quoted.len() - self.rest.len();
        self.go(past::colon(self.rest))?;
        Ok(quoted.get(1..length - 1).map(Name))
    }

    /// The text from an earlier place to this one.
    pub(crate) fn since(&self, offset: usize) -> Result<&'b str, NotJson> {
        let text = self.text.get(offset..self.offset()).unwrap_or_default();
        str::from_utf8(text).map_err(|error| NotJson(offset + error.valid_up_to()))
    }

    /// Only blanks may be left.
    pub(crate) fn end(&mut self) -> Result<(), NotJson> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(NotJson(self.offset())),
        }
    }

    /// Goes to what an array or object has next; `false` behind its closing bracket.
    fn next(&mut self, close: u8) -> Result<bool, NotJson> {
        let first = mem::take(&mut self.entered);
        match self.peek() {
            Some(byte) if byte == close => {
                self.step();
                Ok(false)
            }
            _ if first => Ok(true),
            Some(b',') => {
                self.step();
                Ok(true)
            }
            _ => Err(NotJson(self.offset())),
        }
    }

    fn step(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    fn go(&mut self, past: Past<'b>) -> Result<(), NotJson> {
        self.rest = past.map_err(|left| NotJson(self.text.len() - left))?;
        Ok(())
    }
}

impl<'b> Name<'b> {
    /// The name itself, escapes undone; `None` for one that is no text (half a surrogate pair), which no path can name.
    pub(crate) fn text(&self) -> Option<Cow<'b, [u8]>> {
        if self.0.contains(&b'\\') {
            let text: String = serde_json::from_slice(&[b"\"", self.0, b"\""].concat()).ok()?;
            return Some(Cow::Owned(text.into_bytes()));
        }
        Some(Cow::Borrowed(self.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    /// Pieces of which JSON and almost JSON are made; strings of about eight bytes and more.
    const PIECES: [&str; 40] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\\"",
        "\\u00e9",
        "\\ud800",
        "\\u12g4",
        "\\x",
        " ",
        "\n\t\r ",
        "0",
        "-",
        "1",
        "23",
        ".",
        "e",
        "E+",
        "true",
        "false",
        "null",
        "nul",
        "\"a\":",
        "\"\"",
        "\"seven77\"",
        "\"eight888\"",
        "\"nine99999\"",
        "\"sixteen-sixteen-\"",
        "é",
        "[1,2]",
        "{\"b\":[]}",
        "\u{1}",
        "\u{7f}",
        "\u{1f}",
        "-0.5e-3",
        "\"\\\\\"",
    ];

    fn ours(text: &[u8]) -> Result<(), NotJson> {
        let mut scan = Scan::new(text, false);
        scan.skip().and_then(|()| scan.end())
    }

    /// The same, by going into everything.
    fn walked(text: &[u8]) -> Result<(), NotJson> {
        fn value(scan: &mut Scan<'_>) -> Result<(), NotJson> {
            match scan.peek() {
                Some(b'[') => {
                    scan.enter();
                    while scan.element()? {
                        value(scan)?;
                    }
                    Ok(())
                }
                Some(b'{') => {
                    scan.enter();
                    while scan.member()?.is_some() {
                        value(scan)?;
                    }
                    Ok(())
                }
                _ => scan.skip(),
            }
        }
        let mut scan = Scan::new(text, false);
        value(&mut scan).and_then(|()| scan.end())
    }

    fn agree(text: &[u8]) {
        let theirs = serde_json::from_slice::<IgnoredAny>(text);
        let shown = String::from_utf8_lossy(text);
        for ours in [ours(text), walked(text)] {
            assert_eq!(ours.is_ok(), theirs.is_ok(), "{shown:?}: {ours:?}, serde_json: {theirs:?}");
        }
    }

    #[test]
    fn every_byte_is_judged_wherever_it_is_in_a_string() {
        for byte in 0..=u8::MAX {
            for place in 0..20 {
                let mut text = br#"["","abcdefghijklmnopqrst"]"#.to_vec();
                text[5 + place] = byte;
                agree(&text);
            }
        }
    }

    #[test]
    fn it_stops_where_the_text_stops_to_be_json() {
        for (text, offset) in [
            ("", 0),
            ("[1,]", 3),
            ("{\"a\" 1}", 5),
            ("{1}", 1),
            (" nul", 1),
            ("1.x", 2),
            ("\"\\x\"", 1),
            ("[] ]", 3),
        ] {
            assert_eq!(ours(text.as_bytes()).expect_err(text).0, offset, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_takes_what_serde_json_takes(
            pieces in vec(proptest::sample::select(PIECES.as_slice()), 0..12),
            strange in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let mut text = pieces.concat().into_bytes();
            if let Some((place, byte)) = strange {
                text.insert(place.index(text.len() + 1), byte);
            }
            agree(&text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn json_is_passed_and_walked_with_one_byte_changed_or_none(
            value in json(),
            change in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let mut text = value.into_bytes();
            prop_assert!(ours(&text).is_ok() && walked(&text).is_ok());
            if let Some((place, byte)) = change {
                let place = place.index(text.len());
                text[place] = byte;
                agree(&text);
            }
        }
    }

    /// JSON with blanks, escapes and numbers of all kinds.
    fn json() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?",
            "\"([a-zé ]|\\\\[nrt\"/]|\\\\u[0-9a-fA-F]{4}){0,24}\"",
            proptest::sample::select(vec!["null", "true", "false"]).prop_map(str::to_owned),
        ];
        let list = |parts: Vec<String>| parts.join(" ,");
        scalar.prop_recursive(4, 30, 5, move |inner| {
            let member =
                ("[a-z]{0,12}", inner.clone()).prop_map(|(name, value)| format!("\n\"{name}\" :{value}"));
            prop_oneof![
                vec(inner, 0..5).prop_map(move |parts| format!("[{}\t]", list(parts))),
                vec(member, 0..5).prop_map(move |parts| format!("{{ {}}}", list(parts))),
            ]
        })
    }
}
