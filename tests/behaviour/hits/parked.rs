//! A connection that is not used keeps nothing but its place; what comes on it then is answered as before.

use std::time::Duration;

use catproxy::{config::RouteKind, server::Stopped};
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use super::{
    cases::{FORWARDED, LIST},
    lasting,
};
use crate::{
    forwarding::wire::{RawUpstream, Wire, in_time},
    support::{Bench, Door, until},
};

/// What has not been used for so long is parked: half a second, and a look four times a second.
const PARKED: Duration = Duration::from_millis(1200);

/// As many as make a page that is larger than what is written ahead of its reader.
const SELLERS: usize = 20_000;

fn read(token: &str) -> String {
    format!("GET {LIST} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
}

/// A proxy that has the page, and the request for it.
async fn warm(hit_loop: bool) -> (Bench, String) {
    let bench = lasting(hit_loop).start().await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, LIST).await.is(200);
    let read = read(&token);
    (bench, read)
}

async fn answered(client: &mut Wire, status: u16) {
    client.message().await.0.is(status);
}

#[tokio::test]
async fn what_comes_after_a_while_is_answered_also_where_its_first_byte_comes_alone() {
    for hit_loop in [true, false] {
        let (bench, read) = warm(hit_loop).await;
        let mut clients = Vec::new();
        for before in [read.as_str(), FORWARDED] {
            for cut in [0, 1, read.len() / 2] {
                let mut client = Wire::saying(&bench.proxy, before).await;
                client.message().await;
                clients.push((client, cut));
            }
        }
        for _ in 0..2 {
            sleep(PARKED).await;
            for (client, cut) in &mut clients {
                let (first, rest) = read.split_at(*cut);
                client.say(first).await;
                tokio::task::yield_now().await;
                client.say(rest).await;
                answered(client, 200).await;
                client.say([FORWARDED, FORWARDED].concat()).await;
                answered(client, 204).await;
                answered(client, 204).await;
            }
        }
    }
}

/// What is said at first, how many answers that has, what is said after the half second, and the status of its answer.
type Halves = (String, usize, String, u16);

async fn is_not_lost(proxy: &Door, (before, answers, rest, status): Halves) {
    let mut client = Wire::saying(proxy, before).await;
    for _ in 0..answers {
        client.message().await;
    }
    sleep(PARKED).await;
    client.say(rest).await;
    answered(&mut client, status).await;
}

#[tokio::test]
async fn half_a_request_behind_another_is_not_lost_where_the_rest_takes_its_time() {
    for hit_loop in [true, false] {
        let (bench, read) = warm(hit_loop).await;
        let half = read.split_at(read.len() / 2);
        let of = |before: &[&str], answers, rest: &[&str], status| {
            (before.concat(), answers, rest.concat(), status)
        };
        let cases = [
            of(&[half.0], 0, &[half.1], 200),
            of(&[&read, half.0], 1, &[half.1], 200),
            of(&[FORWARDED, half.0], 1, &[half.1], 200),
            of(&[FORWARDED, "G"], 1, &[&FORWARDED[1..]], 204),
            of(&[FORWARDED, "\r"], 1, &["\n", FORWARDED], 204),
            of(&[FORWARDED, "\r\n"], 1, &[FORWARDED], 204),
            of(&[&read, "\r\n\r\n"], 1, &[&read], 200),
        ];
        join_all(cases.into_iter().map(|case| is_not_lost(&bench.proxy, case))).await;
    }
}

/// An upstream may answer before it has all of a body, and take the rest after it.
#[tokio::test]
async fn a_body_that_goes_on_behind_its_answer_is_not_broken_off() {
    let (upstream, proxy) = RawUpstream::behind(lasting(true)).await;
    let mut client =
        Wire::saying(&proxy, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello").await;
    let mut there = upstream.accept().await;
    there.head().await;
    assert_eq!(there.exactly(5).await, "hello");
    there.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.message().await.1, "ok");
    sleep(PARKED).await;
    client.say("world").await;
    assert_eq!(there.exactly(5).await, "world");
}

#[tokio::test]
async fn a_parked_connection_is_closed_at_once_where_the_server_stops() {
    let (bench, read) = warm(true).await;
    let mut clients = Vec::new();
    for before in [read.as_str(), FORWARDED, &[read.as_str(), FORWARDED].concat()] {
        let mut client = Wire::saying(&bench.proxy, before).await;
        client.message().await;
        clients.push(client);
    }
    answered(clients.last_mut().expect("a client"), 204).await;
    sleep(PARKED).await;
    let stopped = bench.proxy.close();
    for client in &mut clients {
        client.is_closed().await;
    }
    assert_eq!(in_time("the end", stopped).await.expect("no panic"), Stopped::Drained);
}

#[tokio::test]
async fn a_parked_connection_has_one_of_the_seats_until_its_client_leaves() {
    let bench = lasting(true).config(|config| config.clients.connections = 3).start().await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, LIST).await.is(200);
    let read = read(&token);
    let client = async |words: &str| {
        let mut client = Wire::saying(&bench.proxy, words).await;
        client.message().await;
        client
    };
    let (mut first, mut second) = (client(&read).await, client(FORWARDED).await);
    let mut leaves = TcpStream::connect(bench.proxy.address).await.expect("a connection");
    leaves.write_all(read.as_bytes()).await.expect("an open line");
    sleep(PARKED).await;
    leaves.shutdown().await.expect("an open line");
    let _ = in_time("the end", leaves.read_to_end(&mut Vec::new())).await;
    for other in [&mut first, &mut second] {
        other.say(&read).await;
        answered(other, 200).await;
    }
    let _third = client(&read).await;
    for other in [&mut first, &mut second] {
        other.say(&read).await;
        answered(other, 200).await;
    }
    // All three are taken now.
    sleep(PARKED).await;
    first.say(&read).await;
    answered(&mut first, 200).await;
    let _fourth = client(&read).await;
    first.say(&read).await;
    answered(&mut first, 200).await;
    assert_eq!(bench.count("refused_connections"), 0);
}

#[tokio::test]
async fn a_hit_that_is_being_written_when_the_server_stops_is_finished_and_the_next_one_is_the_last() {
    let setup = lasting(true).upstream(|options| options.sellers = SELLERS).routes(|route| {
        if let RouteKind::List { max_page_size, .. } = &mut route.kind {
            *max_page_size = 100_000;
        }
    });
    let bench = setup.start().await;
    let token = bench.upstream.token("demo");
    let target = format!("/api/Seller?PageNumber=1&PageSize={SELLERS}");
    let whole = bench.get_as(&token, &target).await;
    bench.get_as(&token, &target).await.came("hit");
    let read = format!("GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut client = Wire::saying(&bench.proxy, read.repeat(2)).await;
    let first = client.head().await;
    let address = bench.proxy.address;
    let stopped = bench.proxy.close();
    until("the door is closed", || async move { TcpStream::connect(address).await.is_err() }).await;
    assert_eq!(first.is(200).field("connection"), None);
    assert_eq!(client.exactly(whole.body.len()).await.len(), whole.body.len());
    let (second, body) = client.message().await;
    assert_eq!((second.is(200).field("connection"), body.len()), (Some("close"), whole.body.len()));
    client.is_closed().await;
    assert_eq!(in_time("the end", stopped).await.expect("no panic"), Stopped::Drained);
}
