//! A JSONPath as RFC 9535 has it, read once from the configuration.
//!
//! The text is parsed here and not by jsonpath-rust: its grammar takes more than the RFC (names with blanks, operators
//! of its own), and a person who mistypes a path deserves the byte and the reason. What comes out are jsonpath-rust's
//! own types, so that it can run what cannot be streamed. Refused although the RFC allows them: long paths, deep
//! nesting, a second `..` (its results multiply) and a filter directly on `@` (jsonpath-rust answers it wrongly).

mod filter;
mod parse;

use jsonpath_rust::parser::model::{JpQuery, Segment, Selector};
use parse::Parser;

/// The longest text of a path, in bytes.
pub const MAX_LENGTH: usize = 1024;
/// The most segments of a path; each may be one level of recursion while a body is read.
pub const MAX_SEGMENTS: usize = 32;
/// How deep brackets, parentheses and function calls may nest.
pub const MAX_NESTING: usize = 16;

/// A parsed RFC 9535 path with its source text.
#[derive(Clone, Debug)]
pub struct Path {
    text: String,
    steps: Vec<Step>,
    rest: Option<JpQuery>,
    singular: bool,
}

/// One step of the part of a path that can be followed while a body is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Element(usize),
}

/// Why a text is not a path, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PathError {
    /// The byte of the text at which it goes wrong; at most the length of the text, and on a character's boundary.
    pub offset: usize,
    /// What was wrong and what was allowed, in words; no full stop.
    pub message: String,
}

