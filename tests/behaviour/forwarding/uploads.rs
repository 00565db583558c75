//! Bodies whose length is known go up as they come: by a loop of our own, or where that is switched off by hyper.

use std::time::Duration;

use super::wire::{RawUpstream, Wire, in_time};
use crate::support::{Door, Setup, free_port};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n";
/// More than all buffers on the way hold.
const LARGE: usize = 24 << 20;

/// Either way.
fn ways(setup: impl Fn() -> Setup) -> [Setup; 2] {
    [true, false].map(|by_loop| setup().config(move |config| config.clients.relay_loop = by_loop))
}

fn post(length: usize) -> String {
    format!("POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\n")
}

fn short() -> Setup {
    // The same for both, as it is shipped: who is late is told apart all the same.
    Setup::new().config(|config| {
        config.upstream.body_timeout = Duration::from_millis(300);
        config.upstream.head_timeout = Duration::from_millis(300);
        config.clients.stall_timeout = Duration::from_millis(600);
    })
}

/// An upload of so many bytes that has begun with these, and where it arrives.
async fn begun(setup: Setup, length: usize, beginning: &str) -> (RawUpstream, Door, Wire, Wire) {
    let (upstream, proxy) = RawUpstream::behind(setup).await;
    let client = Wire::saying(&proxy, post(length) + beginning).await;
    let mut there = upstream.accept().await;
    there.head().await;
    (upstream, proxy, client, there)
}

#[tokio::test]
async fn an_early_answer_comes_while_the_upload_goes_on() {
    for setup in ways(Setup::new) {
        let (upstream, _proxy, mut client, mut there) = begun(setup, 10, "first").await;
        assert_eq!(there.exactly(5).await, "first");
        there.say(OK).await;
        assert_eq!(client.message().await.1, "ok");
        client.say("again").await;
        assert_eq!(there.exactly(5).await, "again");
        // Both lines are at the end of a message: they go on.
        client.say(GET).await;
        upstream.accept().await.head().await;
    }
}

#[tokio::test]
async fn who_answers_before_all_has_come_is_asked_nothing_else_there() {
    for setup in ways(Setup::new) {
        let (upstream, _proxy, mut client, mut there) = begun(setup, 10, "first").await;
        there.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwe").await;
        client.head().await.is(200);
        assert_eq!(client.exactly(2).await, "we");
        client.say("again").await;
        assert_eq!(there.exactly(10).await, "firstagain");
        there.say("ll").await;
        assert_eq!(client.exactly(2).await, "ll");
        there.is_closed().await;
        // The rest may be another request to who has not read it.
        client.say(GET).await;
        upstream.accept().await.head().await;
    }
}

#[tokio::test]
async fn a_small_upload_that_nobody_takes_does_not_cost_its_client_the_connection() {
    for setup in ways(Setup::new) {
        let (proxy, _) = setup.proxy(&format!("http://127.0.0.1:{}", free_port())).await;
        let mut client = Wire::to(&proxy).await;
        for _ in 0..3 {
            client.say(post(5) + "hello").await;
            assert_eq!(client.message().await.0.is(502).field("connection"), None);
        }
    }
}

/// Many clients say all that they have to say before they read.
#[tokio::test]
async fn an_upload_goes_on_also_where_its_client_reads_nothing_of_an_early_answer() {
    for setup in ways(Setup::new) {
        let (_upstream, _proxy, mut client, mut there) = begun(setup, LARGE, "").await;
        there.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", usize::MAX >> 8)).await;
        let upload = async { client.say("x".repeat(LARGE)).await };
        let arrives = there.while_pouring(async |there| there.exactly(LARGE).await);
        let ((), arrived) = tokio::join!(upload, arrives);
        assert_eq!(arrived.len(), LARGE);
    }
}

#[tokio::test]
async fn an_interim_answer_ends_here_and_no_upload() {
    for setup in ways(Setup::new) {
        let (_upstream, _proxy, mut client, mut there) = begun(setup, 10, "first").await;
        there.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n").await;
        client.say("again").await;
        assert_eq!(there.exactly(10).await, "firstagain");
        there.say(OK).await;
        client.head().await.is(200);
    }
}

#[tokio::test]
async fn an_upload_that_is_refused_early_is_answered_with_the_refusal() {
    for setup in ways(Setup::new) {
        let (_upstream, _proxy, mut client, mut there) = begun(setup, 1_000_000, "").await;
        there.say("HTTP/1.1 413 Too Much\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig").await;
        drop(there);
        client.say_if_heard(vec![b'x'; 100_000]).await;
        let (answered, body) = client.message().await;
        assert_eq!((answered.line(), body.as_str()), ("HTTP/1.1 413 Too Much", "big"));
    }
}

