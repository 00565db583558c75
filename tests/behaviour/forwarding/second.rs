//! An upstream that chooses HTTP/2 is spoken to in it: many requests on one connection, none lost and no write done twice.

mod terminator;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use catproxy::config::Config;
use futures_util::future::join_all;
use http::Version;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use self::terminator::{Seen, Terminator};
use super::wire::{Wire, in_time};
use crate::{
    authority::Authority,
    hostile::frames::{DATA, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, Second, frame, head},
    support::{Bench, Door, Reply, Setup, Unanswered, attempt, until},
};

const LIST: &str = "/api/Seller?PageNumber=1&PageSize=500";
const BOTH: [&[u8]; 2] = [b"h2", b"http/1.1"];
const HANDSHAKE: &str = "GET /_fake/websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A proxy in front of a terminator that chooses among these protocols.
struct Behind {
    bench: Bench,
    proxy: Door,
    seen: Arc<Seen>,
    address: SocketAddr,
}

impl Behind {
    async fn start(protocols: &[&[u8]], streams: u32) -> Self {
        Self::with(protocols, streams, |_| {}).await
    }

    async fn with(protocols: &[&[u8]], streams: u32, change: impl FnOnce(&mut Config) + 'static) -> Self {
        let (bench, authority) = (Setup::new().start().await, Authority::new());
        let Terminator { address, seen } =
            Terminator::start(&authority, bench.upstream.addr(), protocols, streams).await;
        let proxy = authority.trusted(Setup::new().config(change), address).await;
        Self { bench, proxy, seen, address }
    }

    async fn fifty(&self) -> Vec<Reply> {
        let ask = |number: usize| {
            let target = format!("/_fake/bytes/{number}");
            async move { self.proxy.send("GET", &target, &[], "").await }
        };
        join_all((1..=50).map(ask)).await
    }
}

#[tokio::test]
async fn lists_bodies_and_writes_go_over_one_connection() {
    let behind = Behind::start(&BOTH, 100).await;
    let token = behind.bench.upstream.token("demo");
    behind.proxy.get_as(&token, LIST).await.is(200).came("fwd=miss; stored");
    behind.proxy.get_as(&token, LIST).await.is(200).came("hit");
    let large = behind.proxy.send("GET", "/_fake/bytes/10000000", &[], "").await;
    assert_eq!(large.is(200).body.len(), 10_000_000);
    let echoed = behind.proxy.send("POST", "/_fake/echo", &[], &"b".repeat(1_000_000)).await;
    assert_eq!(
        (echoed.is(200).json()["bodyLength"].clone(), echoed.field("via")),
        (1_000_000.into(), "2 catproxy")
    );
    let token = format!("Bearer {token}");
    let fields = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
    let body = r#"{"name":"Renamed","customerDisplayId":1,"isActive":true}"#;
    behind.proxy.send("PUT", "/api/Seller/42", &fields, body).await.is(200);
    let after = behind.proxy.send("GET", LIST, &fields, "").await;
    assert!(String::from_utf8_lossy(&after.came("fwd=miss; stored").body).contains("Renamed"));
    assert_eq!(behind.seen.connections(), (0, 1));
}

