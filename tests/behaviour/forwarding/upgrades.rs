//! WebSockets pass through a tunnel; no other answer opens one.

use super::wire::{RawUpstream, Wire};
use crate::support::Setup;

const HANDSHAKE: &str = "GET /_fake/websocket HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test]
async fn bytes_go_both_ways_through_a_websocket() {
    let bench = Setup::new().start().await;
    // The first ones come together with the handshake.
    let mut client = Wire::saying(&bench.proxy, format!("{HANDSHAKE}early")).await;
    let answered = client.head().await;
    assert_eq!(answered.line(), "HTTP/1.1 101 Switching Protocols");
    assert_eq!(answered.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(
        (answered.field("upgrade"), answered.field("connection")),
        (Some("websocket"), Some("Upgrade"))
    );
    assert_eq!((answered.field("cache-status"), answered.field("content-length")), (None, None));
    assert_eq!(client.exactly(5).await, "early");
    // What looks like a request is none any more.
    client.say("GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert_eq!(client.until("\r\n\r\n").await, "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(bench.upstream.calls().len(), 1);
}

#[tokio::test]
async fn a_tunnel_ends_on_both_sides_when_it_ends_on_one() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    for upstream_ends in [true, false] {
        let mut client = Wire::saying(&proxy, HANDSHAKE).await;
        let mut there = upstream.accept().await;
        let asked = there.head().await;
        assert_eq!((asked.field("upgrade"), asked.field("connection")), (Some("WebSocket"), Some("Upgrade")));
        there.say("HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello").await;
        assert_eq!(client.head().await.line(), "HTTP/1.1 101 Go");
        assert_eq!(client.exactly(5).await, "hello");
        let (gone, mut left) = if upstream_ends { (there, client) } else { (client, there) };
        drop(gone);
        left.is_closed().await;
    }
}

#[tokio::test]
async fn a_200_to_a_handshake_leaves_no_tunnel() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let second = "GET /second HTTP/1.1\r\nHost: a.example\r\nConnection: X-Smuggled\r\nX-Smuggled: 1\r\n\r\n";
    let mut client = Wire::saying(&proxy, format!("{HANDSHAKE}{second}")).await;
    let mut there = upstream.accept().await;
    there.head().await;
    there.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await;
    assert_eq!(client.message().await.1, "no");
    // As a request like any other: with its own fields taken off, on a connection where no other protocol was offered.
    let mut there = upstream.accept().await;
    let asked = there.head().await;
    assert_eq!((asked.line(), asked.field("x-smuggled")), ("GET /second HTTP/1.1", None));
    assert_eq!(asked.field("via"), Some("1.1 catproxy"));
    there.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    client.head().await.is(204);
}
