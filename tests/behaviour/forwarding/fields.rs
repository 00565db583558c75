//! Fields keep their case, order and number, but for those of one hop.

use super::wire::{Head, RawUpstream, Wire};
use crate::support::Setup;

/// What the upstream reads of a request with these lines, and what the client reads of the answer `OK` with
/// those lines.
async fn exchanged(request: &str, answer: &str) -> (Head, Head) {
    exchanged_by(true, request, answer).await
}

/// The same by the relay or, else, by hyper.
async fn exchanged_by(relay: bool, request: &str, answer: &str) -> (Head, Head) {
    let setup = Setup::new().config(move |config| config.clients.relay_loop = relay);
    let (upstream, proxy) = RawUpstream::behind(setup).await;
    let mut client = Wire::saying(&proxy, latin(&format!("{request}\r\n"))).await;
    let mut there = upstream.accept().await;
    let asked = there.head().await;
    there.say(latin(&format!("{answer}\r\n"))).await;
    let asked = Head(asked.0.replace(&upstream.address.to_string(), "UPSTREAM"));
    (asked, client.head().await)
}

fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(character).expect("Latin-1")).collect()
}

async fn request_fields(lines: &str) -> Head {
    let request = format!("GET /x HTTP/1.1\r\nHost: a.example\r\n{lines}");
    exchanged(&request, "HTTP/1.1 204 No Content\r\n").await.0
}

async fn answer_fields(lines: &str) -> Head {
    let answer = format!("HTTP/1.1 200 OK\r\nDate: today\r\n{lines}");
    exchanged("GET /x HTTP/1.1\r\nHost: a.example\r\n", &answer).await.1
}

#[tokio::test]
async fn a_head_is_passed_on_as_it_is_spelled_but_for_host_and_via() {
    let request = "GET /x HTTP/1.1\r\nHOST: a.example\r\nx-Odd-CASE: 1\r\nX-Two: a\r\nx-two: b, c\r\n\
         Cookie: q=\"\u{e9}\"\r\nEmpty:\r\nProxy-Connection: keep-alive\r\nauthorization: Bearer t\r\nUser-AGENT: me\r\n";
    let (relayed, _) = exchanged(request, "HTTP/1.1 204 No Content\r\n").await;
    let (by_hyper, _) = exchanged_by(false, request, "HTTP/1.1 204 No Content\r\n").await;
    let before = "GET /x HTTP/1.1\r\nHOST: UPSTREAM\r\nx-Odd-CASE: 1\r\nX-Two: a\r\nx-two: b, c\r\n\
         Cookie: q=\"\u{e9}\"\r\nEmpty: \r\n";
    let (via, others) = ("via: 1.1 catproxy\r\n", "authorization: Bearer t\r\nUser-AGENT: me\r\n");
    assert_eq!(relayed.0, format!("{before}{others}{via}\r\n"));
    assert_eq!(by_hyper.0, format!("{before}{via}{others}\r\n"));
}

#[tokio::test]
async fn an_answers_head_is_passed_on_as_it_is_spelled_but_for_via_and_cache_status() {
    let request = "GET /x HTTP/1.1\r\nHost: a.example\r\n";
    let answer = "HTTP/1.1 404 Gone Fishing\r\ndate: today\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a=1; Path=/\r\n\
         SET-cookie: b=2\r\nX-Latin: \u{e9}\r\nETAG: \"e\"\r\nCONTENT-length: 2\r\nVia: 1.1 before\r\nCache-Status: before; hit\r\n";
    let (_, relayed) = exchanged(request, answer).await;
    let (_, by_hyper) = exchanged_by(false, request, answer).await;
    let before = "HTTP/1.1 404 Gone Fishing\r\ndate: today\r\nSet-Cookie: a=1; Path=/\r\nSET-cookie: b=2\r\n\
         X-Latin: \u{e9}\r\nETAG: \"e\"\r\nCONTENT-length: 2\r\n";
    let theirs = ["Via: 1.1 before\r\n", "Cache-Status: before; hit\r\n"];
    let ours = ["via: 1.1 catproxy\r\n", "cache-status: catproxy; fwd=bypass; detail=no-route\r\n"];
    assert_eq!(relayed.0, format!("{before}{}{}\r\n", theirs.concat(), ours.concat()));
    // It keeps what has one name together.
    assert_eq!(by_hyper.0, format!("{before}{}{}{}{}\r\n", theirs[0], ours[0], theirs[1], ours[1]));
}

