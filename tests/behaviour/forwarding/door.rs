//! What is refused at the door, how connections are kept, and how it is closed.

use std::time::{Duration, Instant};

use catproxy::{
    clock::Clock,
    server::{Server, StartError, Stopped},
};
use fake_abconnect::Matching;
use tokio::net::TcpStream;

use super::wire::{RawUpstream, Wire, in_time};
use crate::support::Setup;

const GET: &str = "GET /_fake/status/204 HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[tokio::test]
async fn what_no_proxy_should_pass_is_refused() {
    let bench = Setup::new().start().await;
    let long = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(bytes));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-One: 1\r\n".repeat(200));
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400),
        ("GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400),
        ("GET http://u@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400),
        ("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", 405),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (&long(20_000), 414),
        (&long(200_000), 431),
        (&many, 431),
        ("GET / HTTP/1.1\r\nHost: a\r\nX-One : 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\n folded\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("no http\r\n\r\n", 400),
    ] {
        let mut client = Wire::to(&bench.proxy).await;
        client.say_if_heard(request).await;
        client.head().await.is(status);
    }
    assert_eq!(bench.upstream.calls().len(), 0);
}

#[tokio::test]
async fn methods_that_few_know_go_on_or_are_refused_as_configured() {
    let ask = |method: &str| format!("{method} /_fake/status/204 HTTP/1.1\r\nHost: a\r\n\r\n");
    for (other_methods, status) in [(true, 204), (false, 405)] {
        let setup = Setup::new().config(move |config| config.clients.other_methods = other_methods);
        let bench = setup.start().await;
        let mut client = Wire::to(&bench.proxy).await;
        for (method, status) in [("PROPFIND", status), ("get", status), ("PATCH", 204), ("TRACE", 405)] {
            client.say(ask(method)).await;
            let (head, _) = client.message().await;
            let allowed = (status == 405).then_some("GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE");
            assert_eq!(head.is(status).field("allow"), allowed);
        }
    }
}

#[tokio::test]
async fn hosts_of_all_kinds_are_let_in() {
    let bench = Setup::new().start().await;
    let mut client = Wire::to(&bench.proxy).await;
    for host in ["a.example", "a.example:8080", "A:", "127.0.0.1:1", "[::1]", "[::1]:80", "a_b"] {
        client.say(format!("GET /_fake/status/204 HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        client.head().await.is(204);
    }
}

/// RFC 9112 section 6.1: others may read such a request otherwise, so nobody gets it.
#[tokio::test]
async fn a_request_with_a_length_and_chunks_is_refused_and_nothing_after_it_is_believed() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ] {
        let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
        let mut client = Wire::saying(&proxy, "GET /before HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut there = upstream.accept().await;
        assert_eq!(there.head().await.line(), "GET /before HTTP/1.1");
        let request = format!("POST /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n3\r\nabc\r\n0\r\n\r\n");
        client.say(format!("{request}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        there.say("HTTP/1.1 204 No Content\r\n\r\n").await;
        client.head().await.is(204);
        let (refused, reason) = client.message().await;
        assert_eq!(refused.is(400).field("connection"), Some("close"));
        assert!(reason.contains("exclude each other"), "{reason}");
        client.is_closed().await;
        assert!(!upstream.is_called().await);
    }
}

#[tokio::test]
async fn bare_line_feeds_are_mended_on_the_way() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let _client = Wire::saying(&proxy, "GET /x HTTP/1.1\nHost: a\nX-One: 1\n\n").await;
    let asked = upstream.accept().await.head().await;
    assert_eq!(
        asked.0,
        format!("GET /x HTTP/1.1\r\nHost: {}\r\nX-One: 1\r\nvia: 1.1 catproxy\r\n\r\n", upstream.address)
    );
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let bench = Setup::new().start().await;
    let requests: String =
        (1..6).map(|n| format!("GET /_fake/bytes/{n} HTTP/1.1\r\nHost: a.example\r\n\r\n")).collect();
    let mut client = Wire::saying(&bench.proxy, requests).await;
    for n in 1..6 {
        assert_eq!(client.message().await.1.len(), n);
    }
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_not_the_next_request() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let list = "/api/Seller?PageNumber=1&PageSize=5";
    bench.get(list).await.is(200);
    let body = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    // Refused at the door, so never read.
    let request = format!("TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let next = format!("GET {list} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut client = Wire::saying(&bench.proxy, format!("{request}{next}")).await;
    client.message().await.0.is(405);
    client.message().await.0.is(200);
    assert_eq!(bench.upstream.calls_to("/smuggled").len(), 0);
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_its_answer_and_the_end() {
    let bench = Setup::new().start().await;
    let mut client = Wire::saying(&bench.proxy, "GET /_fake/bytes/5?chunked=1 HTTP/1.0\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!(head.is(200).field("transfer-encoding"), None);
    assert_eq!(client.rest().await.len(), 5);

    let mut client = Wire::to(&bench.proxy).await;
    for _ in 0..2 {
        client.say("GET /_fake/bytes/5 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        let (head, body) = client.message().await;
        assert_eq!((head.field("connection"), body.len()), (Some("keep-alive"), 5));
    }
}

#[tokio::test]
async fn a_client_that_closes_is_answered_and_closed() {
    let bench = Setup::new().start().await;
    let request = "GET /_fake/bytes/5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut client = Wire::saying(&bench.proxy, request).await;
    let (head, _) = client.message().await;
    assert_eq!(head.field("connection"), Some("close"));
    client.is_closed().await;
    // The upstream's connection is another matter.
    assert_eq!(bench.upstream.connections(), 1);
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let (proxy, _) = Setup::new().proxy("http://127.0.0.1:1").await;
    let address = proxy.address;
    let setup = Setup::new().config(move |config| config.listen = address);
    let error = Server::bind(&setup.configuration("http://127.0.0.1:1"), Clock::system()).await.err();
    assert!(
        matches!(&error, Some(StartError::Listen { address: there, .. }) if *there == address),
        "{error:?}"
    );
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_closes_the_rest_at_once() {
    let (upstream, door) = RawUpstream::behind(Setup::new()).await;
    let address = door.address;
    let mut silent = Wire::to(&door).await;
    let mut idle = Wire::saying(&door, GET).await;
    let mut there = upstream.accept().await;
    there.head().await;
    there.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    idle.head().await.is(204);
    let mut busy = Wire::saying(&door, GET).await;
    there.head().await;
    let begun = Instant::now();
    let stopped = door.close();
    idle.is_closed().await;
    silent.is_closed().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let refused = TcpStream::connect(address).await;
    assert!(refused.is_err(), "the door is closed");
    there.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
    busy.head().await.is(200);
    assert!(!stopped.is_finished());
    there.say("ok").await;
    assert_eq!(busy.rest().await, "ok");
    assert_eq!(in_time("the end", stopped).await.expect("no panic"), Stopped::Drained);
}

#[tokio::test]
async fn stopping_finishes_writes_whose_client_has_left() {
    let (upstream, door) = RawUpstream::behind(Setup::new()).await;
    let client = Wire::saying(&door, "DELETE /api/Seller/1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut there = upstream.accept().await;
    there.head().await;
    drop(client);
    let mut stopped = door.close();
    // Nobody waits for the answer but the write itself.
    let early = tokio::time::timeout(Duration::from_millis(300), &mut stopped).await;
    assert!(early.is_err(), "{early:?}");
    there.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(in_time("the end", stopped).await.expect("no panic"), Stopped::Drained);
}

#[tokio::test]
async fn stopping_cuts_off_what_takes_longer_than_its_grace() {
    let bench = Setup::new().start().await;
    let _gate = bench.upstream.gate(Matching::all());
    let _client = Wire::saying(&bench.proxy, GET).await;
    bench.upstream.wait_for_calls(&Matching::all(), 1).await;
    let begun = Instant::now();
    let stopped = bench.proxy.close();
    assert_eq!(in_time("the end", stopped).await.expect("no panic"), Stopped::CutOff);
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
}
