//! Paths as the configuration names them, and how a request's path is held against them.
//!
//! A path matches in exactly one spelling, give or take the case of ASCII letters, which is how the
//! upstream compares. A percent sign, an empty segment, a dot segment or a `;` never matches: what is
//! not spelled plainly is not understood, and what is not understood is forwarded.

use std::fmt;

/// One segment of a [`PathPattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter(String),
}

/// A path such as `/api/Seller/{id}`: literal segments and named ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    segments: Vec<Segment>,
    /// The pattern ended in `/**`: any further plain segments match, none included.
    open: bool,
}

/// Why a text is not a pattern: the byte at which it goes wrong, and what was allowed there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    /// Offset in bytes from the start of the text.
    pub offset: usize,
    /// In words, without a full stop.
    pub message: String,
}

impl PathPattern {
    /// Reads `/literal/{parameter}`; a final `/**` (only where `open` is allowed, for writes) takes
    /// any rest. Literals are unreserved characters of RFC 3986, so that one spelling exists.
    pub fn parse(text: &str, open_allowed: bool) -> Result<Self, PatternError> {
        let fail = |offset, message: &str| Err(PatternError { offset, message: message.to_owned() });
        let Some(rest) = text.strip_prefix('/') else {
            return fail(0, "a path begins with `/`");
        };
        let mut segments = Vec::new();
        let mut open = false;
        let mut offset = 1;
        for part in rest.split('/') {
            if open {
                return fail(offset, "`**` stands last");
            }
            if part == "**" && open_allowed {
                open = true;
            } else if let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    return fail(offset, "a parameter's name is letters and digits, as in `{id}`");
                }
                let repeated = |segment: &Segment| matches!(segment, Segment::Parameter(n) if n.eq_ignore_ascii_case(name));
                if segments.iter().any(repeated) {
                    return fail(offset, "this parameter stands in the path twice");
                }
                segments.push(Segment::Parameter(name.to_owned()));
            } else if is_plain(part) {
                segments.push(Segment::Literal(part.to_owned()));
            } else if part.is_empty() {
                return fail(offset, "a segment must not be empty (no `//` and no `/` at the end)");
            } else {
                return fail(offset, "a segment is letters, digits and `-_.~`, or one `{parameter}`");
            }
            offset += part.len() + 1;
        }
        Ok(Self { segments, open })
    }

    /// The values of the parameters in order, as the request spelled them; `None` where the path is
    /// another one, or not spelled plainly.
    #[must_use]
    pub fn matches<'p>(&self, path: &'p str) -> Option<Vec<&'p str>> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let mut values = Vec::new();
        for segment in &self.segments {
            let part = parts.next()?;
            match segment {
                Segment::Literal(literal) if literal.eq_ignore_ascii_case(part) => {}
                Segment::Literal(_) => return None,
                Segment::Parameter(_) if is_plain(part) => values.push(part),
                Segment::Parameter(_) => return None,
            }
        }
        let rest_fits = if self.open { parts.all(is_plain) } else { parts.next().is_none() };
        rest_fits.then_some(values)
    }

    /// Whether some path matches both patterns where every parameter stands for a number, as it does in a
    /// route.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let meet = |pair: (&Segment, &Segment)| match pair {
            (Segment::Literal(a), Segment::Literal(b)) => a.eq_ignore_ascii_case(b),
            (Segment::Literal(text), Segment::Parameter(_))
            | (Segment::Parameter(_), Segment::Literal(text)) => is_number(text),
            (Segment::Parameter(_), Segment::Parameter(_)) => true,
        };
        self.segments.len() == other.segments.len() && self.segments.iter().zip(&other.segments).all(meet)
    }

    /// The names of the parameters, in the order of [`PathPattern::matches`].
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Parameter(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }

    /// The path with `values` in the places of the parameters, in order; a missing value leaves the
    /// segment empty.
    #[must_use]
    pub fn fill<'v>(&self, values: impl IntoIterator<Item = &'v str>) -> String {
        let mut values = values.into_iter();
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            path.push_str(match segment {
                Segment::Literal(literal) => literal,
                Segment::Parameter(_) => values.next().unwrap_or_default(),
            });
        }
        path
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => write!(out, "/{literal}")?,
                Segment::Parameter(name) => write!(out, "/{{{name}}}")?,
            }
        }
        if self.open { out.write_str("/**") } else { Ok(()) }
    }
}