#[tokio::test]
async fn a_request_says_nothing_that_has_no_place_in_it() {
    let behind = Behind::start(&BOTH, 100).await;
    let mut client = Wire::saying(
        &behind.proxy,
        "POST /_fake/echo?a=%2F HTTP/1.1\r\nHost: elsewhere\r\nConnection: X-Gone, keep-alive\r\nX-Gone: 1\r\n\
         Keep-Alive: 3\r\nTE: gzip, trailers\r\nUpgrade: h2c\r\nExpect: 100-continue\r\nX-Stays: 1\r\n\
         Trailer: X-Trailer\r\nCookie: a=1\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
    .await;
    // The body is asked for.
    client.head().await.is(100);
    client.say("5\r\nhello\r\n0\r\nX-Trailer: 7\r\n\r\n").await;
    let (answered, body) = client.message().await;
    assert_eq!(answered.is(200).field("content-type"), Some("application/json; charset=utf-8"));
    assert!(body.contains("\"bodyLength\":5") && body.contains("x-trailer"), "{body}");
    let [request] = &behind.seen.requests()[..] else { panic!("one request") };
    assert_eq!((request.version, request.uri.scheme_str()), (Version::HTTP_2, Some("https")));
    assert_eq!(request.uri.authority().map(ToString::to_string), Some(behind.address.to_string()));
    assert_eq!(request.uri.path_and_query().map(|target| target.as_str()), Some("/_fake/echo?a=%2F"));
    let mut said: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    said.sort_unstable();
    assert_eq!(
        said,
        [
            ("cookie", "a=1"),
            ("te", "trailers"),
            ("trailer", "X-Trailer"),
            ("via", "1.1 catproxy"),
            ("x-stays", "1")
        ]
    );
}

#[tokio::test]
async fn an_answer_s_trailers_come_through() {
    let behind = Behind::start(&BOTH, 100).await;
    let target = "/_fake/bytes/5?trailers=1";
    let ask = format!("GET {target} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    let mut client = Wire::saying(&behind.proxy, ask).await;
    assert_eq!(client.head().await.is(200).field("transfer-encoding"), Some("chunked"));
    assert!(client.until("\r\n\r\n").await.contains("0\r\nx-"), "trailers");
}

#[tokio::test]
async fn many_that_come_at_once_open_one_connection() {
    let behind = Behind::start(&BOTH, 100).await;
    for (number, reply) in behind.fifty().await.iter().enumerate() {
        assert_eq!(reply.is(200).body.len(), number + 1);
    }
    assert_eq!(behind.seen.connections(), (0, 1));
    until("nothing is on its way", || async { behind.proxy.inside.moment().upstream.busy == 0 }).await;
    assert_eq!(behind.proxy.inside.moment().upstream.idle, 1);
}

#[tokio::test]
async fn no_connection_carries_more_than_the_upstream_says() {
    let behind = Behind::start(&BOTH, 8).await;
    for reply in behind.fifty().await {
        reply.is(200);
    }
    let (first, second) = behind.seen.connections();
    assert_eq!(first, 0);
    assert!((2..=7).contains(&second) && behind.seen.most() <= 8 * second, "{second} connections");
}

#[tokio::test]
async fn an_upstream_that_speaks_http_1_alone_is_spoken_to_as_before() {
    for protocols in [&[b"http/1.1".as_slice()][..], &[]] {
        let behind = Behind::start(protocols, 1).await;
        for reply in behind.fifty().await {
            reply.is(200);
        }
        let token = behind.bench.upstream.token("demo");
        behind.proxy.get_as(&token, LIST).await.is(200).came("fwd=miss; stored");
        let echoed = behind.proxy.send("POST", "/_fake/echo", &[], &"b".repeat(1_000_000)).await;
        assert_eq!(echoed.is(200).field("via"), "1.1 catproxy");
        assert_eq!(behind.seen.connections().1, 0);
    }
}

#[tokio::test]
async fn switched_off_it_is_not_offered() {
    let behind = Behind::with(&BOTH, 100, |config| config.upstream.http2 = false).await;
    behind.proxy.send("GET", "/_fake/bytes/1", &[], "").await.is(200);
    assert_eq!(behind.seen.connections(), (1, 0));
}

#[tokio::test]
async fn a_websocket_has_a_connection_of_http_1() {
    let behind = Behind::start(&BOTH, 100).await;
    behind.proxy.send("GET", "/_fake/bytes/1", &[], "").await.is(200);
    let mut client = Wire::saying(&behind.proxy, HANDSHAKE).await;
    client.head().await.is(101);
    client.say("through").await;
    assert_eq!(client.exactly(7).await, "through");
    behind.proxy.send("GET", "/_fake/bytes/1", &[], "").await.is(200);
    assert_eq!(behind.seen.connections(), (1, 1));
}

#[tokio::test]
async fn who_reads_slowly_holds_up_nobody() {
    let behind = Behind::start(&BOTH, 100).await;
    let mut slow = Wire::saying(&behind.proxy, "GET /_fake/bytes/30000000 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    slow.head().await.is(200);
    let others = join_all((0..4).map(|_| behind.proxy.send("GET", "/_fake/bytes/10000000", &[], ""))).await;
    others.iter().for_each(|reply| assert_eq!(reply.is(200).body.len(), 10_000_000));
    assert_eq!(slow.exactly(30_000_000).await.chars().count(), 30_000_000);
    assert_eq!(behind.seen.connections(), (0, 1));
}

/// An upstream of HTTP/2 that does only what a test makes it do, and a proxy in front of it.
struct Scripted {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    proxy: Door,
}

impl Scripted {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config) + 'static) -> Self {
        let authority = Authority::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let acceptor = TlsAcceptor::from(Arc::new(authority.server("127.0.0.1", &BOTH)));
        let proxy = authority.trusted(Setup::new().config(change), address).await;
        Self { listener, acceptor, proxy }
    }

    /// The next connection, on which settings were said.
    async fn accept(&self) -> Second {
        let (stream, _) = in_time("a connection from the proxy", self.listener.accept()).await.expect("one");
        let stream = in_time("a handshake", self.acceptor.accept(stream)).await.expect("a session");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        Second::serving(stream, &[]).await
    }

    /// A request without a body, or with this one.
    fn asking(&self, method: &'static str, target: &'static str, body: &'static str) -> Asking {
        let address = self.proxy.address;
        tokio::spawn(async move { attempt(address, method, target, &[], body).await })
    }
}

type Asking = JoinHandle<Result<Reply, Unanswered>>;

async fn answered(asking: Asking) -> u16 {
    in_time("an answer", asking).await.expect("no panic").expect("a whole answer").status.as_u16()
}

fn answer(stream: u32) -> Vec<u8> {
    head(stream, END_STREAM, &[(":status", "200")])
}

/// Resets a stream, with this reason (RFC 9113 section 7).
fn reset(stream: u32, reason: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &reason.to_be_bytes())
}

