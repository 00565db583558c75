//! Bodies pass as they come, both ways, whole or not.

use std::time::Duration;

use super::wire::{RawUpstream, Wire};
use crate::support::Setup;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_body_in_chunks_goes_up_in_chunks_whatever_the_method() {
    for method in ["GET", "HEAD", "DELETE", "POST", "OPTIONS"] {
        let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
        let head = format!("{method} /x HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut client = Wire::saying(&proxy, format!("{head}5\r\nhello\r\n0\r\n\r\n")).await;
        let mut there = upstream.accept().await;
        let (asked, body) = there.message().await;
        assert_eq!(asked.line(), format!("{method} /x HTTP/1.1"));
        assert_eq!(asked.field("transfer-encoding"), Some("chunked"), "{method}");
        assert_eq!(body, "5\r\nhello\r\n0\r\n\r\n");
        there.say("HTTP/1.1 204 No Content\r\n\r\n").await;
        client.head().await.is(204);
    }
}

#[tokio::test]
async fn a_body_with_a_length_goes_up_with_it_and_none_with_none() {
    for (fields, body) in [("Content-Length: 5\r\n", "hello"), ("Content-Length: 0\r\n", ""), ("", "")] {
        let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
        let mut client =
            Wire::saying(&proxy, format!("POST /x HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n{body}")).await;
        let mut there = upstream.accept().await;
        let (asked, came) = there.message().await;
        let length = fields.trim_end().strip_prefix("Content-Length: ");
        assert_eq!((asked.field("content-length"), came.as_str()), (length, body));
        assert_eq!(asked.field("transfer-encoding"), None);
        there.say(OK).await;
        assert_eq!(client.message().await.1, "ok");
    }
}

#[tokio::test]
async fn trailers_go_up() {
    let bench = Setup::new().start().await;
    let mut client = Wire::saying(
        &bench.proxy,
        "POST /_fake/echo HTTP/1.1\r\nHost: a.example\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n",
    )
    .await;
    let (answered, body) = client.message().await;
    answered.is(200);
    let echo: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((&echo["trailers"], &echo["bodyLength"]), (&serde_json::json!([["x-sum", "6"]]), &3.into()));
}

#[tokio::test]
async fn trailers_come_back_to_who_takes_them() {
    let bench = Setup::new().start().await;
    let mut client = Wire::to(&bench.proxy).await;
    client
        .say("GET /_fake/bytes/3?trailers=1 HTTP/1.1\r\nHost: a.example\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
        .await;
    assert_eq!(client.head().await.is(200).field("trailer"), Some("x-fake-length"));
    assert_eq!(client.until("\r\n\r\n").await, "3\r\n\0\u{1}\u{2}\r\n0\r\nx-fake-length: 3\r\n\r\n");
    client.say("GET /_fake/bytes/3?trailers=1 HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    client.head().await.is(200);
    assert_eq!(client.until("0\r\n\r\n").await, "3\r\n\0\u{1}\u{2}\r\n0\r\n\r\n");
}

#[tokio::test]
async fn a_connection_is_kept_after_trailers_both_ways() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let mut client = Wire::to(&proxy).await;
    let mut there = None;
    for _ in 0..3 {
        client
            .say(
                "GET /x HTTP/1.1\r\nHost: a.example\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
                 1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n",
            )
            .await;
        let there = match &mut there {
            Some(there) => there,
            none => none.insert(upstream.accept().await),
        };
        there.head().await;
        assert_eq!(there.until("\r\n\r\n").await.to_lowercase(), "1\r\na\r\n0\r\nx-sum: 1\r\n\r\n");
        there
            .say(
                "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
                 1\r\nb\r\n0\r\nX-Sum: 2\r\n\r\n",
            )
            .await;
        client.head().await.is(200);
        assert_eq!(client.until("\r\n\r\n").await.to_lowercase(), "1\r\nb\r\n0\r\nx-sum: 2\r\n\r\n");
    }
}

#[tokio::test]
async fn a_client_that_expects_a_100_gets_it_before_it_sends() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let mut client = Wire::saying(
        &proxy,
        "PUT /x HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    )
    .await;
    assert_eq!(client.head().await.0, "HTTP/1.1 100 Continue\r\n\r\n");
    client.say("hello").await;
    let mut there = upstream.accept().await;
    let (asked, body) = there.message().await;
    assert_eq!((asked.field("expect"), body.as_str()), (None, "hello"));
    there.say(OK).await;
    client.head().await.is(200);
}

#[tokio::test]
async fn who_cannot_be_served_is_not_told_to_send() {
    let (proxy, _) = Setup::new().proxy(&format!("http://127.0.0.1:{}", crate::support::free_port())).await;
    let mut client = Wire::saying(
        &proxy,
        "PUT /x HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    )
    .await;
    client.head().await.is(502);
}

#[tokio::test]
async fn answers_without_a_body_end_with_their_head() {
    for (request, answer, length) in [
        ("HEAD", "200 OK\r\nContent-Length: 1234", Some("1234")),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked", None),
        ("HEAD", "404 Not Found\r\nContent-Length: 0", Some("0")),
        ("GET", "204 No Content\r\nX-One: 1", None),
        ("GET", "304 Not Modified\r\nETag: \"e\"", None),
        ("GET", "200 OK\r\nContent-Length: 0", Some("0")),
        ("GET", "205 Reset Content\r\nContent-Length: 0", Some("0")),
    ] {
        let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
        let mut client = Wire::to(&proxy).await;
        let mut there = None;
        // Twice on the same connections: both ends agree on where the answer ends.
        for _ in 0..2 {
            client
                .say(format!("{request} /x HTTP/1.1\r\nHost: a.example\r\nIf-None-Match: \"e\"\r\n\r\n"))
                .await;
            let there = match &mut there {
                Some(there) => there,
                none => none.insert(upstream.accept().await),
            };
            assert_eq!(there.head().await.field("if-none-match"), Some("\"e\""));
            there.say(format!("HTTP/1.1 {answer}\r\n\r\n")).await;
            let answered = client.head().await;
            assert_eq!(answered.line(), format!("HTTP/1.1 {}", answer.lines().next().expect("a line")));
            assert_eq!(answered.field("content-length"), length, "{request} {answer}");
            assert_eq!(answered.field("transfer-encoding"), None, "{request} {answer}");
            assert_eq!(answered.field("etag").is_some(), answer.contains("ETag"));
        }
    }
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_comes_whole() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let mut client = Wire::saying(&proxy, GET).await;
    let mut there = upstream.accept().await;
    there.head().await;
    there.say("HTTP/1.1 200 OK\r\n\r\nhello").await;
    drop(there);
    let (answered, body) = client.message().await;
    assert_eq!(answered.is(200).field("transfer-encoding"), Some("chunked"));
    assert_eq!(body, "5\r\nhello\r\n0\r\n\r\n");
}

#[tokio::test]
async fn a_body_that_the_upstream_cuts_short_ends_short_for_the_client() {
    for (answer, comes) in [
        ("Content-Length: 10\r\n\r\nhello", "hello"),
        ("Content-Length: 10\r\n\r\n", ""),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", "5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "5\r\nhello\r\n"),
    ] {
        let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
        let mut client = Wire::saying(&proxy, GET).await;
        let mut there = upstream.accept().await;
        there.head().await;
        there.say(format!("HTTP/1.1 200 OK\r\n{answer}")).await;
        // At once, so that the end comes together with the beginning.
        drop(there);
        client.head().await.is(200);
        assert_eq!(client.rest().await, comes, "{answer:?}");
    }
}

#[tokio::test]
async fn a_clients_broken_body_is_its_own_fault() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let head = "POST /x HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = Wire::saying(&proxy, format!("{head}5\r\nhello\r\n")).await;
    let mut there = upstream.accept().await;
    there.head().await;
    assert_eq!(there.exactly(10).await, "5\r\nhello\r\n");
    client.say("zz\r\n").await;
    client.head().await.is(400);
    // Without the last chunk: the upstream knows that it was not all.
    there.is_closed().await;
}

#[tokio::test]
async fn a_client_that_leaves_amid_its_upload_is_no_end_of_the_body() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let head = "POST /x HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    let client = Wire::saying(&proxy, format!("{head}5\r\nhello\r\n")).await;
    let mut there = upstream.accept().await;
    there.head().await;
    assert_eq!(there.exactly(10).await, "5\r\nhello\r\n");
    drop(client);
    there.is_closed().await;
}

fn short() -> Setup {
    // The same for both, as it is shipped: who is late is told apart all the same.
    Setup::new().config(|config| {
        config.upstream.body_timeout = Duration::from_millis(300);
        config.upstream.head_timeout = Duration::from_millis(300);
        config.clients.stall_timeout = Duration::from_millis(600);
    })
}

#[tokio::test]
async fn an_answer_that_pauses_for_too_long_ends_short() {
    let (upstream, proxy) = RawUpstream::behind(short()).await;
    let mut client = Wire::saying(&proxy, GET).await;
    let mut there = upstream.accept().await;
    there.head().await;
    there.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
    client.head().await.is(200);
    assert_eq!(client.rest().await, "hello");
    there.is_closed().await;
}

#[tokio::test]
async fn a_client_that_takes_no_more_of_an_answer_is_given_up() {
    let (upstream, proxy) = RawUpstream::behind(short()).await;
    let mut client = Wire::saying(&proxy, GET).await;
    let mut there = upstream.accept().await;
    there.head().await;
    there.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
    client.head().await.is(200);
    there.while_pouring(async |there| there.is_closed().await).await;
}
