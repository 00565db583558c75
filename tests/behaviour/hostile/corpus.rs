//! Hostile requests of HTTP/1, byte for byte: each on a connection of its own, with a second request behind it that
//! nobody may take for anything but what it is.

use std::time::Duration;

use super::recording::{Recorded, Recording};
use crate::{forwarding::wire::Wire, support::Setup};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is answered with this status, and nothing arrives.
    Refused(u16),
    /// It arrives, and what is behind it is answered as well.
    Passed,
    /// It arrives, and nothing behind it is believed.
    Last,
    /// Nothing arrives, and nothing is answered: it is not whole.
    Unanswered,
}
use Fate::{Last, Passed, Refused, Unanswered};

/// What comes behind.
const BEHIND: &str = "GET /behind HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

struct Case {
    name: String,
    bytes: Vec<u8>,
    fate: Fate,
}

fn case(name: impl Into<String>, bytes: impl AsRef<[u8]>, fate: Fate) -> Case {
    Case { name: name.into(), bytes: bytes.as_ref().to_vec(), fate }
}

/// A POST with these fields and this body.
fn post(fields: &str, body: &str) -> String {
    format!("POST /case HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}")
}

fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(both_framings());
    cases.extend(codings());
    cases.extend(lengths());
    cases.extend(chunks());
    cases.extend(lines());
    cases.extend(targets());
    cases.extend(fields());
    cases.extend(hosts());
    cases.extend(hops());
    cases.extend(old());
    cases
}

/// A length and chunks, in all the ways that have ever been read otherwise by somebody.
fn both_framings() -> Vec<Case> {
    let codings = [
        "Transfer-Encoding: chunked",
        "transfer-encoding: Chunked",
        "TRANSFER-ENCODING:chunked",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: chunked ",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nX-One: 1",
    ];
    let mut cases = Vec::new();
    for coding in codings {
        for (order, fields) in [
            ("CL.TE", format!("Content-Length: 6\r\n{coding}")),
            ("TE.CL", format!("{coding}\r\nContent-Length: 6")),
            ("TE.CL behind others", format!("{coding}\r\nX-Two: 2\r\ncontent-length:6\r\nX-Three: 3")),
        ] {
            let body = "0\r\n\r\nGPOST / HTTP/1.1\r\nHost: a\r\n\r\n";
            cases.push(case(format!("{order} {coding:?}"), post(&fields, body), Refused(400)));
        }
    }
    cases
}