/// Says that nothing behind this stream was looked at.
fn go_away(last: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), 0u32.to_be_bytes()].concat())
}

#[tokio::test]
async fn what_an_upstream_that_leaves_has_not_looked_at_is_sent_elsewhere() {
    let scripted = Scripted::start().await;
    let first = scripted.asking("GET", "/first", "");
    let mut leaving = scripted.accept().await;
    leaving.until(HEADERS, 1).await.expect("a request");
    let others = [scripted.asking("GET", "/second", ""), scripted.asking("DELETE", "/third", "")];
    leaving.until(HEADERS, 3).await.expect("a request");
    leaving.until(HEADERS, 5).await.expect("a request");
    leaving.say(&go_away(1)).await;
    let mut next = scripted.accept().await;
    for stream in [1, 3] {
        next.until(HEADERS, stream).await.expect("a request");
        next.say(&answer(stream)).await;
    }
    for other in others {
        assert_eq!(answered(other).await, 200);
    }
    // It goes on with what it has begun.
    leaving.say(&answer(1)).await;
    assert_eq!(answered(first).await, 200);
    let again = scripted.asking("GET", "/fourth", "");
    next.until(HEADERS, 5).await.expect("a request");
    next.say(&answer(5)).await;
    assert_eq!(answered(again).await, 200);
}

#[tokio::test]
async fn a_write_is_not_sent_again_where_it_may_have_been_done_and_a_read_is() {
    let scripted = Scripted::start().await;
    let write = scripted.asking("DELETE", "/api/Lot/1", "");
    let mut breaking = scripted.accept().await;
    breaking.until(HEADERS, 1).await.expect("a request");
    let read = scripted.asking("GET", "/x", "");
    breaking.until(HEADERS, 3).await.expect("a request");
    drop(breaking);
    assert_eq!(answered(write).await, 502);
    let mut next = scripted.accept().await;
    next.until(HEADERS, 1).await.expect("the read");
    next.say(&answer(1)).await;
    assert_eq!(answered(read).await, 200);
    // A second time is once too often.
    let read = scripted.asking("GET", "/x", "");
    next.until(HEADERS, 3).await.expect("the read");
    drop(next);
    let mut last = scripted.accept().await;
    last.until(HEADERS, 1).await.expect("the read again");
    drop(last);
    assert_eq!(answered(read).await, 502);
}

#[tokio::test]
async fn what_is_refused_unseen_is_sent_again_and_not_for_ever() {
    const REFUSED: u32 = 7;
    let scripted = Scripted::start().await;
    let write = scripted.asking("DELETE", "/api/Lot/1", "");
    let mut upstream = scripted.accept().await;
    for stream in [1, 3] {
        upstream.until(HEADERS, stream).await.expect("a request");
        upstream.say(&reset(stream, REFUSED)).await;
    }
    upstream.until(HEADERS, 5).await.expect("a request");
    upstream.say(&answer(5)).await;
    assert_eq!(answered(write).await, 200);
    let read = scripted.asking("GET", "/x", "");
    for stream in [7, 9, 11] {
        upstream.until(HEADERS, stream).await.expect("a request");
        upstream.say(&reset(stream, REFUSED)).await;
    }
    assert_eq!(answered(read).await, 502);
    // A client's body is sent as it comes, and cannot be had again.
    let write = scripted.asking("POST", "/api/Lot", "{}");
    upstream.until(DATA, 13).await.expect("a body");
    upstream.say(&reset(13, REFUSED)).await;
    assert_eq!(answered(write).await, 502);
    // What is refused for another reason may have been done.
    let write = scripted.asking("DELETE", "/api/Lot/1", "");
    upstream.until(HEADERS, 15).await.expect("a request");
    upstream.say(&reset(15, 2)).await;
    assert_eq!(answered(write).await, 502);
}

