//! Attacks by time and number: others are served meanwhile, and the attacker's connections end.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use catproxy::config::Clients;
use fake_abconnect::Matching;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
};

use super::frames::{
    ACK, CONTINUATION, DATA, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, Second, WINDOW_UPDATE,
    block, frame, head,
};
use crate::{
    forwarding::wire::{RawUpstream, Wire, in_time},
    support::{Bench, Door, Setup, until},
};

const GET: &str = "GET /_fake/status/204 HTTP/1.1\r\nHost: a\r\n\r\n";
const REQUEST: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/_fake/status/204")];

/// More window than there may be: an error of its stream alone, where an update by nothing ends the connection.
const OVERFLOW: [u8; 4] = [0x7f, 0xff, 0xff, 0xff];

/// A proxy whose patience with clients is this.
fn patient(change: impl FnOnce(&mut Clients) + 'static) -> Setup {
    Setup::new().config(|config| change(&mut config.clients))
}

/// A head may take half a second, a connection be unused for as long.
fn hasty() -> Setup {
    patient(|clients| {
        clients.head_timeout = Duration::from_millis(500);
        clients.idle_timeout = Duration::from_millis(500);
    })
}

/// A client that came just now is answered.
async fn others_are_served(bench: &Bench) {
    let asked = Instant::now();
    Wire::saying(&bench.proxy, GET).await.head().await.is(204);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn who_says_nothing_or_half_a_head_is_put_out() {
    let bench = hasty().start().await;
    let mut clients = Vec::new();
    for words in ["", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX-", "PRI * HTTP/2.0\r\n"] {
        clients.push(Wire::saying(&bench.proxy, words).await);
    }
    others_are_served(&bench).await;
    for client in &mut clients {
        client.is_closed().await;
    }
    assert!(bench.count("ended_connections") >= 1);
    assert_eq!(bench.upstream.calls().len(), 1);
}

#[tokio::test]
async fn a_byte_now_and_then_prolongs_no_head() {
    let bench = hasty().start().await;
    let mut first = Wire::saying(&bench.proxy, "GET /").await;
    let mut later = Wire::saying(&bench.proxy, GET).await;
    later.head().await.is(204);
    let drip = async |client: &mut Wire| {
        let begun = Instant::now();
        while client.say_if_heard("x").await && begun.elapsed() < Duration::from_secs(15) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "it is heard still");
    };
    tokio::join!(drip(&mut first), drip(&mut later));
    others_are_served(&bench).await;
}

#[tokio::test]
async fn an_unused_connection_is_closed_and_one_in_use_is_not() {
    let bench = hasty().start().await;
    let mut unused = Wire::saying(&bench.proxy, GET).await;
    unused.head().await.is(204);
    let gate = bench.upstream.gate(Matching::path("/_fake/status/200"));
    let mut waits = Wire::saying(&bench.proxy, GET.replace("204", "200")).await;
    unused.is_closed().await;
    gate.open();
    waits.head().await.is(200);
}

#[tokio::test]
async fn for_one_more_the_longest_unused_has_to_go_and_one_in_use_never() {
    let bench = patient(|clients| clients.connections = 3).start().await;
    let gate = bench.upstream.gate(Matching::path("/_fake/status/200"));
    let mut busy = Wire::saying(&bench.proxy, GET.replace("204", "200")).await;
    bench.upstream.wait_for_calls(&Matching::all(), 1).await;
    let mut older = Wire::saying(&bench.proxy, GET).await;
    older.head().await.is(204);
    let mut newer = Wire::saying(&bench.proxy, GET).await;
    newer.head().await.is(204);
    others_are_served(&bench).await;
    older.is_closed().await;
    gate.open();
    busy.head().await.is(200);
    assert_eq!(bench.count("refused_connections"), 0);
}

#[tokio::test]
async fn where_all_seats_are_in_use_one_more_is_turned_away() {
    let bench = patient(|clients| clients.connections = 2).start().await;
    let gate = bench.upstream.gate(Matching::path("/_fake/status/200"));
    let mut busy = Vec::new();
    for count in 1..=2 {
        busy.push(Wire::saying(&bench.proxy, GET.replace("204", "200")).await);
        bench.upstream.wait_for_calls(&Matching::all(), count).await;
    }
    let mut turned_away = Wire::to(&bench.proxy).await;
    let (answer, reason) = turned_away.message().await;
    assert_eq!(answer.is(503).field("retry-after"), Some("1"));
    assert!(reason.contains("too many connections"), "{reason}");
    turned_away.is_closed().await;
    gate.open();
    for mut client in busy {
        client.head().await.is(200);
    }
    others_are_served(&bench).await;
    assert_eq!(bench.count("refused_connections"), 1);
}

