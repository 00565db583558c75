//! Told to stop: what is in flight is finished, what has no end is closed, and nothing is left half done.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use catproxy::{config::Admin, server::Stopped};
use fake_abconnect::{FakeAbconnect, Matching, Options};
use rustix::process::Signal;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::{
    forwarding::wire::{Wire, in_time},
    process::Process,
    support::{RedisServer, Setup, arrived, send, until},
};

const LIST: &str = "/api/Seller?PageNumber=1&PageSize=5";
const KEY: &str = "cat_sellers_all";

/// What is stored of the sellers.
async fn stored(server: &RedisServer) -> Option<Value> {
    let text: Option<String> = redis::from_redis_value(server.command(&["GET", KEY]).await).expect("a text");
    text.map(|text| serde_json::from_str(&text).expect("a whole entry"))
}

#[tokio::test]
async fn a_fill_that_is_in_flight_is_finished_or_dropped_and_never_stored_in_part() {
    for (signal, client_stays) in [(Signal::TERM, true), (Signal::TERM, false), (Signal::KILL, true)] {
        let server = RedisServer::start().await;
        let upstream = FakeAbconnect::start(Options::default()).expect("the stand-in starts");
        let mut program = Process::start_on(upstream.url(), &server.url()).await;
        let gate = upstream.gate(Matching::path("/api/Seller").query("PageNumber=2"));
        let mut client = Wire::of(program.connect().await);
        let token = upstream.token("demo");
        client.say(format!("GET {LIST} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")).await;
        arrived(&gate, 1).await;
        if !client_stays {
            drop(client);
            program.signal(signal);
            assert_eq!(program.ended().await, Some(0), "nobody waits for it");
            assert_eq!(stored(&server).await, None);
            continue;
        }
        program.signal(signal);
        if signal == Signal::KILL {
            assert_eq!(program.ended().await, None);
            client.is_closed().await;
            assert_eq!(stored(&server).await, None);
            continue;
        }
        let address = program.address;
        until("the door is closed", || async move { TcpStream::connect(address).await.is_err() }).await;
        gate.open();
        let (head, body) = client.message().await;
        assert_eq!(head.is(200).field("connection"), Some("close"));
        assert!(body.contains("\"totalItems\":730"), "{body}");
        assert_eq!(program.ended().await, Some(0));
        let entry = stored(&server).await.expect("an entry");
        assert_eq!(entry["items"].as_array().map(Vec::len), Some(730));
    }
}

/// A tunnel has no end of its own: it is closed when the time to drain is over, and that is no loss.
#[tokio::test]
async fn stopping_closes_tunnels_after_a_while() {
    let setup = Setup::new().config(|config| config.clients.drain_timeout = Duration::from_millis(500));
    let bench = setup.start().await;
    let handshake = "GET /_fake/websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut client = Wire::saying(&bench.proxy, handshake).await;
    client.head().await.is(101);
    let stopped = bench.proxy.close();
    client.say("still").await;
    assert_eq!(client.exactly(5).await, "still");
    client.is_closed().await;
    assert_eq!(in_time("the end", stopped).await.expect("no panic"), Stopped::Drained);
}

/// It has been let in, so nobody else will answer it.
#[tokio::test]
async fn who_has_just_come_in_when_it_stops_is_heard_and_answered() {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    loop {
        let setup = Setup::new().config(move |config| {
            config.admin = Some(Admin { listen, token: None });
            config.clients.drain_timeout = Duration::from_secs(60);
        });
        let bench = setup.start().await;
        let (address, admin) = (bench.proxy.address, bench.proxy.admin.expect("an admin listener"));
        let token = bench.upstream.token("demo");
        let came = Instant::now();
        let connect = async || Wire::of(TcpStream::connect(address).await.expect("a connection"));
        let (mut one, mut other, mut silent) = (connect().await, connect().await, connect().await);
        let count = async || send(admin, "GET", "/status", &[], "").await.json()["connections"].clone();
        until("all are in", || async { count().await == 3 }).await;
        let stopped = bench.proxy.close();
        until("the door is closed", || async { TcpStream::connect(address).await.is_err() }).await;
        if came.elapsed() > Duration::from_millis(600) {
            // The machine stood still: they are no newcomers any more.
            continue;
        }
        for (client, target) in [(&mut one, LIST), (&mut other, "/api/Seller?Name=Fine&PageSize=1")] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
            client.say(head).await;
        }
        for mut client in [one, other] {
            let (head, _) = client.message().await;
            assert_eq!(head.is(200).field("connection"), Some("close"));
            client.is_closed().await;
        }
        // It is not waited for until the time to drain is over.
        silent.is_closed().await;
        in_time("the end", stopped).await.expect("no panic");
        return;
    }
}
