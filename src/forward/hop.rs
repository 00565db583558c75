//! The fields that end at each hop.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Version, header};

/// Always of one hop only.
static HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    // Of an upgrade to h2c, which ends here.
    HeaderName::from_static("http2-settings"),
];

/// What no `Connection` line can make us drop.
static PROTECTED: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::COOKIE,
    header::SET_COOKIE,
    header::VIA,
    header::CACHE_CONTROL,
];

/// Whether a request asks for a WebSocket (RFC 6455 section 4.1). Any other upgrade ends here.
pub(super) fn wants_websocket<B>(request: &Request<B>) -> bool {
    let mut protocols = request.headers().get_all(header::UPGRADE).iter();
    let websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    request.version() == Version::HTTP_11
        && protocols.next().is_some_and(websocket)
        && protocols.next().is_none()
        && listed(request.headers()).any(|name| name == header::UPGRADE)
}

/// Takes off what was for this proxy alone, and says by `via` that it came this way. `TE: trailers` is said anew where the
/// client said it.
pub(super) fn pass_request(fields: &mut HeaderMap, via: HeaderValue, upgrade: bool) {
    let trailers = fields.get_all(header::TE).iter().any(takes_trailers);
    let protocol = fields.get(header::UPGRADE).cloned().filter(|_| upgrade);
    // This proxy asks for the body itself (RFC 9110 section 10.1.1).
    let is_asked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    let expect = fields.get(header::EXPECT).is_some_and(is_asked).then_some(header::EXPECT);
    pass(fields, via, expect);
    if let Some(protocol) = protocol {
        fields.insert(header::UPGRADE, protocol);
        fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    } else if trailers {
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
        fields.insert(header::CONNECTION, HeaderValue::from_static("TE"));
    }
}

/// Makes one line of the cookies that HTTP/2 sends in several (RFC 9113 section 8.2.3).
pub(super) fn join_cookies(fields: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = fields.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(b"; ".as_slice()))
    {
        fields.insert(header::COOKIE, whole);
    }
}

/// Takes off what was for this proxy alone, and says by `via` that it came this way. Where the body came in chunks, a
/// length beside it is void; a length that was said twice is said once.
pub(super) fn pass_answer(fields: &mut HeaderMap, via: HeaderValue, upgraded: bool) {
    let protocol = fields.get(header::UPGRADE).cloned().filter(|_| upgraded);
    let void = fields.contains_key(header::TRANSFER_ENCODING).then_some(header::CONTENT_LENGTH);
    pass(fields, via, void);
    say_length_once(fields);
    if let Some(protocol) = protocol {
        fields.insert(header::UPGRADE, protocol);
        fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    }
}

/// `5` for `5, 5` and for two lines of `5` (RFC 9110 section 8.6); hyper has refused unequal ones.
fn say_length_once(fields: &mut HeaderMap) {
    let lines = fields.get_all(header::CONTENT_LENGTH).iter();
    let mut lengths = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let first = lengths.next().map(|length| HeaderValue::from_bytes(length.trim_ascii()));
    if let (Some(Ok(first)), Some(_)) = (first, lengths.next()) {
        fields.insert(header::CONTENT_LENGTH, first);
    }
}

/// Removes the hop's own fields and `also`, and adds `Via`. The others keep their order.
fn pass(fields: &mut HeaderMap, via: HeaderValue, also: Option<HeaderName>) {
    let mut named: Vec<HeaderName> = listed(fields).filter(|name| !PROTECTED.contains(name)).collect();
    named.extend(also);
    let ends_here = |name: &HeaderName| HOP_BY_HOP.contains(name) || named.contains(name);
    let mut ending = fields.keys().filter(|name| ends_here(name));
    match (ending.next().cloned(), ending.next()) {
        (None, _) => {}
        // Most messages have one, which is `Connection`. The last field takes the place of one that is removed: let that be
        // our own. That costs half of a new map.
        (Some(only), None) if !fields.contains_key(header::VIA) => {
            fields.insert(header::VIA, via);
            fields.remove(only);
            return;
        }
        _ => keep(fields, |name| !ends_here(name)),
    }
    fields.append(header::VIA, via);
}

/// Whether a field of this name, in any case, is of one hop only whatever `Connection` says.
pub(super) fn ends_here(name: &str) -> bool {
    HOP_BY_HOP.iter().any(|field| name.eq_ignore_ascii_case(field.as_str()))
}

/// The names in all `Connection` lines among these that make us drop a field.
pub(super) fn named<'b>(lines: &[httparse::Header<'b>]) -> Vec<&'b [u8]> {
    let connection =
        |line: &&httparse::Header<'_>| line.name.eq_ignore_ascii_case(header::CONNECTION.as_str());
    let is_protected =
        |name: &&[u8]| PROTECTED.iter().any(|field| name.eq_ignore_ascii_case(field.as_str().as_bytes()));
    let names = lines.iter().filter(connection).flat_map(|line| names(line.value));
    names.filter(|name| !is_protected(name)).collect()
}