impl Path {
    /// Reads a path; what RFC 9535 does not allow is an error.
    pub fn parse(text: &str) -> Result<Path, PathError> {
        let parsed = Parser::new(text).path()?;
        let singular = parsed.segments.iter().all(is_singular);
        // A filter that looks at `$` needs the whole item, not the subtree before it.
        let streamed = if parsed.filter_uses_root {
            0
        } else {
            parsed.segments.iter().take_while(|segment| step(segment).is_some()).count()
        };
        let steps = parsed.segments.iter().take(streamed).filter_map(step).collect();
        let rest: Vec<Segment> = parsed.segments.into_iter().skip(streamed).collect();
        let rest = (!rest.is_empty()).then(|| JpQuery::new(rest));
        Ok(Path { text: text.to_owned(), steps, rest, singular })
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the path can match one value at most (RFC 9535, 2.3.5.1: names and indexes only).
    pub fn is_singular(&self) -> bool {
        self.singular
    }

    /// The longest part that can be followed while a body is parsed: names and indexes from the front.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What is left for jsonpath-rust, to be run on the value at [`Path::steps`].
    pub(super) fn rest(&self) -> Option<&JpQuery> {
        self.rest.as_ref()
    }

    /// The steps to an array if the path is that of its elements: steps and then `[*]`.
    pub(super) fn steps_to_elements(&self) -> Option<&[Step]> {
        let [Segment::Selector(Selector::Wildcard)] = self.rest.as_ref()?.segments.as_slice() else {
            return None;
        };
        Some(&self.steps)
    }
}

pub(super) fn is_singular(segment: &Segment) -> bool {
    matches!(segment, Segment::Selector(Selector::Name(_) | Selector::Index(_)))
}

/// `None` for what cannot be streamed; that includes an index from the end.
fn step(segment: &Segment) -> Option<Step> {
    match segment {
        Segment::Selector(Selector::Name(name)) => Some(Step::Name(name.clone())),
        Segment::Selector(Selector::Index(index)) => usize::try_from(*index).ok().map(Step::Element),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonpath_rust::parser::parse_json_path;

    fn refusal(text: &str) -> (usize, String) {
        let error = Path::parse(text).expect_err(text);
        (error.offset, error.message)
    }

    #[test]
    fn what_is_accepted_means_what_jsonpath_rust_reads() {
        let paths = [
            "$",
            "$.a",
            "$.a.b[0]['c'][\"d\"]",
            "$ .a ['b']\n[0]",
            "$[ 'a' , 1 , * , 1:2 ]",
            "$.naïve_9",
            r#"$['it\'s', "\"q\"", '\u00e9\uD834\uDD1E\/\\\b\f\n\r\t']"#,
            "$[-1]",
            "$[::]",
            "$[1:-2:3]",
            "$[ : 5 : ]",
            "$.*",
            "$..a",
            "$..*",
            "$..[0]",
            "$.a[?@.b]",
            "$[?!@.b]",
            "$[?@.a == 'x' && @.b < 1.5e1 || @['c'][0] >= -0]",
            "$[?(@.a || !(@.b != null)) && true == @.c]",
            "$[?length(@.a) > 3 && count(@.b[*]) <= 2]",
            "$[?match(@.a, 'x.*') || !search(@.a, $.b)]",
            "$[? value( @.a[?@.z] ) == length('abc')]",
            "$.a[?@.id == $.id].title",
        ];
        for text in paths {
            let ours = Parser::new(text).path().unwrap_or_else(|error| panic!("{text}: {error:?}"));
            let theirs = parse_json_path(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(ours.segments, theirs.segments, "{text}");
        }
    }

    #[test]
    fn what_jsonpath_rust_takes_and_the_rfc_does_not_is_refused_at_its_byte() {
        let paths = [
            ("$.a b", 3),
            ("$.a ", 3),
            (" $.a", 0),
            ("$. a", 2),
            ("$.a[?@.b in ['x']]", 9),
            ("$.a[?@.b nin ['x']]", 9),
            ("$[?subset_of(@.a, @.b)]", 3),
            ("$[?count(@.a)]", 3),
            ("$[?length(@.a[*]) == 1]", 10),
            ("$[?@[ 'a' ] == 1]", 3),
            ("$[?length (@.a) == 1]", 9),
        ];
        for (text, offset) in paths {
            assert_eq!(refusal(text).0, offset, "{text}: {}", refusal(text).1);
        }
    }

    #[test]
    fn mistakes_are_refused_where_they_are() {
        let paths = [
            ("", 0),
            ("a", 0),
            ("@.a", 0),
            ("$a", 1),
            ("$.", 2),
            ("$.a.", 4),
            ("$.a-b", 3),
            ("$.1", 2),
            ("$...a", 3),
            ("$[", 2),
            ("$[]", 2),
            ("$[a]", 2),
            ("$['a]", 2),
            ("$['a'", 5),
            ("$['a' 'b']", 6),
            (r"$['\q']", 3),
            (r"$['\ud800']", 3),
            (r"$['\u12']", 3),
            ("$['a\nb']", 4),
            (r#"$['\"']"#, 3),
            ("$[01]", 2),
            ("$[-0]", 2),
            ("$[-]", 2),
            ("$[9007199254740992]", 2),
            ("$[1:2:3:4]", 7),
            ("$[?]", 3),
            ("$[?@.a=1]", 6),
            ("$[?@.a==]", 8),
            ("$[?@.a & @.b]", 7),
            ("$[?(@.a]", 7),
            ("$[?1]", 3),
            ("$[?!@.a==1]", 7),
            ("$[?@.a==@.b[*]]", 8),
            ("$[?@.a=='x' == 'y']", 12),
            ("$[?match(@.a,'x')==true]", 3),
            ("$[?match(@.a)]", 12),
            ("$[?count('a')==1]", 9),
            ("$[?@.a==1e999]", 8),
            ("$[?@[?@.b]]", 4),
            ("$[?@..[?@.b]]", 4),
            ("$..a..b", 4),
            ("$..a[?@..b]", 7),
        ];
        for (text, offset) in paths {
            let (at, message) = refusal(text);
            assert_eq!(at, offset, "{text}: {message}");
            assert!(!message.ends_with('.') && !message.is_empty(), "{text}: {message}");
        }
    }

    #[test]
    fn messages_say_what_was_found_and_what_is_allowed() {
        assert_eq!(refusal("$.").1, "the path ends here: expected a name or '*' after '.'");
        assert_eq!(
            refusal("$[a]").1,
            "found 'a': expected a quoted name, an index, '*', ':' or '?' in the brackets"
        );
        assert_eq!(
            refusal("$.a b").1,
            "found a blank: a name with other signs than letters, digits and '_' is quoted, as in $['a b']"
        );
        assert_eq!(
            refusal("$[?@.a nin 'x']").1,
            "found 'n': expected a comparison (==, !=, <, <=, >, >=), '&&', '||' or the end of the filter"
        );
        assert_eq!(
            refusal("$[?in(@.a)]").1,
            "there is no function in(): there are length, count, value, match and search"
        );
    }

    #[test]
    fn size_is_capped() {
        let name = "a".repeat(MAX_LENGTH - 2);
        assert!(Path::parse(&format!("$.{name}")).is_ok());
        assert_eq!(refusal(&format!("$.{name}a")).0, MAX_LENGTH);
        assert_eq!(refusal(&format!("$.é{name}")).0, MAX_LENGTH);
        assert_eq!(refusal(&format!("$.{}é", "a".repeat(MAX_LENGTH - 3))).0, MAX_LENGTH - 1);

        assert!(Path::parse(&format!("${}", "[0]".repeat(MAX_SEGMENTS))).is_ok());
        assert_eq!(refusal(&format!("${}", "[0]".repeat(MAX_SEGMENTS + 1))).0, 1 + 3 * MAX_SEGMENTS);

        let nested = |levels: usize| format!("$[?{}@.a{}]", "(".repeat(levels), ")".repeat(levels));
        assert!(Path::parse(&nested(MAX_NESTING - 1)).is_ok());
        assert_eq!(refusal(&nested(MAX_NESTING)).0, 3 + MAX_NESTING - 1);
    }

    #[test]
    fn the_streamed_part_is_the_longest_that_is_names_and_indexes() {
        let streamed = |text: &str| {
            let path = Path::parse(text).expect(text);
            (path.steps().len(), path.rest().is_some(), path.is_singular())
        };
        assert_eq!(streamed("$"), (0, false, true));
        assert_eq!(streamed("$.a[0].b"), (3, false, true));
        assert_eq!(streamed("$.a[-1].b"), (1, true, true));
        assert_eq!(streamed("$.a.b[*].c"), (2, true, false));
        assert_eq!(streamed("$.a[?@.b == 1]"), (1, true, false));
        assert_eq!(streamed("$.a[?@.b == $.b]"), (0, true, false));
    }
}