fn codings() -> Vec<Case> {
    let refused = [
        "xchunked",
        "chunked, identity",
        "identity",
        "gzip",
        "chunked;q=1",
        "\"chunked\"",
        "chunked\u{b}",
        "\u{b}chunked",
        "chunked\0",
        "chun\rked",
        "chunked, gzip",
        "chunked,chunked;",
        ",",
        "",
    ];
    let mut cases: Vec<_> = refused
        .iter()
        .map(|coding| {
            let fields = format!("Transfer-Encoding: {coding}");
            case(format!("coding {coding:?}"), post(&fields, "3\r\nabc\r\n0\r\n\r\n"), Refused(400))
        })
        .collect();
    for (fields, fate) in [
        ("Transfer-Encoding : chunked", Refused(400)),
        (" Transfer-Encoding: chunked", Refused(400)),
        ("Transfer-Encoding\t: chunked", Refused(400)),
        ("Transfer-Encoding\0: chunked", Refused(400)),
        ("Transfer-Encoding:\r\n chunked", Refused(400)),
        ("X: y\rTransfer-Encoding: chunked", Refused(400)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", Refused(400)),
        (
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip",
            Refused(400),
        ),
        // Neither is chunked to anybody.
        ("Transfer_Encoding: chunked\r\nContent-Length: 13", Passed),
        ("Transfer-Encodin: chunked\r\nContent-Length: 13", Passed),
        ("Content-Encoding: chunked\r\nContent-Length: 13", Passed),
        ("X: y\nTransfer-Encoding: chunked", Passed),
        ("Transfer-Encoding: CHUNKED", Passed),
    ] {
        cases.push(case(format!("codings {fields:?}"), post(fields, "3\r\nabc\r\n0\r\n\r\n"), fate));
    }
    cases
}

fn lengths() -> Vec<Case> {
    let refused = [
        "+3",
        "-3",
        "3,3",
        "3, 3",
        "3, 4",
        "0x3",
        "3 3",
        "3;",
        "3.0",
        "3e0",
        "\u{ff13}",
        "",
        "a",
        "99999999999999999999",
        "18446744073709551616",
        "3\u{b}",
        "3\0",
    ];
    let mut cases: Vec<_> = refused
        .iter()
        .map(|length| {
            case(
                format!("length {length:?}"),
                post(&format!("Content-Length: {length}"), "abc"),
                Refused(400),
            )
        })
        .collect();
    for (fields, fate) in [
        ("Content-Length: 3\r\nContent-Length: 4", Refused(400)),
        ("Content-Length: 4\r\nContent-Length: 3", Refused(400)),
        ("Content-Length : 3", Refused(400)),
        ("Content-Length\0: 3", Refused(400)),
        ("Content-Length:\r\n 3", Refused(400)),
        ("Content-Length: 3\r\nContent-Length: 3", Passed),
        ("Content-Length: 003", Passed),
        ("Content-Length:   3  ", Passed),
        ("content-length:3", Passed),
    ] {
        cases.push(case(format!("lengths {fields:?}"), post(fields, "abc"), fate));
    }
    cases.push(case(
        "a GET with a body",
        "GET /case HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        Passed,
    ));
    cases.push(case(
        "a GET whose body is a request",
        "GET /case HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        Passed,
    ));
    cases
}

fn chunks() -> Vec<Case> {
    let mut cases = Vec::new();
    for (body, fate) in [
        ("3\r\nabc\r\n0\r\n\r\n", Passed),
        ("3;a=b\r\nabc\r\n0\r\n\r\n", Passed),
        ("3;a=\"b\"\r\nabc\r\n0\r\n\r\n", Passed),
        ("003\r\nabc\r\n0\r\n\r\n", Passed),
        ("3\r\nabc\r\n0\r\nX-Late: 1\r\n\r\n", Passed),
        ("3\r\nabc\r\n0\r\nContent-Length: 5\r\nHost: b\r\n\r\n", Passed),
        ("3\r\nabc\r\n000\r\n\r\n", Passed),
        ("0x3\r\nabc\r\n0\r\n\r\n", Refused(400)),
        ("+3\r\nabc\r\n0\r\n\r\n", Refused(400)),
        ("-3\r\nabc\r\n0\r\n\r\n", Refused(400)),
        (" 3\r\nabc\r\n0\r\n\r\n", Refused(400)),
        ("g\r\nabc\r\n0\r\n\r\n", Refused(400)),
        ("\r\nabc\r\n0\r\n\r\n", Refused(400)),
        ("ffffffffffffffffff\r\nabc\r\n0\r\n\r\n", Refused(400)),
        ("3\nabc\r\n0\r\n\r\n", Refused(400)),
        ("3\rabc\r\n0\r\n\r\n", Refused(400)),
        ("3\r\nabcX0\r\n\r\n", Refused(400)),
        ("3\r\nabcd\r\n0\r\n\r\n", Refused(400)),
        ("3\r\nabc\n0\r\n\r\n", Refused(400)),
        ("3;a\nb\r\nabc\r\n0\r\n\r\n", Refused(400)),
        ("3\r\nabc\r\n0\r\nbad trailer\r\n\r\n", Refused(400)),
    ] {
        cases.push(case(format!("chunks {body:?}"), post("Transfer-Encoding: chunked", body), fate));
    }
    let announced = "TE: trailers\r\nTrailer: X-Late, Content-Length, Transfer-Encoding, Host, Authorization\r\n\
        Transfer-Encoding: chunked";
    let late = "3\r\nabc\r\n0\r\nX-Late: 1\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\nHost: b\r\n\
        Authorization: Bearer b\r\n\r\n";
    cases.push(case("trailers that would frame or admit", post(announced, late), Passed));
    cases
}

fn lines() -> Vec<Case> {
    let mut cases = Vec::new();
    for (line, fate) in [
        ("GET  /case HTTP/1.1", Refused(400)),
        ("GET\t/case HTTP/1.1", Refused(400)),
        (" GET /case HTTP/1.1", Refused(400)),
        ("GET /case  HTTP/1.1", Refused(400)),
        ("GET /case HTTP/1.1 ", Refused(400)),
        ("GET /case HTTP/1.1 HTTP/1.1", Refused(400)),
        ("GET /a b HTTP/1.1", Refused(400)),
        ("GET /case HTTP/1.2", Refused(400)),
        ("GET /case HTTP/2.0", Refused(400)),
        ("GET /case HTTP/0.9", Refused(400)),
        ("GET /case http/1.1", Refused(400)),
        ("GET /case HTTP/1.1\r", Refused(400)),
        ("GET /case", Refused(400)),
        ("GET", Refused(400)),
        ("/case HTTP/1.1", Refused(400)),
        ("G\0T /case HTTP/1.1", Refused(400)),
        ("G(T /case HTTP/1.1", Refused(400)),
        ("CONNECT a:443 HTTP/1.1", Refused(405)),
        ("CONNECT /case HTTP/1.1", Refused(405)),
        ("TRACE /case HTTP/1.1", Refused(405)),
        ("get /case HTTP/1.1", Passed),
        ("TRACK /case HTTP/1.1", Passed),
        ("PROPFIND /case HTTP/1.1", Passed),
    ] {
        cases.push(case(format!("line {line:?}"), format!("{line}\r\nHost: a\r\n\r\n"), fate));
    }
    cases.push(case("empty lines before it", "\r\n\r\nGET /case HTTP/1.1\r\nHost: a\r\n\r\n", Passed));
    cases.push(case(
        "no HTTP at all",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}\r\n\r\n",
        Refused(400),
    ));
    cases
}

