//! Hostile requests of HTTP/2: what HTTP/1.1 could not even say, and what it would say otherwise.

use std::collections::BTreeSet;

use super::{
    frames::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, SETTINGS, Second,
        WINDOW_UPDATE, block, frame, head,
    },
    recording::Recording,
};
use crate::support::{Door, Setup};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is answered with this status, and nothing arrives.
    Refused(u16),
    /// Its stream or its connection is reset, and nothing arrives.
    Reset,
    /// It arrives.
    Passed,
}
use Fate::{Passed, Refused, Reset};

type Fields<'f> = Vec<(&'f str, &'f str)>;

/// A request with these pseudo-fields in place of the usual ones of the same name, and these fields behind.
fn request<'f>(pseudo: &[(&'f str, &'f str)], fields: &[(&'f str, &'f str)]) -> Fields<'f> {
    let usual = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/case")];
    let mut all: Fields<'f> = usual
        .iter()
        .map(|(name, value)| *pseudo.iter().find(|(other, _)| other == name).unwrap_or(&(*name, *value)))
        .filter(|(_, value)| *value != "ABSENT")
        .collect();
    all.extend(pseudo.iter().filter(|(name, _)| !usual.iter().any(|(known, _)| known == name)));
    all.extend(fields);
    all
}

struct Case {
    name: String,
    bytes: Vec<u8>,
    fate: Fate,
}

fn case(name: impl Into<String>, bytes: Vec<u8>, fate: Fate) -> Case {
    Case { name: name.into(), bytes, fate }
}

fn pseudo_fields() -> Vec<Case> {
    let list: Vec<(&[(&str, &str)], Fate)> = vec![
        (&[(":method", "CONNECT")], Reset),
        (&[(":method", "CONNECT"), (":path", "ABSENT"), (":scheme", "ABSENT")], Refused(405)),
        (&[(":method", "CONNECT"), (":protocol", "websocket")], Reset),
        (&[(":method", "TRACE")], Refused(405)),
        (&[(":method", "ABSENT")], Reset),
        (&[(":method", "")], Reset),
        (&[(":method", "GET / HTTP/1.1\r\nX: y\r\n\r\n")], Reset),
        (&[(":method", "G ET")], Reset),
        (&[(":path", "ABSENT")], Reset),
        (&[(":path", "")], Reset),
        (&[(":path", "case")], Reset),
        (&[(":path", "*")], Refused(400)),
        (&[(":path", "/a b")], Reset),
        (&[(":path", "/case HTTP/1.1\r\nX: y\r\n\r\nGET /smuggled HTTP/1.1")], Reset),
        (&[(":path", "/\0")], Reset),
        (&[(":path", "http://b/case")], Reset),
        (&[(":scheme", "ABSENT")], Reset),
        // A scheme has no meaning here, whatever it says.
        (&[(":scheme", "")], Passed),
        (&[(":scheme", "http://b/x?")], Reset),
        (&[(":authority", "ABSENT")], Refused(400)),
        (&[(":authority", "")], Reset),
        (&[(":authority", "u@a")], Refused(400)),
        (&[(":authority", "a/b")], Reset),
        (&[(":authority", "a\r\nX: y")], Reset),
        (&[(":authority", "a:99999")], Refused(400)),
        (&[(":unknown", "x")], Reset),
        (&[(":status", "200")], Reset),
        (&[(":path", "//evil.example/case")], Passed),
        (&[(":path", "/../case")], Passed),
        (&[(":scheme", "https")], Passed),
        (&[(":method", "OPTIONS"), (":path", "*")], Passed),
        (&[], Passed),
    ];
    let of = |(pseudo, fate): (&[(&str, &str)], Fate)| {
        case(format!("{pseudo:?}"), head(1, END_STREAM, &request(pseudo, &[])), fate)
    };
    list.into_iter().map(of).collect()
}

