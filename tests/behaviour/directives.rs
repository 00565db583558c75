//! What a request's `Cache-Control` changes, and what it does not.

use std::time::Duration;

use catproxy::config::profile::Profile;
use fake_abconnect::{Matching, Rule};

use crate::{
    forwarding::wire::{RawUpstream, Wire},
    support::{Bench, Door, RedisServer, Reply, Setup, arrived, until, within},
};

const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";
const OBJECT: &str = "/api/Seller/42";
const NO_CACHE: (&str, &str) = ("Cache-Control", "no-cache");
const SECOND: Duration = Duration::from_secs(1);
/// What is filled within a second is new enough for who asks for the newest, and that second is a real one: to see
/// its end it has to pass.
const OVER_A_SECOND: Duration = Duration::from_millis(1050);

/// The name of seller 42.
fn name(reply: &Reply) -> String {
    let json = reply.is(200).json();
    let seller = match json["items"].as_array() {
        Some(items) => items.iter().find(|item| item["id"] == 42).unwrap(),
        None => &json,
    };
    seller["name"].as_str().unwrap().to_owned()
}

/// A bench on each kind of store that has filled the list. Copies in the process know nothing of the test's clock.
async fn filled_on_both_stores(server: &RedisServer) -> [(Bench, String); 2] {
    let start = async |store| {
        let bench = Setup::on(store).config(|config| config.store.near = None).start().await;
        let token = bench.upstream.token("demo");
        bench.get_as(&token, SELLERS).await.is(200).was("fwd=miss; stored");
        (bench, token)
    };
    [start(None).await, start(Some(server)).await]
}

/// Answers a request of the proxy with a list of one seller, or with the seller.
async fn answer_with(there: &mut Wire, name: &str) {
    let asked = there.head().await;
    let seller = format!(r#"{{"id":42,"name":"{name}"}}"#);
    let body = if asked.line().contains('?') {
        format!(r#"{{"items":[{seller}],"pageNumber":1,"totalPages":1,"totalItems":1}}"#)
    } else {
        seller
    };
    let length = body.len();
    there
        .say(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        ))
        .await;
}

async fn read(proxy: &Door, token: &str, target: &str) -> Reply {
    proxy.send_as(token, "GET", target, &[]).await
}

#[tokio::test]
async fn no_cache_fills_anew_for_all() {
    let server = RedisServer::start().await;
    for (bench, token) in filled_on_both_stores(&server).await {
        let other = bench.upstream.token("second");
        bench.get_as(&other, SELLERS).await.was("hit; detail=asked");
        bench.rename_past_the_proxy("Renamed").await;
        bench.clock.forward(2 * SECOND);
        assert_ne!(name(bench.get_as(&token, SELLERS).await.was("hit")), "Renamed");
        let fresh = bench.get_with(&token, SELLERS, &[NO_CACHE]).await;
        assert_eq!(name(fresh.was("fwd=request; stored")), "Renamed");
        let shared = bench.get_as(&other, SELLERS).await;
        assert_eq!(name(shared.was("hit")), "Renamed");
        assert_eq!(shared.age(), 0);
        assert_eq!(bench.count("fills"), 2);
    }
}

#[tokio::test]
async fn no_cache_twice_within_a_second_is_one_fill() {
    let server = RedisServer::start().await;
    for store in [None, Some(&server)] {
        let (replies, fills) = within(SECOND, async || {
            let bench = Setup::on(store).upstream(|options| options.sellers = 50).start().await;
            let token = bench.upstream.token("demo");
            let mut replies = Vec::new();
            for token in [&token, &token, &bench.upstream.token("second")] {
                replies.push(bench.get_with(token, SELLERS, &[NO_CACHE]).await);
            }
            replies.push(bench.get_as(&token, SELLERS).await);
            server.command(&["FLUSHALL"]).await;
            (replies, bench.count("fills"))
        })
        .await;
        replies[0].was("fwd=miss; stored");
        replies[1].was("hit; detail=refresh-bounded");
        replies[2].was("hit; detail=refresh-bounded");
        assert!(replies[3].came("hit").ttl() >= 299);
        assert_eq!(fills, 1);
    }
}

#[tokio::test]
async fn no_cache_joins_a_fill_that_began_within_the_last_second() {
    let (first, second, fills) = within(SECOND, async || {
        let bench = Setup::new().start().await;
        let token = bench.upstream.token("demo");
        let gate = bench.upstream.gate(Matching::path("/api/Seller"));
        let first = bench.reading(&token, SELLERS, &[]);
        arrived(&gate, 1).await;
        let second = bench.reading(&token, SELLERS, &[NO_CACHE]);
        until("it joins, or does not", || async { bench.count("joined") == 1 || gate.arrived_so_far() == 2 })
            .await;
        gate.open();
        (first.await.unwrap(), second.await.unwrap(), bench.count("fills"))
    })
    .await;
    first.was("fwd=miss; stored");
    second.was("fwd=miss; collapsed; stored");
    assert_eq!(fills, 1);
}

#[tokio::test]
async fn no_cache_joins_no_older_fill_and_what_that_brings_later_replaces_nothing() {
    let server = RedisServer::start().await;
    for store in [None, Some(&server)] {
        let (upstream, proxy) = RawUpstream::behind(Setup::on(store)).await;
        let old = proxy.reading("a", SELLERS, &[]);
        let mut held = upstream.accept().await;
        tokio::time::sleep(OVER_A_SECOND).await;
        let young = proxy.reading("a", SELLERS, &[NO_CACHE]);
        answer_with(&mut upstream.accept().await, "young").await;
        assert_eq!(name(young.await.unwrap().was("fwd=miss; stored")), "young");
        answer_with(&mut held, "old").await;
        assert_eq!(name(old.await.unwrap().was("fwd=miss")), "old");
        assert_eq!(name(read(&proxy, "a", SELLERS).await.came("hit")), "young");
    }
}

#[tokio::test]
async fn no_third_fill_flies_while_two_do() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    let gate = bench.upstream.gate(Matching::path("/api/Seller").query("PageNumber=1"));
    let old = bench.reading(&token, SELLERS, &[]);
    arrived(&gate, 1).await;
    tokio::time::sleep(OVER_A_SECOND).await;
    let young = bench.reading(&token, SELLERS, &[NO_CACHE]);
    arrived(&gate, 2).await;
    tokio::time::sleep(OVER_A_SECOND).await;
    let third = bench.reading(&token, SELLERS, &[NO_CACHE]);
    until("it joins", || async { bench.count("joined") == 1 }).await;
    gate.open();
    old.await.unwrap().is(200).came("fwd=miss");
    young.await.unwrap().is(200).was("fwd=miss; stored");
    third.await.unwrap().is(200).was("fwd=miss; collapsed; stored; detail=refresh-bounded");
    assert_eq!(bench.count("fills"), 2);
}

