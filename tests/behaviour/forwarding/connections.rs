//! Connections to the upstream: pooled, given up in time, never used to send a write twice.

use std::time::Duration;

use fake_abconnect::{Close, Matching, Rule};
use tokio::net::{TcpSocket, TcpStream};

use super::wire::{RawUpstream, Wire, in_time};
use crate::support::{Door, Setup, free_port, until};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n";
const POST: &str = "POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";
const NOTHING: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// A GET that leaves a connection in the pool: the client's end and the upstream's.
async fn pooled(upstream: &RawUpstream, proxy: &Door) -> (Wire, Wire) {
    let mut client = Wire::saying(proxy, GET).await;
    let mut there = upstream.accept().await;
    there.head().await;
    there.say(NOTHING).await;
    client.head().await.is(204);
    (client, there)
}

#[tokio::test]
async fn one_request_after_the_other_takes_one_connection() {
    let bench = Setup::new().start().await;
    for target in ["/_fake/bytes/100000", "/_fake/bytes/100000?chunked=1", "/_fake/status/204", "/_fake/echo"]
    {
        for method in ["GET", "HEAD", "POST"] {
            for _ in 0..5 {
                bench.proxy.send(method, target, &[], "").await;
            }
        }
    }
    assert_eq!(bench.upstream.calls().len(), 60);
    assert_eq!(bench.upstream.connections(), 1);
}

#[tokio::test]
async fn no_more_unused_connections_are_kept_than_configured() {
    let bench = Setup::new().config(|config| config.upstream.idle_connections = 2).start().await;
    let gate = bench.upstream.gate(Matching::path("/_fake/echo"));
    let replies =
        futures_util::future::join_all((0..5).map(|_| bench.proxy.send("GET", "/_fake/echo", &[], "")));
    let opened = async {
        gate.arrived(5).await;
        gate.open();
    };
    tokio::join!(replies, opened);
    until("two connections are left", || async { bench.upstream.connections() == 2 }).await;
}

#[tokio::test]
async fn a_get_that_meets_a_stale_connection_is_sent_once_more() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let (mut client, mut stale) = pooled(&upstream, &proxy).await;
    client.say(GET).await;
    stale.head().await;
    drop(stale);
    let mut fresh = upstream.accept().await;
    assert_eq!(fresh.head().await.line(), "GET /x HTTP/1.1");
    fresh.say(NOTHING).await;
    client.head().await.is(204);
}

#[tokio::test]
async fn a_get_is_not_sent_a_third_time() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let (mut client, mut stale) = pooled(&upstream, &proxy).await;
    client.say(GET).await;
    stale.head().await;
    drop(stale);
    let mut fresh = upstream.accept().await;
    fresh.head().await;
    drop(fresh);
    client.message().await.0.is(502);
    assert!(!upstream.is_called().await);
}

#[tokio::test]
async fn a_write_is_never_sent_twice() {
    for write in [
        POST,
        "DELETE /x HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello",
        "purge /x HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ] {
        let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
        let (mut client, mut there) = pooled(&upstream, &proxy).await;
        client.say(write).await;
        there.message().await;
        drop(there);
        client.message().await.0.is(502);
        assert!(!upstream.is_called().await, "{write}");
    }
}

#[tokio::test]
async fn a_write_does_not_meet_a_connection_that_closed_before() {
    let bench = Setup::new().start().await;
    bench.upstream.rule(Rule {
        on: Matching::path("/_fake/echo").method("GET"),
        close: Some(Close::Silent),
        ..Rule::default()
    });
    for _ in 0..30 {
        bench.proxy.send("GET", "/_fake/echo", &[], "").await.is(200);
        until("the connection is closed", || async { bench.upstream.connections() == 0 }).await;
        bench.proxy.send("POST", "/_fake/echo", &[], "hello").await.is(200);
        bench.upstream.close_connections();
    }
    assert_eq!(bench.upstream.calls_that(&Matching::path("/_fake/echo").method("POST")).len(), 30);
}

#[tokio::test]
async fn a_write_is_not_sent_on_a_connection_that_has_waited_long() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let (mut client, mut old) = pooled(&upstream, &proxy).await;
    client.say(POST).await;
    assert_eq!(old.message().await.1, "hello");
    old.say(NOTHING).await;
    client.head().await.is(204);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    client.say(POST).await;
    let mut fresh = upstream.accept().await;
    assert_eq!(fresh.message().await.1, "hello");
    // What may be sent twice uses it all the same.
    let mut other = Wire::saying(&proxy, GET).await;
    old.head().await;
    old.say(NOTHING).await;
    other.head().await.is(204);
}

