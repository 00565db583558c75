//! The endpoints for tests of proxies.

use crate::client::{Bench, exchange, parse};
use fake_abconnect::byte_at;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn an_echo_tells_what_came_as_it_was_spelled() {
    let bench = Bench::start();
    let request = "PURGE /_fake/echo/a%2Fb?q=%20&q HTTP/1.1\r\nHOST: h\r\nx-Odd-CASE: \u{e9}\r\nConnection: close\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT-One: 1\r\n\r\n";
    let echo = parse(&exchange(bench.upstream.addr(), request.as_bytes()).await).json();
    assert_eq!((&echo["method"], &echo["target"]), (&json!("PURGE"), &json!("/_fake/echo/a%2Fb?q=%20&q")));
    assert_eq!(echo["headers"][1], json!(["x-Odd-CASE", "\u{e9}"]));
    assert_eq!(echo["headers"].as_array().unwrap().len(), 4);
    assert_eq!(echo["bodyLength"], 3);
    assert_eq!(echo["bodySha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(echo["trailers"], json!([["t-one", "1"]]));
}

#[tokio::test]
async fn generated_bytes_come_with_a_length_or_in_chunks_or_with_trailers() {
    let bench = Bench::start();
    let plain = bench.get("/_fake/bytes/200000").await;
    assert_eq!(plain.header("content-length"), Some("200000"));
    assert!(plain.raw_body.iter().zip(0..).all(|(byte, offset)| *byte == byte_at(offset)));
    assert_eq!(plain.raw_body.len(), 200_000);
    let chunked = bench.get("/_fake/bytes/10?chunked=1").await;
    assert_eq!(chunked.header("transfer-encoding"), Some("chunked"));
    assert!(chunked.raw_body.ends_with(b"\r\n0\r\n\r\n"));
    let trailers = bench.raw("GET", "/_fake/bytes/10?trailers=1", "TE: trailers\r\n", "").await;
    assert_eq!(trailers.header("trailer"), Some("x-fake-length"));
    let tail = String::from_utf8_lossy(&trailers.raw_body).to_lowercase();
    assert!(tail.ends_with("\r\n0\r\nx-fake-length: 10\r\n\r\n"), "{tail:?}");
    assert_eq!(bench.get("/_fake/bytes/x").await.status, 400);
    assert_eq!(bench.get("/_fake/slow/3?every=1").await.raw_body, [0, 1, 2]);
}

#[tokio::test]
async fn any_status_can_be_had_with_any_fields() {
    let bench = Bench::start();
    let reply = bench.get("/_fake/status/204?header=Set-Cookie:a%3D1&header=Set-Cookie:b%3D2").await;
    let cookies: Vec<&str> = reply
        .headers
        .iter()
        .filter(|(name, _)| name == "Set-Cookie")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!((reply.status, cookies), (204, vec!["a=1", "b=2"]));
    let reply = bench.get("/_fake/status/304").await;
    assert_eq!((reply.status, reply.header("etag"), reply.raw_body.len()), (304, Some("\"fake\""), 0));
    assert_eq!(bench.get("/_fake/status/418").await.json(), json!({ "status": 418 }));
    assert_eq!(bench.get("/_fake/status/100").await.status, 400);
}

#[tokio::test]
async fn an_early_answer_does_not_wait_for_the_body() {
    let bench = Bench::start();
    let request = "POST /_fake/early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nfirst";
    let reply = parse(&exchange(bench.upstream.addr(), request.as_bytes()).await);
    assert_eq!((reply.status, reply.json()), (200, json!({ "early": true })));
}

#[tokio::test]
async fn a_websocket_handshake_is_accepted_and_bytes_come_back() {
    let bench = Bench::start();
    let mut stream = TcpStream::connect(bench.upstream.addr()).await.unwrap();
    let request = "GET /_fake/websocket HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = parse(&head);
    assert_eq!(head.status, 101);
    assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    stream.write_all(b"\x81\x00GET /\r\n\r\n").await.unwrap();
    let mut back = [0; 11];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"\x81\x00GET /\r\n\r\n");
    assert_eq!(bench.get("/_fake/websocket").await.status, 400);
}