fn targets() -> Vec<Case> {
    let mut cases = Vec::new();
    let long = format!("/{}", "x".repeat(20_000));
    let endless = format!("/{}", "x".repeat(70_000));
    for (target, fate) in [
        ("*", Refused(400)),
        ("case", Refused(400)),
        ("", Refused(400)),
        ("?a=b", Refused(400)),
        ("http://b/case", Refused(400)),
        ("https://b/case", Refused(400)),
        ("http://a@b/case", Refused(400)),
        ("http://u@a/case", Refused(400)),
        ("http:///case", Refused(400)),
        ("http://a:99999/case", Refused(400)),
        ("/\u{1}", Refused(400)),
        ("/\0", Refused(400)),
        ("/\u{7f}", Refused(400)),
        (long.as_str(), Refused(414)),
        (endless.as_str(), Refused(431)),
        // All these are the upstream's to judge, as they came.
        ("http://a/case", Passed),
        ("https://a/case", Passed),
        ("//evil.example/case", Passed),
        ("///case", Passed),
        ("/..//../case", Passed),
        ("/%2e%2e/%00%0d%0aX:%20y", Passed),
        ("/case;x?a=b?c", Passed),
        ("/api/Seller;x", Passed),
        ("/API/SELLER/../Seller", Passed),
        ("/api/Seller%20HTTP/1.1%0d%0aHost:%20b", Passed),
        ("/@evil.example/", Passed),
    ] {
        let name = target.get(..40).unwrap_or(target);
        cases.push(case(
            format!("target {name:?}"),
            format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
            fate,
        ));
    }
    cases.push(case("an asterisk for OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Passed));
    cases
}

fn fields() -> Vec<Case> {
    let many = "X-One: 1\r\n".repeat(101);
    let large = format!("X-Large: {}\r\n", "x".repeat(40_000));
    let name = format!("{}: 1\r\n", "x".repeat(40_000));
    let mut cases = Vec::new();
    for (fields, fate) in [
        (": x\r\n", Refused(400)),
        ("X One: 1\r\n", Refused(400)),
        ("X-One : 1\r\n", Refused(400)),
        ("X\0: 1\r\n", Refused(400)),
        ("X(: 1\r\n", Refused(400)),
        ("X-One\r\n", Refused(400)),
        ("X: \0\r\n", Refused(400)),
        ("X: a\rb\r\n", Refused(400)),
        ("X: a\u{7f}\r\n", Refused(400)),
        ("X: 1\r\n folded\r\n", Refused(400)),
        ("X: 1\r\n\tfolded\r\n", Refused(400)),
        (" X: 1\r\n", Refused(400)),
        (many.as_str(), Refused(431)),
        (large.as_str(), Refused(431)),
        (name.as_str(), Refused(431)),
        ("X: 1\n", Passed),
        ("X:\r\n", Passed),
        ("X:1\r\nx:2\r\n", Passed),
        ("Cookie: a=1\r\nCookie: b=2\r\n", Passed),
        ("X-HTTP-Method-Override: DELETE\r\n", Passed),
        ("X-Forwarded-For: 1\r\nX-Original-URL: /x\r\n", Passed),
    ] {
        let name = fields.get(..30).unwrap_or(fields);
        let bytes = format!("GET /case HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        cases.push(case(format!("field {name:?}"), bytes, fate));
    }
    cases.push(case("a head without its end", "GET /case HTTP/1.1\r\nHost: a\r\nX:", Unanswered));
    cases
}

fn hosts() -> Vec<Case> {
    let bad = [
        "",
        "Host:\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: a?b\r\n",
        "Host: a#b\r\n",
        "Host: u@a\r\n",
        "Host: a:b\r\n",
        "Host: a:99999\r\n",
        "Host: [::1\r\n",
        "Host: a b, c\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: a\\b\r\n",
        "Host: \u{e4}\r\n",
        "Host: http://a\r\n",
    ];
    bad.iter()
        .map(|host| case(format!("host {host:?}"), format!("GET /case HTTP/1.1\r\n{host}\r\n"), Refused(400)))
        .collect()
}

/// What belongs to one hop, or pretends to.
fn hops() -> Vec<Case> {
    let mut cases = Vec::new();
    for fields in [
        "Connection: keep-alive, Authorization, Host, Content-Length",
        "Connection: close-not, transfer-encoding",
        "Connection:\r\nConnection: X-Secret\r\nX-Secret: 1",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        "Connection: Upgrade\r\nUpgrade: TLS/1.0",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "TE: gzip, trailers;q=0.5",
        "Trailer: Content-Length",
        "Expect: 100-continue",
        "Expect: 200-ok",
    ] {
        let bytes = format!("GET /case HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        cases.push(case(format!("hop {fields:?}"), bytes, Passed));
    }
    cases.push(case(
        "a request that closes",
        "GET /case HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        Last,
    ));
    cases.push(case(
        "a refused request with a body that is a request",
        "TRACE /case HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(405),
    ));
    cases
}

fn old() -> Vec<Case> {
    let mut cases = Vec::new();
    for (bytes, fate) in [
        ("GET /case HTTP/1.0\r\n\r\n", Last),
        ("GET /case HTTP/1.0\r\nHost: a\r\n\r\n", Last),
        ("GET /case HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Refused(400)),
        ("GET http://b/case HTTP/1.0\r\nHost: a\r\n\r\n", Refused(400)),
        ("POST /case HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Refused(400)),
        ("POST /case HTTP/1.0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", Refused(400)),
        ("POST /case HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", Last),
        ("POST /case HTTP/1.0\r\n\r\nabc", Last),
        ("GET /case HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Passed),
    ] {
        cases.push(case(format!("old {bytes:?}"), bytes, fate));
    }
    cases
}

/// Asserts that what arrived are well-formed requests, the case's at most once and nothing that hid in it.
fn check(case: &Case, answered: &str, arrived: &[Recorded]) -> Result<(), String> {
    let flaw = |what: &str| {
        let arrived: Vec<_> = arrived.iter().map(|it| it.as_ref().map(|request| &request.line)).collect();
        let statuses: Vec<_> = answered.lines().filter(|line| line.contains("HTTP/1.")).collect();
        Err(format!("{}: {what}: answered {statuses:?}, arrived {arrived:?}", case.name))
    };
    let mut requests = Vec::new();
    for record in arrived {
        match record {
            Ok(request) => requests.push(request),
            Err(_) => return flaw("what arrived is no request"),
        }
    }
    let behind = requests.iter().filter(|request| request.line == "GET /behind HTTP/1.1").count();
    let own = requests.len() - behind;
    if requests.iter().any(|request| request.line.contains("/smuggled") || request.line.contains("GPOST")) {
        return flaw("something was smuggled");
    }
    let statuses = answered.matches("HTTP/1.1 ").count() + answered.matches("HTTP/1.0 ").count();
    let first = answered.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
    match case.fate {
        Refused(status) if own > 0 => flaw(&format!("it arrived, and was to be refused with {status}")),
        Refused(status) if first != Some(status) => flaw(&format!("it was to be refused with {status}")),
        Passed if (own, behind, statuses) != (1, 1, 2) => flaw("it was to be passed, and what is behind it"),
        Last if (own, behind, statuses) != (1, 0, 1) => flaw("it was to be passed, and nothing more"),
        Unanswered if (own, behind, statuses) != (0, 0, 0) => flaw("it was not to be answered"),
        _ => Ok(()),
    }
}

#[tokio::test]
async fn what_arrives_is_one_well_formed_request_or_none() {
    let cases = all();
    assert!(cases.len() >= 150, "{}", cases.len());
    let upstream = Recording::start().await;
    let setup = Setup::new().config(|config| config.clients.head_timeout = Duration::from_millis(500));
    let (proxy, _) = setup.proxy(&format!("http://{}", upstream.address)).await;
    let mut flaws = Vec::new();
    for case in &cases {
        for whole in [true, false] {
            let mut client = Wire::to(&proxy).await;
            if whole {
                client.say_if_heard([case.bytes.as_slice(), behind(case)].concat()).await;
            } else {
                // In two pieces, as the head's middle may fall anywhere.
                let (one, two) = case.bytes.split_at(case.bytes.len() / 2);
                client.say_if_heard(one).await;
                tokio::task::yield_now().await;
                client.say_if_heard([two, behind(case)].concat()).await;
            }
            let answered = client.rest().await;
            flaws.extend(check(case, &answered, &upstream.take()).err());
        }
    }
    assert!(flaws.is_empty(), "{} of {}:\n{}", flaws.len(), cases.len(), flaws.join("\n"));
}

fn behind(case: &Case) -> &'static [u8] {
    if case.fate == Unanswered { b"" } else { BEHIND.as_bytes() }
}