#[tokio::test]
async fn what_an_upstream_says_beyond_its_answer_is_nobodys_answer() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let mut client = Wire::saying(&proxy, GET).await;
    let mut talkative = upstream.accept().await;
    talkative.head().await;
    talkative
        .say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(client.message().await.1, "ok");
    client.say(GET).await;
    let mut next = upstream.accept().await;
    next.head().await;
    next.say(NOTHING).await;
    client.head().await.is(204);
    talkative.is_closed().await;
}

#[tokio::test]
async fn what_waits_longer_than_the_idle_timeout_is_not_used() {
    let setup = Setup::new().config(|config| config.upstream.idle_timeout = Duration::from_millis(50));
    let (upstream, proxy) = RawUpstream::behind(setup).await;
    let (mut client, _old) = pooled(&upstream, &proxy).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    client.say(GET).await;
    assert_eq!(upstream.accept().await.head().await.line(), "GET /x HTTP/1.1");
}

/// The answer's problem, which names no inside address.
#[track_caller]
fn problem(reply: &crate::support::Reply, status: u16, inside: &str) {
    reply.is(status);
    assert_eq!(reply.field("content-type"), "application/problem+json");
    assert_eq!(reply.json()["status"], status);
    reply.came("fwd=bypass");
    let all = format!("{reply:?}");
    let port = inside.rsplit(':').next().expect("a port");
    assert!(!all.contains(port) && !all.contains("127.0.0.1") && !all.contains("os error"), "{all}");
}

#[tokio::test]
async fn nobody_there_is_a_502() {
    let inside = format!("127.0.0.1:{}", free_port());
    let (proxy, _) = Setup::new().proxy(&format!("http://{inside}")).await;
    for (method, target) in [("GET", "/x"), ("POST", "/api/Lot/get-overrides"), ("GET", "/api/Seller")] {
        problem(&proxy.send(method, target, &[], "").await, 502, &inside);
    }
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_a_502() {
    let (proxy, _) = Setup::new().proxy("http://nowhere.invalid:8123").await;
    problem(&proxy.send("GET", "/x", &[], "").await, 502, "nowhere.invalid:8123");
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_a_504() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("an address");
    // Once its queue is full the system drops what comes.
    let mut queued = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        queued.push(stream.expect("a connection"));
    }
    let setup = Setup::new().config(|config| config.upstream.connect_timeout = Duration::from_millis(200));
    let (proxy, _) = setup.proxy(&format!("http://{address}")).await;
    let asked = std::time::Instant::now();
    problem(&proxy.send("GET", "/x", &[], "").await, 504, &address.to_string());
    assert!((200..5000).contains(&asked.elapsed().as_millis()), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_504_and_the_connection_is_closed() {
    let setup = Setup::new().config(|config| config.upstream.head_timeout = Duration::from_millis(200));
    let (upstream, proxy) = RawUpstream::behind(setup).await;
    for (request, body, part) in
        [("GET", "", ""), ("POST", "", ""), ("POST", "hello", ""), ("GET", "", "HTTP/1.1 200 OK\r\nX-Half: ")]
    {
        let reply = async { proxy.send(request, "/x", &[], body).await };
        let stall = async {
            let mut there = upstream.accept().await;
            there.message().await;
            there.say(part).await;
            there.is_closed().await;
        };
        let (reply, ()) = tokio::join!(reply, stall);
        problem(&reply, 504, &upstream.address.to_string());
    }
    assert!(!upstream.is_called().await);
}

#[tokio::test]
async fn an_upstream_that_closes_without_an_answer_is_a_502() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let closed = async {
        let mut there = upstream.accept().await;
        there.head().await;
        there.say("HTTP/1.1 200").await;
    };
    let (reply, ()) = tokio::join!(proxy.send("GET", "/x", &[], ""), closed);
    problem(&reply, 502, &upstream.address.to_string());
}

#[tokio::test]
async fn a_client_that_leaves_closes_the_connection_to_the_upstream() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let client = Wire::saying(&proxy, GET).await;
    let mut there = upstream.accept().await;
    there.head().await;
    drop(client);
    there.is_closed().await;

    let mut client = Wire::saying(&proxy, GET).await;
    let mut there = upstream.accept().await;
    there.head().await;
    there.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
    client.head().await;
    drop(client);
    there.is_closed().await;
}

#[tokio::test]
async fn a_write_whose_client_leaves_is_not_broken_off() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let (client, mut there) = pooled(&upstream, &proxy).await;
    drop(client);
    let client = Wire::saying(&proxy, POST).await;
    assert_eq!(there.message().await.1, "hello");
    drop(client);
    there.say(NOTHING).await;
    until("the write is answered", || async { proxy.inside.telemetry().count("upstream_calls") == 2 }).await;
    // Answered, its connection is used again.
    let mut client = Wire::saying(&proxy, GET).await;
    in_time("the next request on the same connection", there.head()).await;
    there.say(NOTHING).await;
    client.head().await.is(204);
}