fn fields() -> Vec<Case> {
    let many: Fields<'_> = (0..2_000).map(|_| ("x-one", "1")).collect();
    let large = "x".repeat(15_000);
    let larger: Fields<'_> = vec![("x-a", &large), ("x-b", &large), ("x-c", &large)];
    let list: Vec<(Fields<'_>, Fate)> = vec![
        (vec![("connection", "close")], Reset),
        (vec![("transfer-encoding", "chunked")], Reset),
        (vec![("upgrade", "h2c")], Reset),
        (vec![("keep-alive", "timeout=5")], Reset),
        (vec![("proxy-connection", "keep-alive")], Reset),
        (vec![("te", "gzip")], Reset),
        (vec![("X-Upper", "1")], Reset),
        (vec![("x one", "1")], Reset),
        (vec![("x-one\r\nx-two", "1")], Reset),
        (vec![("x-one:", "1")], Reset),
        (vec![("", "1")], Reset),
        (vec![("x-one", "1\r\nX-Two: 2")], Reset),
        (vec![("x-one", "1\n")], Reset),
        (vec![("x-one", "\0")], Reset),
        (vec![("x-one", "1"), (":path", "/late")], Reset),
        (vec![("host", "b")], Refused(400)),
        (vec![("host", "a"), ("host", "a")], Refused(400)),
        (vec![("host", "a/b")], Refused(400)),
        (vec![("content-length", "1")], Reset),
        (vec![("content-length", "+0")], Reset),
        (vec![("content-length", "0"), ("content-length", "1")], Reset),
        (larger, Refused(431)),
        (many, Refused(431)),
        (vec![("te", "trailers")], Passed),
        (vec![("host", "a")], Passed),
        (vec![("http2-settings", "AAMAAABk")], Passed),
        (vec![("cookie", "a=1"), ("cookie", "b=2")], Passed),
        (vec![("content-length", "0")], Passed),
        (vec![("x-one", "")], Passed),
    ];
    let of = |(fields, fate): (Fields<'_>, Fate)| {
        let bytes = block(&request(&[], &fields));
        let name = format!("{:?}", fields.first());
        case(name, in_pieces(1, END_STREAM, &bytes), fate)
    };
    list.into_iter().map(of).collect()
}

/// A head in as many frames as it needs.
fn in_pieces(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    let pieces: Vec<&[u8]> = block.chunks(16_000).collect();
    let of = |(at, piece): (usize, &&[u8])| {
        let last = if at + 1 == pieces.len() { END_HEADERS } else { 0 };
        let kind = if at == 0 { HEADERS } else { CONTINUATION };
        frame(kind, if at == 0 { flags | last } else { last }, stream, piece)
    };
    pieces.iter().enumerate().flat_map(of).collect()
}

fn bodies() -> Vec<Case> {
    let post = |fields: &[(&'static str, &'static str)]| head(1, 0, &request(&[(":method", "POST")], fields));
    let data = |flags: u8, bytes: &[u8]| frame(DATA, flags, 1, bytes);
    let trailers = |fields: &[(&str, &str)]| head(1, END_STREAM, fields);
    let length = ("content-length", "3");
    vec![
        case("a body of its length", [post(&[length]), data(END_STREAM, b"abc")].concat(), Passed),
        case("a body without a length", [post(&[]), data(END_STREAM, b"abc")].concat(), Passed),
        case(
            "a body that is a request",
            [post(&[]), data(END_STREAM, b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")].concat(),
            Passed,
        ),
        case("trailers", [post(&[]), data(0, b"abc"), trailers(&[("x-late", "1")])].concat(), Passed),
        case(
            "trailers that would frame or admit",
            [
                post(&[("te", "trailers"), ("trailer", "content-length, authorization, host")]),
                data(0, b"abc"),
                trailers(&[("authorization", "Bearer b"), ("host", "b")]),
            ]
            .concat(),
            Passed,
        ),
    ]
}

/// What has no right to be there. Whether the request that is there in part arrives as an unfinished one or not at
/// all, it never arrives whole.
fn broken() -> Vec<Case> {
    let post = |fields: &[(&'static str, &'static str)]| head(1, 0, &request(&[(":method", "POST")], fields));
    let get = || head(1, END_STREAM, &request(&[], &[]));
    let (short, long) = (("content-length", "9"), ("content-length", "2"));
    let data = |flags: u8, bytes: &[u8]| frame(DATA, flags, 1, bytes);
    vec![
        case("less than its length", [post(&[short]), data(END_STREAM, b"abc")].concat(), Reset),
        case("more than its length", [post(&[long]), data(END_STREAM, b"abc")].concat(), Reset),
        case("a body before its head", data(END_STREAM, b"abc"), Reset),
        case("a head on stream 0", head(0, END_STREAM, &request(&[], &[])), Reset),
        case("a head on an even stream", head(2, END_STREAM, &request(&[], &[])), Reset),
        case("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, b""), Reset),
        case(
            "a head that another frame breaks off",
            {
                let start = frame(HEADERS, END_STREAM, 1, &block(&request(&[], &[])));
                [start, frame(PING, 0, 0, &[0; 8])].concat()
            },
            Reset,
        ),
        case("a head that is no HPACK", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 40]), Reset),
        case(
            "a table larger than allowed",
            {
                let mut bytes = vec![0x3f, 0xe1, 0xff, 0xff, 0x07];
                bytes.extend(block(&request(&[], &[])));
                frame(HEADERS, END_HEADERS | END_STREAM, 1, &bytes)
            },
            Reset,
        ),
        case(
            "a padding longer than its frame",
            frame(HEADERS, END_HEADERS | END_STREAM | 8, 1, &[200, 0, 0]),
            Reset,
        ),
        case("a frame above the largest", frame(DATA, 0, 1, &vec![0; 20_000]), Reset),
        case("a window of nothing", [frame(WINDOW_UPDATE, 0, 0, &[0; 4])].concat(), Reset),
        case(
            "a window above the largest",
            [frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), get()].concat(),
            Reset,
        ),
        case("settings of an odd length", frame(SETTINGS, 0, 0, &[0; 5]), Reset),
        case("settings that are acknowledged and said", frame(SETTINGS, ACK, 0, &[0; 6]), Reset),
        case("a ping of an odd length", frame(PING, 0, 0, &[0; 7]), Reset),
        case("a promise by a client", frame(5, END_HEADERS, 1, &[0, 0, 0, 2]), Reset),
        case("no HTTP/2 after all", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), Reset),
    ]
}