#[tokio::test]
async fn who_says_all_before_he_listens_hears_a_refusal_too() {
    let [by_loop, _] = ways(Setup::new);
    let (_upstream, _proxy, mut client, mut there) = begun(by_loop, LARGE, "").await;
    there.say("HTTP/1.1 413 Too Much\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig").await;
    drop(there);
    client.say("x".repeat(LARGE)).await;
    assert_eq!(client.message().await.0.line(), "HTTP/1.1 413 Too Much");
}

#[tokio::test]
async fn who_says_all_before_he_listens_hears_that_nobody_is_there() {
    let [by_loop, _] = ways(Setup::new);
    let (proxy, _) = by_loop.proxy(&format!("http://127.0.0.1:{}", free_port())).await;
    let mut client = Wire::saying(&proxy, post(LARGE) + &"x".repeat(LARGE)).await;
    assert_eq!(client.message().await.0.is(502).field("connection"), Some("close"));
    client.is_closed().await;
}

#[tokio::test]
async fn a_client_that_leaves_amid_its_upload_is_no_end_of_the_body() {
    for setup in ways(Setup::new) {
        let (_upstream, _proxy, client, mut there) = begun(setup, 10, "first").await;
        assert_eq!(there.exactly(5).await, "first");
        drop(client);
        there.is_closed().await;
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_off_amid_an_upload_is_a_502() {
    for setup in ways(Setup::new) {
        let (_upstream, _proxy, mut client, mut there) = begun(setup, 10, "first").await;
        assert_eq!(there.exactly(5).await, "first");
        drop(there);
        client.head().await.is(502);
    }
}

#[tokio::test]
async fn an_upload_is_not_sent_a_second_time() {
    // All of it is sent when the connection breaks, or half.
    for length in [5, 10] {
        for setup in ways(Setup::new) {
            let (upstream, proxy) = RawUpstream::behind(setup).await;
            let mut client = Wire::saying(&proxy, GET).await;
            let mut there = upstream.accept().await;
            there.head().await;
            there.say("HTTP/1.1 204 No Content\r\n\r\n").await;
            client.head().await.is(204);
            client.say(post(length) + "hello").await;
            there.head().await;
            assert_eq!(there.exactly(5).await, "hello");
            drop(there);
            client.head().await.is(502);
            assert!(!upstream.is_called().await, "{length}");
        }
    }
}

#[tokio::test]
async fn a_client_that_pauses_its_upload_is_told_408() {
    for setup in ways(short) {
        let (_upstream, _proxy, mut client, mut there) = begun(setup, 10, "first").await;
        let (answered, body) = client.message().await;
        assert_eq!(answered.is(408).field("content-type"), Some("application/problem+json"));
        assert!(body.contains("408"), "{body}");
        assert_eq!(there.rest().await, "first");
        client.is_closed().await;
    }
}

#[tokio::test]
async fn an_upload_may_take_longer_than_any_deadline_as_long_as_it_goes_on() {
    for setup in ways(short) {
        let (_upstream, _proxy, mut client, mut there) = begun(setup, 10, "").await;
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            client.say("x").await;
        }
        assert_eq!(there.exactly(10).await, "xxxxxxxxxx");
        there.say(OK).await;
        client.head().await.is(200);
    }
}

#[tokio::test]
async fn an_upstream_that_takes_no_more_of_an_upload_is_too_slow() {
    for setup in ways(short) {
        let (_upstream, _proxy, mut client, _there) = begun(setup, 1_000_000_000, "").await;
        client.while_pouring(async |client| client.head().await).await.is(504);
    }
}

#[tokio::test]
async fn an_upload_that_is_not_answered_in_time_is_a_504() {
    for setup in ways(short) {
        let (_upstream, _proxy, mut client, mut there) = begun(setup, 5, "hello").await;
        assert_eq!(there.exactly(5).await, "hello");
        client.head().await.is(504);
        there.is_closed().await;
    }
}

#[tokio::test]
async fn a_head_goes_up_before_its_body_comes() {
    for setup in ways(Setup::new) {
        let (upstream, proxy) = RawUpstream::behind(setup).await;
        let _client = Wire::saying(&proxy, post(5)).await;
        let mut there = upstream.accept().await;
        in_time("the head", there.head()).await;
    }
}