async fn from(address: [u8; 4], proxy: &Door, words: &str) -> Wire {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(IpAddr::from(address), 0)).expect("an address of loopback");
    let mut client = Wire::of(socket.connect(proxy.address).await.expect("a connection"));
    client.say(words).await;
    client
}

#[tokio::test]
async fn one_address_does_not_take_the_seats_of_the_others() {
    let bench = patient(|clients| clients.connections_per_address = 2).start().await;
    let gate = bench.upstream.gate(Matching::path("/_fake/status/200"));
    let slow = GET.replace("204", "200");
    let mut busy = Vec::new();
    for count in 1..=2 {
        busy.push(from([127, 0, 0, 2], &bench.proxy, &slow).await);
        bench.upstream.wait_for_calls(&Matching::all(), count).await;
    }
    from([127, 0, 0, 2], &bench.proxy, "").await.head().await.is(503);
    from([127, 0, 0, 3], &bench.proxy, GET).await.head().await.is(204);
    gate.open();
    for mut client in busy {
        client.head().await.is(200);
    }
    from([127, 0, 0, 2], &bench.proxy, GET).await.head().await.is(204);
}

/// Writes that their client resets go on: they have a bound of their own.
#[tokio::test]
async fn no_more_requests_are_on_their_way_upstream_than_is_configured() {
    let setup = Setup::new().config(|config| {
        config.upstream.connections = 3;
        config.upstream.connect_timeout = Duration::from_millis(300);
    });
    let bench = setup.start().await;
    let gate = bench.upstream.gate(Matching::path("/_fake/echo"));
    let mut attacker = Second::to(&bench.proxy).await;
    for (count, stream) in (1..200).step_by(2).enumerate() {
        let post = [(":method", "POST"), REQUEST[1], REQUEST[2], (":path", "/_fake/echo")];
        attacker.say(&head(stream, END_STREAM, &post)).await;
        if count < 3 {
            bench.upstream.wait_for_calls(&Matching::path("/_fake/echo"), count + 1).await;
        }
        attacker.say(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])).await;
    }
    let (busy, reason) = Wire::saying(&bench.proxy, GET).await.message().await;
    assert_eq!(busy.is(503).field("retry-after"), Some("1"));
    assert!(reason.contains("too many requests wait"), "{reason}");
    assert_eq!(bench.upstream.calls().len(), 3);
    gate.open();
    others_are_served(&bench).await;
}

/// The upstream answers at once and reads no more: nobody reads or writes on the client's connection.
#[tokio::test]
async fn a_connection_on_which_nothing_goes_on_is_closed_all_the_same() {
    let (upstream, proxy) = RawUpstream::behind(hasty()).await;
    let request = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n";
    let mut client = Wire::saying(&proxy, request).await;
    let mut there = upstream.accept().await;
    there.head().await;
    there.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    client.head().await.is(204);
    client.while_pouring(async |client| client.is_closed().await).await;
}