#[tokio::test]
async fn no_cache_for_an_object_waits_for_no_older_question_of_its_own() {
    let bench = Setup::new().profile(Profile::CatalogUi).start().await;
    let token = bench.upstream.token("demo");
    let gate = bench.upstream.gate(Matching::path(OBJECT));
    let old = bench.reading(&token, OBJECT, &[]);
    arrived(&gate, 1).await;
    tokio::time::sleep(OVER_A_SECOND).await;
    let young = bench.reading(&token, OBJECT, &[NO_CACHE]);
    arrived(&gate, 2).await;
    gate.open();
    old.await.unwrap().is(200);
    young.await.unwrap().is(200).was("fwd=miss; stored");
}

#[tokio::test]
async fn of_two_tokens_that_ask_for_an_object_the_one_that_began_later_leaves_its_answer() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new().profile(Profile::CatalogUi)).await;
    let old = proxy.reading("a", OBJECT, &[]);
    let mut held = upstream.accept().await;
    let young = proxy.reading("b", OBJECT, &[]);
    answer_with(&mut upstream.accept().await, "young").await;
    assert_eq!(name(young.await.unwrap().was("fwd=miss; stored")), "young");
    answer_with(&mut held, "old").await;
    assert_eq!(name(old.await.unwrap().was("fwd=miss")), "old");
    for token in ["a", "b"] {
        assert_eq!(name(read(&proxy, token, OBJECT).await.was("hit")), "young");
    }
}

#[tokio::test]
async fn no_cache_that_fails_leaves_the_entry_and_tells_the_failure() {
    let server = RedisServer::start().await;
    for (bench, token) in filled_on_both_stores(&server).await {
        bench.clock.forward(2 * SECOND);
        for status in [403, 404, 429, 500, 503] {
            // Who is refused is asked about anew, so it is another token.
            let refused = bench.upstream.token("demo");
            bench.upstream.rule(Rule { status: Some(status), ..Rule::default() });
            let failed = bench.get_with(&refused, SELLERS, &[NO_CACHE]).await;
            failed.is(status).was(&format!("fwd=request; fwd-status={status}"));
            bench.get_as(&token, SELLERS).await.is(200).was("hit");
            bench.upstream.clear_rules();
        }
        bench.upstream.rule(Rule { truncate: Some(100), ..Rule::default() });
        let failed = bench.get_with(&token, SELLERS, &[NO_CACHE]).await;
        failed.is(502).was("fwd=request; detail=unanswered");
        bench.get_as(&token, SELLERS).await.is(200).was("hit");
    }
}