#[tokio::test]
async fn a_status_line_is_passed_on_as_it_is_spelled() {
    for line in ["200 OK", "200 Fine By Me", "200 ", "299 ", "418 I'm a teapot", "599 Odd", "999 Top", "503 "]
    {
        let answer = format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n");
        let (_, answered) = exchanged("GET /x HTTP/1.1\r\nHost: a.example\r\n", &answer).await;
        assert_eq!(answered.line(), format!("HTTP/1.1 {line}"));
    }
}

#[tokio::test]
async fn interim_answers_end_here_and_leave_nothing_in_the_final_one() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let answer = format!("{hints}HTTP/1.1 102 Processing\r\n\r\n{hints}HTTP/1.1 204 No Content\r\n");
    let (_, answered) = exchanged("GET /x HTTP/1.1\r\nHost: a.example\r\n", &answer).await;
    answered.is(204);
    assert_eq!(answered.field("link"), None);
}

#[tokio::test]
async fn via_names_the_version_that_came_in() {
    let (asked, answered) =
        exchanged("GET /x HTTP/1.0\r\nVia: 1.1 first\r\n", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n").await;
    assert_eq!(asked.line(), "GET /x HTTP/1.1");
    assert_eq!(asked.all("via"), ["1.1 first", "1.0 catproxy"]);
    assert_eq!(asked.field("host"), Some("UPSTREAM"));
    assert_eq!(answered.all("via"), ["1.0 catproxy"]);
}

#[tokio::test]
async fn fields_of_one_hop_do_not_go_up() {
    // (lines, what stays of the names in it that begin with X, or are in question)
    for (lines, stays) in [
        ("Connection: close, X-One\r\nX-One: 1\r\nX-Two: 2\r\n", &["X-Two"][..]),
        (
            "Connection:\r\nConnection: x-one\r\nCONNECTION: X-TWO ,, x-three\r\nX-One: 1\r\nx-two: 2\r\nX-Three: 3\r\n",
            &[],
        ),
        ("X-One: 1\r\nX-One: 2\r\nConnection: X-One\r\n", &[]),
        ("Connection: X-One\tX-Two\r\nX-One: 1\r\n", &["X-One"]),
        (
            "Keep-Alive: 5\r\nProxy-Connection: a\r\nProxy-Authorization: Basic x\r\nTE: gzip\r\nX-One: 1\r\n",
            &["X-One"],
        ),
        (
            "Connection: Authorization, Host, Cookie, Via, close\r\nAuthorization: Bearer t\r\nCookie: c\r\n",
            &["Authorization", "Cookie"],
        ),
        (
            "Connection: content-type, cache-control\r\nContent-Type: a/b\r\nCache-Control: no-cache\r\n",
            &["Content-Type", "Cache-Control"],
        ),
        ("Expect: 100-continue\r\nX-One: 1\r\n", &["X-One"]),
        ("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n", &[]),
        ("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", &[]),
        ("Upgrade: websocket\r\n", &[]),
        ("Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n", &[]),
        ("Upgrade: websocket\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n", &[]),
        ("Upgrade: TLS/1.0\r\nConnection: upgrade\r\n", &[]),
    ] {
        let asked = request_fields(lines).await;
        let names: Vec<&str> =
            asked.fields().map(|(name, _)| name).filter(|name| !["Host", "via"].contains(name)).collect();
        assert_eq!(names, stays, "{lines:?}");
        assert_eq!(asked.field("host"), Some("UPSTREAM"), "{lines:?}");
    }
}

#[tokio::test]
async fn te_is_said_anew_for_trailers_only() {
    let asked = request_fields("TE: trailers, gzip;q=0.5\r\nConnection: TE\r\n").await;
    assert_eq!((asked.field("te"), asked.field("connection")), (Some("trailers"), Some("TE")));
}

#[tokio::test]
async fn fields_of_one_hop_do_not_come_back() {
    for (lines, stays) in [
        ("Connection: close, X-One\r\nX-One: 1\r\nX-Two: 2\r\n", &["X-Two"][..]),
        ("Connection:\r\nConnection: x-one\r\nCONNECTION: X-TWO\r\nX-One: 1\r\nX-Two: 2\r\n", &[]),
        (
            "Keep-Alive: 5\r\nProxy-Connection: a\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-One: 1\r\n",
            &["X-One"],
        ),
        (
            "Connection: Set-Cookie, Content-Type\r\nSet-Cookie: a=1\r\nContent-Type: a/b\r\n",
            &["Set-Cookie", "Content-Type"],
        ),
        ("Connection: cache-status, via\r\nX-One: 1\r\n", &["X-One"]),
    ] {
        let answered = answer_fields(&format!("{lines}Content-Length: 0\r\n")).await;
        let ours = ["Date", "Content-Length", "via", "cache-status"];
        let names: Vec<&str> =
            answered.fields().map(|(name, _)| name).filter(|name| !ours.contains(name)).collect();
        assert_eq!(names, stays, "{lines:?}");
        assert_eq!(answered.field("via"), Some("1.1 catproxy"), "{lines:?}");
        assert!(answered.field("cache-status").is_some(), "{lines:?}");
    }
}

#[tokio::test]
async fn a_length_that_is_said_twice_is_said_once() {
    for lines in ["Content-Length: 2\r\nContent-Length: 2\r\n", "Content-Length: 2, 2\r\n"] {
        for method in ["GET", "HEAD"] {
            let request = format!("{method} /x HTTP/1.1\r\nHost: a.example\r\n");
            let (_, answered) = exchanged(&request, &format!("HTTP/1.1 200 OK\r\n{lines}\r\nok")).await;
            assert_eq!(answered.is(200).all("content-length"), ["2"]);
        }
    }
}

#[tokio::test]
async fn a_length_beside_chunks_is_dropped() {
    for lines in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: Chunked\r\nContent-Length: 3\r\n",
    ] {
        let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
        let mut client = Wire::saying(&proxy, "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        let mut there = upstream.accept().await;
        there.head().await;
        there.say(format!("HTTP/1.1 200 OK\r\n{lines}\r\n5\r\nhello\r\n0\r\n\r\n")).await;
        let (answered, body) = client.message().await;
        assert_eq!(answered.is(200).field("content-length"), None);
        assert_eq!(body, "5\r\nhello\r\n0\r\n\r\n");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_a_502_and_nothing_of_it_comes_through() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-One: planted\rSet-Cookie: a=1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-One: planted\0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX One: planted\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-One : planted\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-One: a\r\n planted: folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\nX-One: planted\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\nX-One: planted\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nX-One: planted\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\nX-One: planted\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nX-One: planted\r\n\r\nab",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: planted\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 20 OK\r\nX-One: planted\r\n\r\n",
    ] {
        let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
        let mut client = Wire::saying(&proxy, "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        let mut there = upstream.accept().await;
        there.head().await;
        there.say(answer).await;
        let (answered, body) = client.message().await;
        assert_eq!(answered.is(502).field("content-type"), Some("application/problem+json"), "{answer:?}");
        assert!(!answered.0.contains("planted") && !body.contains("planted"), "{answered:?} {body}");
        there.is_closed().await;
    }
}

#[tokio::test]
async fn a_304_to_a_plain_request_keeps_the_length_of_its_200() {
    let answer = "HTTP/1.1 304 Not Modified\r\nDate: today\r\nContent-Length: 9\r\n";
    let (_, answered) = exchanged("GET /x HTTP/1.1\r\nHost: a.example\r\n", answer).await;
    assert_eq!(answered.is(304).field("content-length"), Some("9"));
}

#[tokio::test]
async fn an_answer_to_a_plain_request_whose_head_is_too_long_is_a_502() {
    for (bytes, status) in [(60_000, 200), (70_000, 502)] {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Long: {}\r\n", "x".repeat(bytes));
        let (_, answered) = exchanged("GET /x HTTP/1.1\r\nHost: a.example\r\n", &answer).await;
        answered.is(status);
    }
}
