//! Heads that are none, or lie; and answers that have no end, or come too early.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::scripted::{LIST, READ, Scripted, TOKEN, answer, json};
use crate::{
    forwarding::wire::Wire,
    support::{Setup, until},
};

/// Passed on, as no route takes it.
const FORWARDED: &str = "/api/Lot/1";

/// Deadlines that a test can wait for.
fn impatient() -> Setup {
    Setup::new().config(|config| {
        config.upstream.head_timeout = Duration::from_millis(500);
        config.upstream.body_timeout = Duration::from_millis(500);
        config.fill.timeout = Duration::from_secs(2);
    })
}

#[tokio::test]
async fn nothing_that_an_upstream_writes_into_a_value_becomes_a_field_of_ours() {
    for value in [
        "a\rSet-Cookie: evil=1",
        "a\0b",
        "a\r\r\nSet-Cookie: evil=1",
        "a\r\n\rSet-Cookie: evil=1",
        "a\x1b\x07",
    ] {
        let lines = format!("X-Value: {value}\r\nContent-Length: 2\r\nConnection: close\r\n");
        let upstream = Scripted::answering(Setup::new(), move |_, _| answer(&lines, "{}")).await;
        for target in [FORWARDED, READ] {
            let request = format!(
                "GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
            );
            let mut client = Wire::saying(&upstream.proxy, request).await;
            let came = client.rest().await;
            assert!(came.starts_with("HTTP/1.1 502 "), "{value:?}: {came}");
            assert!(!came.to_lowercase().contains("set-cookie"), "{value:?}: {came}");
        }
    }
}

#[tokio::test]
async fn a_body_of_two_lengths_is_no_answer() {
    for lines in [
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: 2, 3\r\n",
        "Content-Length: -2\r\n",
        "Content-Length: 0x2\r\n",
    ] {
        let upstream = Scripted::answering(Setup::new(), move |_, _| answer(lines, "{} ")).await;
        for target in [FORWARDED, READ] {
            upstream.proxy.get_as(TOKEN, target).await.is(502);
        }
    }
}

/// Of two framings the chunks count, as RFC 9112 section 6.3 has it; the length is no part of the list.
#[tokio::test]
async fn a_list_in_chunks_with_a_length_beside_them_is_what_its_chunks_say() {
    let lines = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n";
    let body = format!("{:x}\r\n{LIST}\r\n0\r\n\r\n", LIST.len());
    let upstream = Scripted::answering(Setup::new(), move |_, _| answer(lines, &body)).await;
    let reply = upstream.get().await;
    reply.is(200).came("fwd=miss; stored");
    assert_eq!(reply.items().len(), 1);
}

#[tokio::test]
async fn a_list_in_a_coding_that_was_not_asked_for_is_passed_on_as_it_is() {
    for coding in
        ["gzip, gzip", "deflate", "compress", "x-unknown", "identity, br", "gzip\r\nContent-Encoding: gzip"]
    {
        let lines = format!("Content-Encoding: {coding}\r\nContent-Length: {}\r\n", LIST.len());
        let upstream = Scripted::answering(Setup::new(), move |_, _| answer(&lines, LIST)).await;
        let reply = upstream.get().await;
        reply.is(200).came("fwd=bypass; detail=unfit");
        assert_eq!(reply.body, LIST, "{coding}");
    }
}

/// What does not decode is no answer, and no list.
#[tokio::test]
async fn a_coded_list_that_does_not_decode_is_a_502() {
    for coding in ["gzip", "br", "zstd"] {
        let lines = format!("Content-Encoding: {coding}\r\nContent-Length: {}\r\n", LIST.len());
        let upstream = Scripted::answering(Setup::new(), move |_, _| answer(&lines, LIST)).await;
        upstream.get().await.is(502).came("fwd=miss; detail=unanswered");
    }
}

#[tokio::test]
async fn many_interim_answers_are_nothing_and_endless_ones_are_late() {
    let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let many = move |_: &str, _: usize| [interim.repeat(2_000), json(LIST)].concat();
    let upstream = Scripted::answering(Setup::new(), many).await;
    upstream.get().await.is(200).came("fwd=miss; stored");

    let endless = Scripted::with(impatient(), move |mut stream, _, _| async move {
        let piece = interim.repeat(100);
        while stream.write_all(&piece).await.is_ok() {}
    })
    .await;
    for target in [READ, FORWARDED] {
        endless.proxy.get_as(TOKEN, target).await.is(504);
    }
}

#[tokio::test]
async fn a_head_without_an_end_is_given_up() {
    // As fast as it is taken: what a head may have is soon full.
    let fast = Scripted::with(impatient(), |mut stream, _, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await;
        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
    })
    .await;
    let fields = Scripted::with(impatient(), |mut stream, _, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(&b"X: y\r\n".repeat(1000)).await.is_ok() {}
    })
    .await;
    // A field now and then: only a deadline ends it.
    let slow = Scripted::with(impatient(), |mut stream, _, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"X: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    for target in [READ, FORWARDED] {
        fast.proxy.get_as(TOKEN, target).await.is(502);
        fields.proxy.get_as(TOKEN, target).await.is(502);
        slow.proxy.get_as(TOKEN, target).await.is(504);
    }
}

/// Each piece comes well within the deadline of a body: the fill's own ends it.
#[tokio::test]
async fn a_list_that_drips_without_an_end_is_given_up_by_its_fill() {
    let upstream = Scripted::with(impatient(), |mut stream, _, _| async move {
        let _ = stream.write_all(&answer("Transfer-Encoding: chunked\r\n", "")).await;
        while stream.write_all(b"1\r\n \r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    upstream.get().await.is(504).came("fwd=miss; detail=unanswered");
    until("nothing is read any more", || async { upstream.count("failed_fills") == 1 }).await;
}

/// It cannot be the answer to a request that was not sent: whatever becomes of it, nobody gets half of it, and who
/// asks next gets his own.
#[tokio::test]
async fn an_answer_that_comes_before_its_request_harms_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (proxy, _) = impatient().proxy(&format!("http://{}", listener.local_addr().unwrap())).await;
    tokio::spawn(async move {
        let mut before = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            before += 1;
            tokio::spawn(async move {
                let other = LIST.replace("\"a\"", &format!("\"of connection {before}\""));
                let _ = stream.write_all(&json(other)).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    for _ in 0..10 {
        let reply = proxy.get_as(TOKEN, FORWARDED).await;
        match reply.status.as_u16() {
            200 => assert!(reply.json()["items"][0]["name"].as_str().unwrap().starts_with("of connection")),
            status => assert_eq!(status, 502, "{reply:?}"),
        }
    }
}
