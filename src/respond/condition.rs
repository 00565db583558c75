//! Whether a request has what it asks for already (RFC 9110 section 13.1.2).

use http::{HeaderMap, HeaderValue, header};

/// Whether `If-None-Match` names this tag, by the weak comparison, or is `*`. A field that does not read
/// names none: the answer is then sent whole, which is always right.
pub(super) fn has(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let mut lines = request.get_all(header::IF_NONE_MATCH).iter().peekable();
    if lines.peek().is_none() {
        return false;
    }
    lines.any(|line| names(line.as_bytes(), etag.as_bytes()))
}

/// One line: tags may hold commas, so quotes are counted.
fn names(mut line: &[u8], etag: &[u8]) -> bool {
    if line.trim_ascii() == b"*" {
        return true;
    }
    loop {
        line = line.trim_ascii_start();
        if let Some(rest) = line.strip_prefix(b",") {
            line = rest;
            continue;
        }
        line = line.strip_prefix(b"W/").unwrap_or(line);
        let Some(inner) = line.strip_prefix(b"\"") else { return false };
        let Some(end) = inner.iter().position(|byte| *byte == b'"') else { return false };
        let (tag, rest) = line.split_at(end + 2);
        if tag == etag {
            return true;
        }
        line = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(lines: &[&str]) -> bool {
        let request = lines.iter().map(|line| (header::IF_NONE_MATCH, line.parse().unwrap())).collect();
        has(&request, &HeaderValue::from_static("\"abc-br\""))
    }

    #[test]
    fn a_tag_is_found_in_lists_and_lines_weak_or_not() {
        for lines in [
            &["*"][..],
            &[" * "],
            &["\"abc-br\""],
            &["W/\"abc-br\""],
            &["\"x\", \"abc-br\""],
            &["\"x\",,W/\"abc-br\",\"y\""],
            &["\"a,b\" , \"abc-br\""],
            &["\"x\"", "\"abc-br\""],
            &["nonsense", "\"abc-br\""],
        ] {
            assert!(matches(lines), "{lines:?}");
        }
        for lines in [
            &[][..],
            &[""],
            &["abc-br"],
            &["\"abc\""],
            &["\"abc-br"],
            &["w/\"abc-br\""],
            &["W/ \"abc-br\""],
            &["\"x,\"abc-br\"\""],
            &["\"ABC-BR\""],
        ] {
            assert!(!matches(lines), "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_a_panic_and_to_its_end(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = names(&line, b"\"abc\"");
        }
    }
}