/// Whether there is no other spelling of this path that a server might take for it.
#[must_use]
pub fn is_plainly_spelled(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_plain))
}

/// Unreserved characters only (RFC 3986 section 2.3), and no dot segment.
fn is_plain(segment: &str) -> bool {
    !segment.is_empty()
        && segment != "."
        && segment != ".."
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
}

/// A method (or `*`, any) and a path: `PUT /api/Seller/{id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WritePattern {
    /// `None`: any method.
    method: Option<String>,
    path: PathPattern,
}

impl WritePattern {
    /// Reads `METHOD /path` or `* /path`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let fail = |message: &str| Err(PatternError { offset: 0, message: message.to_owned() });
        let Some((method, path)) = text.split_once(' ') else {
            return fail("a write is a method and a path, as in `PUT /api/Order/{id}`");
        };
        let method = match method {
            "*" => None,
            "GET" | "HEAD" | "OPTIONS" | "TRACE" => return fail("this method does not write"),
            "POST" | "PUT" | "PATCH" | "DELETE" => Some(method.to_owned()),
            _ => return fail("a method is POST, PUT, PATCH, DELETE, or `*` for any"),
        };
        let path = PathPattern::parse(path, true)
            .map_err(|error| PatternError { offset: error.offset + text.len() - path.len(), ..error })?;
        Ok(Self { method, path })
    }

    /// Whether the pattern names this request. `path` is the path as the client spelled it.
    #[must_use]
    pub fn matches(&self, method: &str, path: &str) -> bool {
        self.method.as_deref().is_none_or(|mine| mine == method) && self.path.matches(path).is_some()
    }
}

impl fmt::Display for WritePattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.method.as_deref().unwrap_or("*"), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> PathPattern {
        PathPattern::parse(text, true).expect(text)
    }

    #[test]
    fn a_path_matches_in_any_case_and_gives_its_parameters_as_spelled() {
        assert_eq!(path("/api/Seller").matches("/API/seller"), Some(vec![]));
        assert_eq!(path("/api/Seller/{id}").matches("/api/Seller/042"), Some(vec!["042"]));
        assert_eq!(path("/api/Bulk/**").matches("/api/bulk/insert/x"), Some(vec![]));
        assert_eq!(path("/api/Bulk/**").matches("/api/bulk"), Some(vec![]));
    }

    #[test]
    fn two_patterns_meet_where_a_number_fits_both() {
        for (a, b, meet) in [
            ("/api/Seller", "/API/seller", true),
            ("/api/Seller/{id}", "/api/Seller/{number}", true),
            ("/api/Seller/{id}", "/api/Seller/42", true),
            ("/api/Seller/{id}", "/api/Seller/export", false),
            ("/api/Seller/{id}", "/api/Seller", false),
        ] {
            assert_eq!(path(a).meets(&path(b)), meet, "{a} {b}");
        }
    }

    #[test]
    fn an_odd_spelling_never_matches() {
        for odd in [
            "/api/Seller/",
            "//api/Seller",
            "/api//Seller",
            "/api/Seller;x",
            "/api/%53eller",
            "/api/./Seller",
            "api/Seller",
            "/api/Seller/%34",
            "/api/x/../Seller",
            "/api/Seller/..",
            "",
        ] {
            assert_eq!(path("/api/Seller").matches(odd), None, "{odd}");
            assert_eq!(path("/api/Seller/{id}").matches(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_bad_pattern_is_refused_at_its_byte() {
        for (text, offset) in [
            ("api", 0),
            ("/a//b", 3),
            ("/a/", 3),
            ("/a/{}", 3),
            ("/a/{x y}", 3),
            ("/{a}/{A}", 5),
            ("/a/%41", 3),
            ("/**/a", 4),
        ] {
            assert_eq!(PathPattern::parse(text, true).unwrap_err().offset, offset, "{text}");
        }
        assert!(PathPattern::parse("/a/**", false).is_err());
        assert_eq!(WritePattern::parse("PUT /a//b").unwrap_err().offset, 7);
        for text in ["GET /a", "put /a", "/a", "PUT  /a"] {
            assert!(WritePattern::parse(text).is_err(), "{text}");
        }
    }
}
