//! After a write through the proxy the next read through it is fresh, whatever came of the write.

mod away;
mod flights;
mod outcomes;
mod spellings;
mod world;

use std::time::Duration;

use fake_abconnect::{Matching, Rule};

use crate::forwarding::wire::{RawUpstream, Wire};
use crate::support::{Bench, RedisServer, Setup, until};

const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";
const NEW_SELLER: &str = r#"{"name":"Fresh","customerDisplayId":77,"isActive":true}"#;

async fn warm(bench: &Bench, target: &str) {
    bench.get(target).await.is(200);
    bench.get(target).await.is(200).came("hit");
}

#[tokio::test]
async fn a_write_through_one_replica_is_seen_through_the_other() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    let (other, _) = Setup::new().redis(&server).proxy(bench.upstream.url()).await;
    warm(&bench, SELLERS).await;
    let token = format!("Bearer {}", bench.upstream.token("demo"));
    other.send("GET", SELLERS, &[("Authorization", &token)], "").await.came("hit");
    bench.write("POST", "/api/Seller", NEW_SELLER).await.is(200);
    let fresh = other.send("GET", SELLERS, &[("Authorization", &token)], "").await;
    assert_eq!(fresh.json()["totalItems"], 731);
}

#[tokio::test]
async fn a_write_is_answered_when_the_store_has_acknowledged_what_it_voids() {
    let server = RedisServer::start().await;
    let setup = Setup::new().redis(&server);
    let bench = setup.config(|config| config.store.budget = Duration::from_secs(4)).start().await;
    warm(&bench, SELLERS).await;
    server.command(&["CLIENT", "PAUSE", "500", "WRITE"]).await;
    bench.write("POST", "/api/Seller", NEW_SELLER).await.is(200);
    assert!(!server.keys().await.contains(&"cat_gen_sellers".to_owned()));
}

#[tokio::test]
async fn a_write_whose_body_breaks_off_was_refused_by_nobody() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let bench = Setup::new().start().await;
    warm(&bench, SELLERS).await;
    let mut client = tokio::net::TcpStream::connect(bench.proxy.address).await.unwrap();
    let token = bench.upstream.token("demo");
    let request = format!(
        "PUT /api/Seller/42 HTTP/1.1\r\nHost: a.example\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    client.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 400");
    bench.get(SELLERS).await.came("fwd=miss");
}

#[tokio::test]
async fn what_a_write_voided_stays_void_though_the_next_fill_fails() {
    let server = RedisServer::start().await;
    for setup in [Setup::new(), Setup::new().redis(&server)] {
        let bench = setup.start().await;
        warm(&bench, SELLERS).await;
        let body = r#"{"name":"Renamed","customerDisplayId":1,"isActive":true}"#;
        bench.write("PUT", "/api/Seller/42", body).await.is(200);
        let on = Matching::path("/api/Seller").method("GET");
        bench.upstream.rule(Rule { on, status: Some(503), times: Some(1), ..Rule::default() });
        // It has made a new generation, beside which the old entry still stands.
        bench.get(SELLERS).await.is(503).came("fwd=miss");
        let reply = bench.get(SELLERS).await;
        reply.is(200).came("fwd=miss");
        assert!(reply.items().iter().any(|item| item["id"] == 42 && item["name"] == "Renamed"));
    }
}

/// An answer whose head comes before the upstream has done what it says.
#[tokio::test]
async fn what_was_read_before_a_writes_answer_is_void_at_its_head_and_what_was_read_meanwhile_at_its_end() {
    let page = r#"{"items":[{"id":1,"name":"old"}],"pageNumber":1,"totalPages":1,"totalItems":1}"#;
    let length = page.len();
    let page = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{page}"
    );
    let request =
        "POST /api/Bulk/insert HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer abc\r\nContent-Length: 0\r\n\r\n";
    let fields = [("Authorization", "Bearer abc")];
    let if_cached = [fields[0], ("Cache-Control", "only-if-cached")];
    let server = RedisServer::start().await;
    for end in ["it ends", "it breaks off", "its client leaves"] {
        for setup in [Setup::new(), Setup::new().redis(&server)] {
            let (upstream, proxy) = RawUpstream::behind(setup).await;
            let filled = async || {
                let fill = async {
                    let mut fill = upstream.accept().await;
                    fill.until("\r\n\r\n").await;
                    fill.say(&page).await;
                };
                tokio::join!(proxy.send("GET", SELLERS, &fields, ""), fill).0
            };
            filled().await.is(200).came("fwd=miss");
            let mut writer = Wire::saying(&proxy, request).await;
            let mut write = upstream.accept().await;
            write.until("\r\n\r\n").await;
            write.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n.\r\n").await;
            writer.until("1\r\n.\r\n").await;
            let early = proxy.send("GET", SELLERS, &if_cached, "").await;
            assert_eq!(early.status, 504, "{end}: {early:?}");
            filled().await.is(200).came("fwd=miss");
            proxy.send("GET", SELLERS, &if_cached, "").await.is(200);
            match end {
                "it ends" => {
                    write.say("0\r\n\r\n").await;
                    writer.until("0\r\n\r\n").await;
                }
                "it breaks off" => {
                    drop(write);
                    writer.rest().await;
                }
                _ => {
                    drop(writer);
                    write.is_closed().await;
                    until("its end is noticed", || async {
                        proxy.send("GET", SELLERS, &if_cached, "").await.status == 504
                    })
                    .await;
                }
            }
            let late = proxy.send("GET", SELLERS, &if_cached, "").await;
            assert_eq!(late.status, 504, "{end}: {late:?}");
        }
    }
}