async fn outcome(proxy: &Door, case: &Case) -> (Option<u16>, bool) {
    let mut client = Second::to(proxy).await;
    client.say(&case.bytes).await;
    let status = client.status(1).await;
    // The end of the answer, so that what it caused has arrived.
    client.say(&frame(GOAWAY, 0, 0, &[0; 8])).await;
    client.is_closed().await;
    (status, status.is_none())
}

#[tokio::test]
async fn what_arrives_of_http_2_is_one_well_formed_request_or_none() {
    let upstream = Recording::start().await;
    let (proxy, _) = Setup::new().proxy(&format!("http://{}", upstream.address)).await;
    let cases: Vec<Case> = [pseudo_fields(), fields(), bodies(), broken()].into_iter().flatten().collect();
    assert!(cases.len() >= 75, "{}", cases.len());
    let mut flaws = Vec::new();
    for case in &cases {
        let (status, reset) = outcome(&proxy, case).await;
        let arrived = upstream.take();
        let good = match case.fate {
            Refused(wanted) => status == Some(wanted) && arrived.is_empty(),
            Reset => (reset || status.is_some_and(|status| status == 400)) && arrived.is_empty(),
            Passed => status == Some(200) && matches!(arrived.as_slice(), [Ok(_)]),
        };
        if !good {
            flaws.push(format!("{}: {:?}, but {status:?}, arrived {arrived:?}", case.name, case.fate));
        }
    }
    assert!(flaws.is_empty(), "{} of {}:\n{}", flaws.len(), cases.len(), flaws.join("\n"));
}

#[tokio::test]
async fn a_request_of_http_2_arrives_as_one_of_http_1() {
    let upstream = Recording::start().await;
    let (proxy, _) = Setup::new().proxy(&format!("http://{}", upstream.address)).await;
    let mut client = Second::to(&proxy).await;
    let fields = [("cookie", "a=1"), ("x-one", "1"), ("cookie", "b=2"), ("te", "trailers")];
    client.say(&head(1, 0, &request(&[(":method", "POST"), (":path", "/x?y=z")], &fields))).await;
    client.say(&frame(DATA, END_STREAM, 1, b"abc")).await;
    assert_eq!(client.status(1).await, Some(200));
    let arrived = upstream.take();
    let Some(Ok(request)) = arrived.first() else { panic!("{arrived:?}") };
    assert_eq!((request.line.as_str(), request.body.as_slice()), ("POST /x?y=z HTTP/1.1", b"abc".as_slice()));
    assert_eq!(request.all("cookie"), ["a=1; b=2"], "RFC 9113 section 8.2.3");
    assert_eq!((request.all("via"), request.all("te")), (vec!["2 catproxy"], vec!["trailers"]));
    let names: BTreeSet<String> = request.fields.iter().map(|(name, _)| name.to_lowercase()).collect();
    assert!(names.iter().all(|name| !name.starts_with(':')), "{names:?}");
}

/// A client that speaks HTTP/2 gets the same lists, from the same copies.
#[tokio::test]
async fn lists_are_read_over_http_2() {
    let bench = Setup::new().start().await;
    let (token, list) = (bench.upstream.token("demo"), "/api/Seller?PageNumber=1&PageSize=5");
    let plain = bench.get_as(&token, list).await;
    let token = format!("Bearer {token}");
    let calls = bench.upstream.calls().len();
    let mut client = Second::to(&bench.proxy).await;
    for stream in [1, 3, 5] {
        client
            .say(&head(stream, END_STREAM, &request(&[(":path", list)], &[("authorization", &token)])))
            .await;
    }
    let mut bodies = Vec::new();
    while bodies.len() < 3 {
        let frame = client.next().await.expect("an open connection");
        if frame.kind == DATA && !frame.payload.is_empty() {
            bodies.push(frame.payload);
        }
    }
    for body in &bodies {
        assert_eq!(String::from_utf8_lossy(body), String::from_utf8_lossy(&plain.body));
    }
    assert_eq!(bench.upstream.calls().len(), calls, "its token was accepted before");
}
