//! After a write through the proxy the next read through it is fresh, whatever came of the write.

use std::time::Duration;

use fake_abconnect::{Generation, Matching, Rule};

use crate::forwarding::wire::{RawUpstream, Wire};
use crate::support::{Bench, RedisServer, Setup, send};

const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";
const NEW_SELLER: &str = r#"{"name":"Fresh","customerDisplayId":77,"isActive":true}"#;

async fn warm(bench: &Bench, target: &str) {
    bench.get(target).await.is(200);
    bench.get(target).await.is(200).came("hit");
}

fn catalogs(bench: &Bench) -> String {
    format!("/api/Catalog?SellerIds={}", bench.upstream.seller_with_many_catalogs())
}

#[tokio::test]
async fn a_new_seller_is_in_the_next_read() {
    let server = RedisServer::start().await;
    for setup in [Setup::new(), Setup::new().redis(&server)] {
        let bench = setup.start().await;
        warm(&bench, SELLERS).await;
        bench.write("POST", "/api/Seller", NEW_SELLER).await.is(200);
        let fresh = bench.get(SELLERS).await;
        fresh.came("fwd=miss");
        assert_eq!(fresh.json()["totalItems"], 731);
    }
}

#[tokio::test]
async fn a_write_voids_the_routes_that_it_may_change_and_no_other() {
    let bench = Setup::new().start().await;
    let catalogs = catalogs(&bench);
    warm(&bench, SELLERS).await;
    warm(&bench, &catalogs).await;
    // (write, whether sellers stay, whether catalogs stay)
    for (method, target, sellers, lists) in [
        ("PUT", "/api/Catalog/1", true, false),
        ("put", "/api/Catalog/1", true, false),
        ("DELETE", "/API/catalog/999999", true, true),
        ("POST", "/api/Lot/get-overrides", true, true),
        ("POST", "/api/Bulk/insert", false, false),
        ("POST", "/api/Nothing", true, true),
        ("POST", "/api//Seller", true, true),
    ] {
        bench.upstream.rule(Rule {
            on: Matching::path("/api").method(method),
            status: Some(if sellers && lists { 404 } else { 500 }),
            ..Rule::default()
        });
        bench.write(method, target, "{}").await;
        bench.upstream.clear_rules();
        bench.get(SELLERS).await.came(if sellers { "hit" } else { "fwd=miss" });
        bench.get(&catalogs).await.came(if lists { "hit" } else { "fwd=miss" });
    }
}

#[tokio::test]
async fn a_write_that_is_not_understood_changes_every_route() {
    let bench = Setup::new().start().await;
    let catalogs = catalogs(&bench);
    for (target, field) in [
        ("/api/Unknown", ("X-Nothing", "1")),
        ("/api/%53eller", ("X-Nothing", "1")),
        ("/api/Seller/", ("X-Nothing", "1")),
        ("/api/Lot/get-overrides", ("X-HTTP-Method-Override", "DELETE")),
    ] {
        warm(&bench, SELLERS).await;
        warm(&bench, &catalogs).await;
        let on = Matching::all().method("POST");
        bench.upstream.rule(Rule { on, status: Some(500), ..Rule::default() });
        let token = format!("Bearer {}", bench.upstream.token("demo"));
        bench.proxy.send("POST", target, &[("Authorization", &token), field], "{}").await.is(500);
        bench.upstream.clear_rules();
        bench.get(SELLERS).await.came("fwd=miss");
        bench.get(&catalogs).await.came("fwd=miss");
    }
}

