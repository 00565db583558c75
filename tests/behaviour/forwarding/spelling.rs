//! The names of a request's fields go up in their case, whatever comes before, between and behind.

use std::time::Duration;

use tokio::time::sleep;

use super::wire::{Head, RawUpstream, Wire};
use crate::{hits::lasting, support::Setup};

const NOTHING: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const LIST: &str = "/api/Seller?PageNumber=1&PageSize=1";
/// Fields of requests, each in another way.
const ODD: [&str; 4] = [
    "HOST: a.example\r\nx-One: 1\r\nX-two: 2\r\n",
    "host: a.example\r\nx-one: 1\r\n",
    "hOsT: a.example\r\nX-TWO: 1\r\nx-ONE: 2\r\n",
    "Host: a.example\r\nX-ONE: 1\r\nX-One: 2\r\nx-one: 3\r\nX-One: 4\r\n",
];

fn get(fields: &str) -> String {
    format!("GET /x HTTP/1.1\r\n{fields}\r\n")
}

/// The names of a client's fields as they stand in a head, without our own `Via`.
fn names(head: &Head) -> Vec<String> {
    head.fields().map(|(name, _)| name.to_owned()).filter(|name| name != "via").collect()
}

fn names_in(fields: &str) -> Vec<String> {
    names(&Head(get(fields)))
}

/// Upstream come these, one after the other, and are answered to the client.
async fn come(there: &mut Wire, client: &mut Wire, all: &[&str]) {
    for fields in all {
        assert_eq!(names(&there.head().await), names_in(fields));
        there.say(NOTHING).await;
        client.head().await.is(204);
    }
}

#[tokio::test]
async fn requests_that_come_at_once_are_each_spelled_in_their_own_way() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let mut client = Wire::saying(&proxy, ODD.map(get).concat()).await;
    let mut there = upstream.accept().await;
    come(&mut there, &mut client, &ODD).await;
    client.say(ODD.map(get).concat()).await;
    come(&mut there, &mut client, &ODD).await;
}

#[tokio::test]
async fn requests_are_spelled_in_their_own_way_among_others_that_the_cache_answers() {
    let (upstream, proxy) = RawUpstream::behind(lasting(true)).await;
    let read = format!("GET {LIST} HTTP/1.1\r\nHost: a.example\r\nAUTHORIZATION: Bearer t\r\n\r\n");
    let list = r#"{"items":[{"id":1,"name":"a"}],"pageNumber":1,"totalPages":1,"totalItems":1}"#;
    let mut client = Wire::saying(&proxy, &read).await;
    let mut there = upstream.accept().await;
    there.head().await;
    let fields = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", list.len());
    there.say(format!("HTTP/1.1 200 OK\r\n{fields}\r\n{list}")).await;
    client.message().await.0.is(200);
    let [first, second, third, fourth] = ODD.map(get);
    let all =
        [&read, &first, &read, &read, &second, &third, &read, &fourth, &read].map(String::as_str).concat();
    // Once whole, once cut in each of the places where what has come is a part of a head.
    for cut in (0..all.len()).step_by(41) {
        let (before, after) = all.split_at(cut);
        client.say(before).await;
        sleep(Duration::from_millis(2)).await;
        client.say(after).await;
        for (hits, fields) in [(1, &ODD[..1]), (2, &ODD[1..3]), (1, &ODD[3..]), (1, &[])] {
            for _ in 0..hits {
                client.message().await.0.is(200);
            }
            come(&mut there, &mut client, fields).await;
        }
    }
}

#[tokio::test]
async fn a_body_goes_up_as_it_is_behind_a_head_in_odd_case() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let body = "POST /x HTTP/1.1\r\nhost: a\r\nx-odd: 1\r\n\r\nX-ODD: 2";
    let (length, chunk) = (body.len(), format!("{:X}\r\n{body}\r\n0\r\n\r\n", body.len()));
    for (framing, body) in [
        (format!("CONTENT-length: {length}\r\n"), body.to_owned()),
        ("transfer-ENCODING: chunked\r\n".to_owned(), chunk),
    ] {
        let fields = format!("hOST: a.example\r\nX-odd: 1\r\nx-ODD: 2\r\n{framing}");
        let mut client = Wire::saying(&proxy, format!("POST /x HTTP/1.1\r\n{fields}\r\n{body}")).await;
        let mut there = upstream.accept().await;
        assert_eq!(names(&there.head().await), names_in(&fields));
        assert_eq!(there.exactly(body.len()).await, body);
        there.say("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        client.head().await.is(204);
    }
}

#[tokio::test]
async fn a_request_that_is_sent_once_more_is_spelled_as_before() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let mut client = Wire::saying(&proxy, get(ODD[1])).await;
    let mut stale = upstream.accept().await;
    come(&mut stale, &mut client, &ODD[1..2]).await;
    client.say(get(ODD[3])).await;
    assert_eq!(names(&stale.head().await), names_in(ODD[3]));
    drop(stale);
    let mut fresh = upstream.accept().await;
    come(&mut fresh, &mut client, &ODD[3..]).await;
}

#[tokio::test]
async fn a_handshake_is_spelled_as_it_came_and_what_follows_is_as_it_is() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let fields = "HOST: a.example\r\nSEC-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nUPGRADE: websocket\r\n\
        CONNECTION: Upgrade\r\n";
    let mut client = Wire::saying(&proxy, get(fields)).await;
    let mut there = upstream.accept().await;
    assert_eq!(names(&there.head().await), names_in(fields));
    there.say("HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n").await;
    client.head().await.is(101);
    client.say(get(ODD[1])).await;
    assert_eq!(there.until("\r\n\r\n").await, get(ODD[1]));
}