#[tokio::test]
async fn an_age_and_a_rest_of_life_can_be_asked_for() {
    let server = RedisServer::start().await;
    for (bench, token) in filled_on_both_stores(&server).await {
        bench.clock.forward(100 * SECOND);
        for met in ["max-age=120", "min-fresh=150", "max-age=120, min-fresh=150", "max-stale=5"] {
            bench.get_with(&token, SELLERS, &[("Cache-Control", met)]).await.is(200).was("hit");
        }
        for unmet in ["max-age=99", "min-fresh=201", "max-age=0", "max-age", "max-age=120, max-age=5"] {
            let reply = bench.get_with(&token, SELLERS, &[("Cache-Control", unmet)]).await;
            reply.is(200).was("fwd=request; stored");
            assert_eq!(bench.get_as(&token, SELLERS).await.was("hit").age(), 0, "{unmet}");
            bench.clock.forward(100 * SECOND);
        }
    }
}

#[tokio::test]
async fn only_if_cached_calls_the_upstream_in_no_case() {
    let cached_only = [("Cache-Control", "only-if-cached")];
    let server = RedisServer::start().await;
    for store in [None, Some(&server)] {
        let bench = Setup::on(store)
            .profile(Profile::CatalogUi)
            .config(|config| config.store.near = None)
            .start()
            .await;
        let (token, other) = (bench.upstream.token("demo"), bench.upstream.token("second"));
        for target in [SELLERS, "/api/Catalog?SellerIds=42", OBJECT] {
            let refused = |reply: &Reply| {
                reply.is(504).was("detail=only-if-cached");
                assert_eq!(reply.json()["status"], 504);
            };
            refused(&bench.get_with(&token, target, &cached_only).await);
            assert!(bench.upstream.calls().is_empty(), "{target}: nothing there");
            bench.get_as(&token, target).await.is(200).was("fwd=miss; stored");
            bench.upstream.clear_calls();
            bench.get_with(&token, target, &cached_only).await.is(200).was("hit");
            refused(&bench.get_with(&other, target, &cached_only).await);
            bench.clock.forward(300 * SECOND);
            refused(&bench.get_with(&token, target, &cached_only).await);
            assert!(bench.upstream.calls().is_empty(), "{target}: another's, and too old");
        }
    }
}

#[tokio::test]
async fn what_must_not_be_stored_or_cut_down_is_forwarded_and_leaves_nothing() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    for entry_is_there in [false, true] {
        if entry_is_there {
            bench.get_as(&token, SELLERS).await.was("fwd=miss; stored");
            bench.rename_past_the_proxy("Renamed").await;
        }
        for (directive, detail) in [
            ("no-store", "no-store"),
            ("max-age=5, No-Transform", "no-transform"),
            ("no-store, no-cache", "no-store"),
        ] {
            let reply = bench.get_with(&token, SELLERS, &[("Cache-Control", directive)]).await;
            reply.is(200).was(&format!("fwd=bypass; detail={detail}"));
            assert!(reply.items()[0].get("isActive").is_some(), "as the upstream wrote it");
            assert_eq!(bench.upstream.calls().last().unwrap().header("cache-control"), Some(directive));
        }
        assert_eq!(bench.count("fills"), u64::from(entry_is_there));
    }
    assert_ne!(name(bench.get_as(&token, SELLERS).await.was("hit")), "Renamed");
}

#[tokio::test]
async fn directives_change_nothing_about_what_is_forwarded() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    for directive in ["no-cache", "only-if-cached", "max-age=0", "no-store"] {
        let field = ("Cache-Control", directive);
        bench
            .get_with(&token, "/api/Lot?PageSize=1", &[field])
            .await
            .is(200)
            .was("fwd=bypass; detail=no-route");
        bench.get_with(&token, "/api/Seller?Name=a", &[field]).await.is(200).was("fwd=bypass; detail=query");
        let calls = bench.upstream.calls();
        assert!(calls.iter().rev().take(2).all(|call| call.header("cache-control") == Some(directive)));
    }
    let without = bench.proxy.send("GET", SELLERS, &[NO_CACHE], "").await;
    without.is(401).was("fwd=bypass; detail=token");
    assert_eq!(bench.upstream.calls().last().unwrap().header("cache-control"), Some("no-cache"));
}