/// RUDY: a body of a few bytes a second. Twenty seconds are anybody's.
#[tokio::test]
async fn who_sends_a_body_too_slowly_is_told_so() {
    let (upstream, proxy) = RawUpstream::behind(patient(|clients| clients.min_rate = 1_000_000)).await;
    let request = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    let mut client = Wire::saying(&proxy, request).await;
    let mut there = upstream.accept().await;
    there.head().await;
    let begun = Instant::now();
    while client.say_if_heard("x").await && begun.elapsed() < Duration::from_secs(40) {
        if client.has_come("408").await {
            assert!(begun.elapsed() >= Duration::from_secs(19), "{:?}", begun.elapsed());
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it is heard still");
}

/// A body that stops, and one of which nobody has any use.
#[tokio::test]
async fn bodies_that_never_end_hold_nothing() {
    let bench = Setup::new()
        .config(|config| {
            config.upstream.body_timeout = Duration::from_millis(300);
            config.clients.idle_timeout = Duration::from_millis(300);
        })
        .start()
        .await;
    let body = "Host: a\r\nContent-Length: 100000\r\n\r\nabc";
    let mut read = Wire::saying(&bench.proxy, format!("POST /_fake/echo HTTP/1.1\r\n{body}")).await;
    let mut unread = Wire::saying(&bench.proxy, format!("TRACE / HTTP/1.1\r\n{body}")).await;
    read.head().await.is(408);
    unread.head().await.is(405);
    read.rest().await;
    unread.rest().await;
    others_are_served(&bench).await;
}

/// Ten thousand requests, each with this frame behind it that ends it, as far as they are taken.
async fn requests_that_end_at_once(kind: u8, payload: &[u8]) {
    let bench = Setup::new().start().await;
    let mut attacker = Second::to(&bench.proxy).await;
    for stream in (1..20_000).step_by(2) {
        let request = head(stream, END_STREAM, &REQUEST);
        if !attacker.say(&[request, frame(kind, 0, stream, payload)].concat()).await {
            break;
        }
    }
    others_are_served(&bench).await;
    attacker.is_closed().await;
    let calls = bench.upstream.calls().len();
    assert!(calls < 5_000, "{calls} of 10,000 went on");
}

#[tokio::test]
async fn requests_that_are_reset_at_once_end_their_connection_and_no_other() {
    requests_that_end_at_once(RST_STREAM, &[0, 0, 0, 8]).await;
}

/// MadeYouReset: the client makes the server reset them.
#[tokio::test]
async fn requests_that_the_server_has_to_reset_end_their_connection_and_no_other() {
    requests_that_end_at_once(WINDOW_UPDATE, &OVERFLOW).await;
}

/// Those on which work has begun are no longer counted among the ones that wait for it.
#[tokio::test]
async fn requests_that_the_server_has_to_reset_amid_their_answers_end_their_connection() {
    let bench = Setup::new().start().await;
    let _gate = bench.upstream.gate(Matching::path("/_fake/status/204"));
    let mut attacker = Second::to(&bench.proxy).await;
    let (all, mut reset) = (Matching::all(), 0);
    for stream in (1..600).step_by(2) {
        attacker.say(&head(stream, END_STREAM, &REQUEST)).await;
        let arrives = bench.upstream.wait_for_calls(&all, reset + 1);
        if tokio::time::timeout(Duration::from_secs(3), arrives).await.is_err() {
            break;
        }
        attacker.say(&frame(WINDOW_UPDATE, 0, stream, &OVERFLOW)).await;
        reset += 1;
    }
    assert!((1..200).contains(&reset), "{reset} of 300");
    attacker.is_closed().await;
}

#[tokio::test]
async fn more_requests_at_a_time_than_configured_are_refused_and_the_others_answered() {
    let bench = patient(|clients| clients.streams = 2).start().await;
    let gate = bench.upstream.gate(Matching::path("/_fake/status/204"));
    let mut client = Second::to(&bench.proxy).await;
    for stream in [1, 3, 5] {
        client.say(&head(stream, END_STREAM, &REQUEST)).await;
    }
    let refused = client.until(RST_STREAM, 5).await.expect("a refusal");
    assert_eq!(refused.payload, [0, 0, 0, 7], "REFUSED_STREAM");
    gate.arrived(2).await;
    gate.open();
    assert_eq!(client.status(1).await, Some(204));
    assert_eq!(bench.upstream.calls().len(), 2);
}

#[tokio::test]
async fn a_head_without_an_end_is_not_gathered() {
    let bench = Setup::new().start().await;
    let mut attacker = Second::to(&bench.proxy).await;
    attacker.say(&frame(HEADERS, END_STREAM, 1, &block(&REQUEST))).await;
    let piece = block(&[("x-endless", "x".repeat(1_000).as_str())]);
    let mut said = 0;
    while said < 100_000 && attacker.say(&frame(CONTINUATION, 0, 1, &piece)).await {
        said += 1;
    }
    assert!(said < 100_000, "100 MB were taken");
    others_are_served(&bench).await;
    assert_eq!(bench.upstream.calls().len(), 1);
}

#[tokio::test]
async fn floods_of_pings_settings_and_empty_frames_harm_nobody_else() {
    let bench = Setup::new().start().await;
    let settings = [0, 4, 0, 1, 0, 0].repeat(100);
    for flood in [
        frame(PING, 0, 0, &[0; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(SETTINGS, 0, 0, &settings),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        frame(2, 0, 1, &[0, 0, 0, 0, 1]),
        frame(0x42, 0, 0, b"unknown"),
        frame(PING, ACK, 0, &[0; 8]),
    ] {
        let mut attacker = Second::to(&bench.proxy).await;
        // What is answered is not read: at some point nothing more is taken.
        let _ = tokio::time::timeout(Duration::from_millis(500), async {
            while attacker.say(&flood.repeat(1_000)).await {}
        })
        .await;
        others_are_served(&bench).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_never_taken_ends_its_connection() {
    let setup = patient(|clients| clients.stall_timeout = Duration::from_millis(600));
    let bench = setup.start().await;
    let mut attacker = Second::to(&bench.proxy).await;
    // No window: nothing of an answer may be sent.
    attacker.say(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    let large = [REQUEST[0], REQUEST[1], REQUEST[2], (":path", "/_fake/bytes/100000")];
    for stream in [1, 3, 5] {
        attacker.say(&head(stream, END_STREAM, &large)).await;
    }
    let mut heard = async || while attacker.next().await.is_some() {};
    tokio::join!(in_time("the end of the attacker's connection", heard()), others_are_served(&bench));
    assert!(bench.count("ended_connections") >= 1);
}

/// The system would keep some megabytes for each client of that kind, for as long as it likes.
#[tokio::test]
async fn what_a_client_does_not_take_is_kept_for_it_by_nobody() {
    let setup = patient(|clients| clients.stall_timeout = Duration::from_millis(600));
    let bench = setup.start().await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small window");
    let mut attacker = socket.connect(bench.proxy.address).await.expect("a connection");
    attacker.write_all(GET.replace("status/204", "bytes/50000000").as_bytes()).await.expect("an open line");
    until("its connection is ended", async || bench.count("ended_connections") == 1).await;
    others_are_served(&bench).await;
    let end = in_time("the end", tokio::io::copy(&mut attacker, &mut tokio::io::sink())).await;
    assert_eq!(end.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
}

/// What the upstream takes its time for is not the client's pause.
#[tokio::test]
async fn who_waits_for_an_upstream_over_http_2_is_not_put_out() {
    let stall = Duration::from_millis(600);
    let (upstream, proxy) = RawUpstream::behind(patient(move |clients| clients.stall_timeout = stall)).await;
    let mut client = Second::to(&proxy).await;
    client.say(&head(1, END_STREAM, &REQUEST)).await;
    let mut there = upstream.accept().await;
    there.head().await;
    tokio::time::sleep(3 * stall).await;
    there.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await;
    assert_eq!(client.status(1).await, Some(200));
    assert_eq!(client.until(DATA, 1).await.expect("half of it").payload, b"o");
    tokio::time::sleep(3 * stall).await;
    there.say("k").await;
    assert_eq!(client.until(DATA, 1).await.expect("the rest").payload, b"k");
}

#[tokio::test]
async fn an_unused_connection_of_http_2_is_told_goodbye_whatever_it_pings() {
    let bench = hasty().start().await;
    let mut client = Second::to(&bench.proxy).await;
    client.say(&head(1, END_STREAM, &REQUEST)).await;
    assert_eq!(client.status(1).await, Some(204));
    let mut farewell = None;
    let begun = Instant::now();
    while farewell.is_none() && begun.elapsed() < Duration::from_secs(15) {
        client.say(&frame(PING, 0, 0, &[7; 8])).await;
        let Some(frame) = client.next().await else { break };
        farewell = (frame.kind == GOAWAY).then_some(frame);
    }
    let farewell = farewell.expect("a GOAWAY");
    assert_eq!(farewell.payload[4..8], [0, 0, 0, 0], "NO_ERROR");
}

#[tokio::test]
async fn stopping_says_goodbye_to_http_2_and_finishes_its_requests() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let mut client = Second::to(&proxy).await;
    client.say(&head(1, END_STREAM, &REQUEST)).await;
    let mut there = upstream.accept().await;
    there.head().await;
    let address = proxy.address;
    let stopped = proxy.close();
    let farewell = client.until(GOAWAY, 0).await.expect("a goodbye");
    assert_eq!(farewell.payload[4..8], [0, 0, 0, 0], "NO_ERROR");
    assert!(TcpStream::connect(address).await.is_err(), "the door is closed");
    there.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.status(1).await, Some(200));
    let body = client.until(DATA, 1).await.expect("its body");
    assert_eq!(body.payload, b"ok");
    // hyper waits for a sign that the goodbye was heard.
    client.say(&frame(PING, ACK, 0, b"\x0b\x7b\xa2\xf0\x8b\x9b\xfe\x54")).await;
    client.is_closed().await;
    assert_eq!(in_time("the end", stopped).await.expect("no panic"), catproxy::server::Stopped::Drained);
}