#[tokio::test]
async fn an_upstream_that_falls_silent_is_left_after_a_while() {
    let scripted = Scripted::start().await;
    let read = scripted.asking("GET", "/x", "");
    let mut silent = scripted.accept().await;
    silent.until(HEADERS, 1).await.expect("a request");
    // Ten seconds until it is asked for a sign of life, and five for that.
    let mut next = scripted.accept().await;
    next.until(HEADERS, 1).await.expect("the request again");
    next.say(&answer(1)).await;
    assert_eq!(answered(read).await, 200);
}

#[tokio::test]
async fn who_leaves_or_is_late_ends_a_stream_and_no_connection() {
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    let scripted = Scripted::with(|config| config.upstream.head_timeout = Duration::from_millis(400)).await;
    let client = Wire::saying(&scripted.proxy, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut upstream = scripted.accept().await;
    upstream.until(HEADERS, 1).await.expect("a request");
    drop(client);
    assert_eq!(upstream.reset(1).await, CANCEL);
    let late = scripted.asking("GET", "/late", "");
    upstream.until(HEADERS, 3).await.expect("a request");
    assert_eq!(answered(late).await, 504);
    assert_eq!(upstream.reset(3).await, CANCEL);
    let read = scripted.asking("GET", "/x", "");
    upstream.until(HEADERS, 5).await.expect("a request");
    upstream.say(&answer(5)).await;
    assert_eq!(answered(read).await, 200);
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let scripted = Scripted::start().await;
    let read = scripted.asking("GET", "/x", "");
    let mut upstream = scripted.accept().await;
    upstream.until(HEADERS, 1).await.expect("a request");
    let half =
        [head(1, 0, &[(":status", "200"), ("content-length", "10")]), frame(DATA, 0, 1, b"half")].concat();
    upstream.say(&half).await;
    upstream.say(&reset(1, 2)).await;
    let read = in_time("the end", read).await.expect("no panic");
    assert!(matches!(read, Err(Unanswered::Broken(status)) if status == 200), "{read:?}");
}

#[tokio::test]
async fn a_connection_that_is_not_used_is_closed_after_its_time() {
    let scripted = Scripted::with(|config| config.upstream.idle_timeout = Duration::from_millis(300)).await;
    for _ in 0..2 {
        let read = scripted.asking("GET", "/x", "");
        let mut upstream = scripted.accept().await;
        upstream.until(HEADERS, 1).await.expect("a request");
        upstream.say(&answer(1)).await;
        assert_eq!(answered(read).await, 200);
        while let Some(frame) = upstream.next().await {
            assert_ne!(frame.kind, PING, "it is kept");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_never_says_its_settings_is_no_connection() {
    let scripted =
        Scripted::with(|config| config.upstream.connect_timeout = Duration::from_millis(300)).await;
    let reads = [scripted.asking("GET", "/x", ""), scripted.asking("GET", "/y", "")];
    let (stream, _) = in_time("a connection", scripted.listener.accept()).await.expect("one");
    let _silent = in_time("a handshake", scripted.acceptor.accept(stream)).await.expect("a session");
    for read in reads {
        assert_eq!(answered(read).await, 504);
    }
    let read = scripted.asking("GET", "/x", "");
    let mut upstream = scripted.accept().await;
    // Some say them a second time.
    upstream.say(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1])).await;
    upstream.until(HEADERS, 1).await.expect("a request");
    upstream.say(&answer(1)).await;
    assert_eq!(answered(read).await, 200);
}

/// Plain requests offer HTTP/1.1 alone, as it was chosen before.
#[tokio::test]
async fn an_upstream_that_now_speaks_only_http_2_is_offered_that_after_one_plain_request() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let proxy = authority.trusted(Setup::new(), listener.local_addr().expect("an address")).await;
    let server = |protocols: &[&[u8]]| TlsAcceptor::from(Arc::new(authority.server("127.0.0.1", protocols)));
    let (first, second) = (server(&[b"http/1.1"]), server(&[b"h2"]));
    let accepted = async |server: &TlsAcceptor| {
        let (stream, _) = in_time("a connection from the proxy", listener.accept()).await.expect("one");
        server.accept(stream).await
    };
    let get = || proxy.send("GET", "/x", &[], "");
    // Each closes its connection.
    for _ in 0..2 {
        let served = async {
            let mut there = Wire::of(accepted(&first).await.expect("a handshake"));
            there.head().await;
            there.say("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        };
        tokio::join!(get(), served).0.is(204);
    }
    let (refused, handshake) = tokio::join!(get(), accepted(&second));
    refused.is(502);
    assert!(handshake.is_err(), "HTTP/1.1 alone was offered");
    let asking = tokio::spawn(async move { proxy.send("GET", "/x", &[], "").await });
    let stream = accepted(&second).await.expect("both are offered");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    asking.abort();
}