#[tokio::test]
async fn only_a_certain_refusal_leaves_the_entries() {
    let bench = Setup::new().start().await;
    // (status, a plain write refused, a bulk write refused)
    for (status, plain, bulk) in [
        (200, false, false),
        (302, false, false),
        (400, true, false),
        (401, true, true),
        (403, true, true),
        (408, false, false),
        (409, true, false),
        (422, true, false),
        (500, false, false),
        (503, false, false),
    ] {
        for (target, refused) in [("/api/Seller/42", plain), ("/api/Bulk/insert", bulk)] {
            warm(&bench, SELLERS).await;
            let on = Matching::all().method("PUT");
            bench.upstream.rule(Rule { on, status: Some(status), ..Rule::default() });
            bench.write("PUT", target, "{}").await.is(status);
            bench.upstream.clear_rules();
            bench.get(SELLERS).await.came(if refused { "hit" } else { "fwd=miss" });
        }
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_voids_too() {
    let bench = Setup::new()
        .config(|config| config.upstream.head_timeout = std::time::Duration::from_millis(200))
        .start()
        .await;
    for (rule, status) in [
        (Rule { close: Some(fake_abconnect::Close::Unanswered), ..Rule::default() }, 502),
        (Rule { hang: true, ..Rule::default() }, 504),
    ] {
        warm(&bench, SELLERS).await;
        bench.upstream.rule(Rule { on: Matching::all().method("PUT"), ..rule });
        bench.write("PUT", "/api/Seller/42", "{}").await.is(status);
        bench.upstream.clear_rules();
        bench.get(SELLERS).await.came("fwd=miss");
    }
}

#[tokio::test]
async fn a_client_that_leaves_does_not_cancel_its_write() {
    let bench = Setup::new().start().await;
    warm(&bench, SELLERS).await;
    let gate = bench.upstream.gate(Matching::all().method("POST"));
    let writer = {
        let (address, token) = (bench.proxy.address, format!("Bearer {}", bench.upstream.token("demo")));
        tokio::spawn(async move {
            send(
                address,
                "POST",
                "/api/Seller",
                &[("Authorization", &token), ("Content-Type", "application/json")],
                NEW_SELLER,
            )
            .await
        })
    };
    gate.arrived(1).await;
    writer.abort();
    let _ = writer.await;
    gate.open();
    crate::support::until("the list is fresh", || async {
        bench.get(SELLERS).await.json()["totalItems"] == 731
    })
    .await;
}

#[tokio::test]
async fn a_fill_that_began_before_a_write_is_neither_joined_nor_stored_after_it() {
    let server = RedisServer::start().await;
    for setup in [Setup::new(), Setup::new().redis(&server)] {
        let bench = setup.start().await;
        // The fill has read its first page's old data; its answer is held back.
        let gate = bench.upstream.gate(Matching::path("/api/Seller").query("PageNumber=1&PageSize=500"));
        let old = {
            let (address, token) = (bench.proxy.address, format!("Bearer {}", bench.upstream.token("demo")));
            tokio::spawn(async move {
                send(address, "GET", "/api/Seller?PageSize=1", &[("Authorization", &token)], "").await
            })
        };
        gate.arrived(1).await;
        bench
            .write("PUT", "/api/Seller/42", r#"{"name":"Renamed","customerDisplayId":1,"isActive":true}"#)
            .await
            .is(200);
        let fresh = {
            let (address, token) = (bench.proxy.address, format!("Bearer {}", bench.upstream.token("demo")));
            tokio::spawn(async move { send(address, "GET", SELLERS, &[("Authorization", &token)], "").await })
        };
        gate.arrived(2).await;
        gate.open();
        old.await.unwrap().is(200);
        let renamed = |reply: &crate::support::Reply| {
            reply.items().iter().any(|item| item["id"] == 42 && item["name"] == "Renamed")
        };
        let fresh = fresh.await.unwrap();
        assert!(renamed(&fresh), "the write's own client reads it");
        let after = bench.get(SELLERS).await;
        after.came("hit");
        assert!(renamed(&after), "the old fill stored nothing");
    }
}

#[tokio::test]
async fn writes_of_the_second_generation_void_too() {
    let bench = Setup::new().upstream(|options| options.generation = Generation::Second).start().await;
    let catalogs = catalogs(&bench);
    for (target, body) in [("/api/Bulk/upsert", r#"{"catalogs":[]}"#), ("/api/Catalog/1/merge/3", "")] {
        warm(&bench, &catalogs).await;
        let on = Matching::all().method("POST");
        bench.upstream.rule(Rule { on, status: Some(200), ..Rule::default() });
        bench.write("POST", target, body).await;
        bench.upstream.clear_rules();
        bench.get(&catalogs).await.came("fwd=miss");
    }
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
async fn a_fill_that_began_before_a_write_through_another_replica_is_not_joined_after_it() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    let (other, _) = Setup::new().redis(&server).proxy(bench.upstream.url()).await;
    let reading = || {
        let (address, token) = (bench.proxy.address, format!("Bearer {}", bench.upstream.token("demo")));
        tokio::spawn(async move { send(address, "GET", SELLERS, &[("Authorization", &token)], "").await })
    };
    let gate = bench.upstream.gate(Matching::path("/api/Seller").query("PageNumber=1&PageSize=500"));
    let old = reading();
    gate.arrived(1).await;
    let token = format!("Bearer {}", bench.upstream.token("demo"));
    let fields = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
    let body = r#"{"name":"Renamed","customerDisplayId":1,"isActive":true}"#;
    other.send("PUT", "/api/Seller/42", &fields, body).await.is(200);
    let fresh = reading();
    crate::support::until("it fills anew", || async { gate.arrived_so_far() == 2 }).await;
    gate.open();
    old.await.unwrap().is(200);
    let items = fresh.await.unwrap().items();
    assert!(items.iter().any(|item| item["id"] == 42 && item["name"] == "Renamed"));
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
async fn what_was_read_while_a_writes_answer_was_still_coming_is_void_at_its_end() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let fields = [("Authorization", "Bearer abc")];
    let page = |name: &str| {
        let body = format!(
            r#"{{"items":[{{"id":1,"name":"{name}"}}],"pageNumber":1,"totalPages":1,"totalItems":1}}"#
        );
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let mut writer = Wire::saying(
        &proxy,
        "POST /api/Bulk/insert HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer abc\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let mut write = upstream.accept().await;
    write.until("\r\n\r\n").await;
    write.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n.\r\n").await;
    writer.until("1\r\n.\r\n").await;
    let early = proxy.send("GET", SELLERS, &fields, "");
    let fill = async {
        let mut fill = upstream.accept().await;
        fill.until("\r\n\r\n").await;
        fill.say(page("old")).await;
        fill
    };
    let (early, _open) = tokio::join!(early, fill);
    assert_eq!(early.items()[0]["name"], "old");
    write.say("0\r\n\r\n").await;
    writer.until("0\r\n\r\n").await;
    let late = proxy.send("GET", SELLERS, &fields, "");
    let answer = async {
        // The connection that was used last is the first to be used again.
        write.until("\r\n\r\n").await;
        write.say(page("new")).await;
    };
    let (late, ()) = tokio::join!(late, answer);
    late.came("fwd=miss");
    assert_eq!(late.items()[0]["name"], "new");
}