/// Keeps these fields in their order, which `HeaderMap::remove` would not.
fn keep(fields: &mut HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) {
    // What this proxy says itself will follow.
    let mut kept = HeaderMap::with_capacity(fields.len() + 2);
    let mut last = None;
    for (name, value) in fields.drain() {
        // Only the first of several fields of one name comes with it.
        last = name.or(last);
        if let Some(name) = last.as_ref().filter(|name| is_kept(name)) {
            kept.append(name.clone(), value);
        }
    }
    *fields = kept;
}

/// The names in all `Connection` lines, but for the two that say nothing of other fields and that most lines are.
fn listed(fields: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let lines = fields.get_all(header::CONNECTION).iter();
    lines.flat_map(|line| names(line.as_bytes())).filter_map(|name| HeaderName::from_bytes(name).ok())
}

/// The names in a `Connection` line, but for those two.
fn names(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive") && !name.eq_ignore_ascii_case(b"close"))
}

fn takes_trailers(value: &HeaderValue) -> bool {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map<'l>(lines: impl IntoIterator<Item = (&'l str, &'l str)>) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::try_from(name).expect("a name");
            fields.append(name, HeaderValue::try_from(value).expect("a value"));
        }
        fields
    }

    const OURS: HeaderValue = HeaderValue::from_static("ours");

    /// What goes on of these, our own field aside.
    fn passed(lines: &[(&str, &str)]) -> Vec<String> {
        let mut fields = map(lines.iter().copied());
        pass_request(&mut fields, OURS, false);
        let others = fields.iter().filter(|(_, value)| **value != OURS);
        let mut names: Vec<_> = others.map(|(name, _)| name.to_string()).collect();
        names.dedup();
        names
    }

    #[test]
    fn all_connection_lines_are_honoured_an_empty_first_one_too() {
        let lines = [
            ("connection", ""),
            ("connection", "X-One , keep-alive"),
            ("connection", "x-two"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
        ];
        assert_eq!(passed(&lines), ["x-three"]);
    }

    #[test]
    fn no_connection_line_drops_what_is_protected() {
        let lines = [
            ("connection", "authorization, content-type, content-length, host, close"),
            ("authorization", "Bearer a"),
            ("content-type", "a/b"),
            ("content-length", "3"),
        ];
        assert_eq!(passed(&lines), ["authorization", "content-type", "content-length"]);
    }

    #[test]
    fn cookies_in_pieces_become_one_line() {
        let mut fields = HeaderMap::new();
        for crumb in ["a=1", "b=2; c=3", "d=4"] {
            fields.append(header::COOKIE, HeaderValue::from_static(crumb));
        }
        join_cookies(&mut fields);
        let lines: Vec<_> = fields.get_all(header::COOKIE).iter().collect();
        assert_eq!(lines, ["a=1; b=2; c=3; d=4"]);
    }

    #[test]
    fn te_is_said_anew_for_trailers_only() {
        assert_eq!(passed(&[("te", "gzip")]), [""; 0]);
        assert_eq!(passed(&[("te", "gzip, Trailers")]), ["te", "connection"]);
    }

    #[test]
    fn what_stays_keeps_its_order() {
        let lines = [("a", "1"), ("connection", "b"), ("b", "2"), ("c", "3"), ("a", "4"), ("d", "5")];
        assert_eq!(passed(&lines), ["a", "c", "d"]);
        assert_eq!(passed(&[("a", "1"), ("connection", "close"), ("b", "2"), ("c", "3")]), ["a", "b", "c"]);
    }

    proptest! {
        #[test]
        fn all_that_stays_stays_as_it_was(
            lines in proptest::collection::vec(("a|b|c|via|connection|te|keep-alive", "a|b|close|c, te"), 0..8),
        ) {
            let lines = || lines.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let listed: Vec<_> = lines()
                .filter(|(name, _)| *name == "connection")
                .flat_map(|(_, value)| value.split(", "))
                .chain(["connection", "te", "keep-alive"])
                .collect();
            let expected = map(lines().filter(|(name, _)| !listed.contains(name)));
            let mut fields = map(lines());
            pass_request(&mut fields, OURS, false);
            prop_assert_eq!(fields.get_all(header::VIA).iter().next_back(), Some(&OURS));
            let others = fields.iter().filter(|(_, value)| **value != OURS);
            prop_assert_eq!(others.collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn only_the_expectation_that_is_met_here_ends_here() {
        assert_eq!(passed(&[("expect", "100-Continue")]), [""; 0]);
        assert_eq!(passed(&[("expect", "a-miracle")]), ["expect"]);
    }
}
