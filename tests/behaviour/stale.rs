//! Entries past their ttl, where a route allows them: who is served one, for how long, and what ends it.

use std::time::Duration;

use catproxy::config::profile::Profile;
use fake_abconnect::{Matching, Rule};
use serde_json::Value;

use crate::support::{Bench, RedisServer, Reply, Setup, arrived, until, within};

const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";
const OBJECT: &str = "/api/Seller/42";
const TTL: u64 = 300;
const WHILE: &str = "hit; detail=stale-while-revalidate";
const IF_ERROR: &str = "hit; detail=stale-if-error";
/// For so long a fill that failed is not tried again where there is something stale; a real time.
const PAUSE: Duration = Duration::from_secs(2);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn failing(status: u16) -> Rule {
    Rule { status: Some(status), ..Rule::default() }
}

/// Starts it, fills `target` with a token that is vouched for from then on, and lets the entry be ten seconds past
/// its ttl.
async fn past_its_ttl(setup: Setup, target: &str) -> (Bench, String) {
    let bench = setup.upstream(|options| options.sellers = 50).start().await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, target).await.is(200).was("fwd=miss; stored");
    bench.clock.forward(seconds(TTL + 10));
    bench.upstream.clear_calls();
    (bench, token)
}

/// Past its ttl, but not by much more than ten seconds.
fn is_ten_seconds_late(reply: &Reply, how: &str) {
    reply.is(200).was(how);
    assert!((-25..=-10).contains(&reply.ttl()), "{reply:?}");
    assert!((310..=325).contains(&reply.age()), "{reply:?}");
}

async fn until_fresh(bench: &Bench, token: &str, target: &str) -> Reply {
    until("a read is fresh", || async { bench.get_as(token, target).await.ttl() > 0 }).await;
    bench.get_as(token, target).await.is(200).came("hit").clone()
}

fn is_renamed(reply: &Reply) -> bool {
    reply.items().iter().any(|item| item["id"] == 42 && item["name"] == "Renamed")
}

#[tokio::test]
async fn past_its_ttl_an_entry_is_served_at_once_while_one_fill_renews_it() {
    let server = RedisServer::start().await;
    for store in [None, Some(&server)] {
        let (bench, token) = past_its_ttl(Setup::on(store).stale(60, 0), SELLERS).await;
        let gate = bench.upstream.gate_before(Matching::path("/api/Seller").query("PageNumber=1"));
        bench.rename_past_the_proxy("Renamed").await;
        bench.upstream.clear_calls();
        let readers: Vec<_> = (0..20).map(|_| bench.reading(&token, SELLERS, &[])).collect();
        for reader in readers {
            let reply = reader.await.unwrap();
            is_ten_seconds_late(&reply, WHILE);
            assert!(!is_renamed(&reply));
        }
        arrived(&gate, 1).await;
        assert_eq!(bench.upstream.calls().len(), 1, "one page of one fill");
        gate.open();
        assert!(is_renamed(&until_fresh(&bench, &token, SELLERS).await));
        assert_eq!(bench.count("fills"), 2);
    }
}

#[tokio::test]
async fn a_failed_renewal_neither_replaces_nor_prolongs_and_is_not_tried_again_at_once() {
    let server = RedisServer::start().await;
    let stored_at = async || {
        let entry: Value = serde_json::from_str(&server.text("cat_sellers_all").await.unwrap()).unwrap();
        let life =
            redis::from_redis_value::<i64>(server.command(&["PTTL", "cat_sellers_all"]).await).unwrap();
        (entry["stored_at"].as_u64().unwrap(), life)
    };
    for failure in [failing(503), failing(429), failing(400), Rule { html: true, ..Rule::default() }] {
        let (calls, read_again) = within(PAUSE, async || {
            let setup = Setup::new().redis(&server).stale(600, 0);
            let (bench, token) = past_its_ttl(setup, SELLERS).await;
            let before = stored_at().await;
            bench.upstream.rule(failure.clone());
            is_ten_seconds_late(&bench.get_as(&token, SELLERS).await, WHILE);
            until("the fill has failed", || async { bench.count("failed_fills") == 1 }).await;
            let mut read_again = Vec::new();
            for _ in 0..5 {
                read_again.push(bench.get_as(&token, SELLERS).await);
            }
            let after = stored_at().await;
            assert_eq!(after.0, before.0);
            assert!(after.1 <= before.1, "{} ms are left of {}", after.1, before.1);
            (bench.upstream.calls().len(), read_again)
        })
        .await;
        for reply in read_again {
            reply.is(200).came("hit");
            assert!(reply.ttl() <= -10);
        }
        assert_eq!(calls, 1, "{failure:?}");
    }
}

#[tokio::test]
async fn a_renewal_is_tried_again_after_a_while() {
    let (bench, token) = past_its_ttl(Setup::new().stale(60, 0), SELLERS).await;
    bench.upstream.rule(Rule { times: Some(1), ..failing(429) });
    is_ten_seconds_late(&bench.get_as(&token, SELLERS).await, WHILE);
    until("the fill has failed", || async { bench.count("failed_fills") == 1 }).await;
    until_fresh(&bench, &token, SELLERS).await;
}

#[tokio::test]
async fn past_its_ttl_and_window_an_entry_serves_nobody() {
    let server = RedisServer::start().await;
    for (while_revalidate, if_error) in [(60, 0), (0, 60), (20, 60)] {
        for store in [None, Some(&server)] {
            let setup = Setup::on(store).stale(while_revalidate, if_error);
            let (bench, token) = past_its_ttl(setup, SELLERS).await;
            bench.clock.forward(seconds(50));
            bench.upstream.rule(failing(503));
            bench.get_as(&token, SELLERS).await.is(503).was("fwd=miss; fwd-status=503");
            bench.upstream.clear_rules();
            bench.get_as(&token, SELLERS).await.is(200).was("fwd=miss; stored");
        }
    }
}

#[tokio::test]
async fn the_longer_window_does_not_lengthen_the_shorter_one() {
    // Past the window in which it is served at once, but it may still stand in for a failure.
    let (bench, token) = past_its_ttl(Setup::new().stale(5, 60), SELLERS).await;
    bench.upstream.rule(Rule { times: Some(1), ..failing(503) });
    is_ten_seconds_late(&bench.get_as(&token, SELLERS).await, IF_ERROR);
    let (bench, token) = past_its_ttl(Setup::new().stale(5, 60), SELLERS).await;
    bench.get_as(&token, SELLERS).await.is(200).was("fwd=stale; stored");
    // And the other way round.
    let (bench, token) = past_its_ttl(Setup::new().stale(60, 5), SELLERS).await;
    bench.upstream.rule(failing(503));
    is_ten_seconds_late(&bench.get_as(&token, SELLERS).await, WHILE);
    // Who is told that it may read, but only while the fill that it waits for flies, is in the same case.
    let (bench, token) = past_its_ttl(Setup::new().stale(60, 5), SELLERS).await;
    let whole = Matching::path("/api/Seller").query("PageSize=500");
    let gate = bench.upstream.gate_before(whole.clone());
    bench.upstream.rule(Rule { on: whole, ..failing(503) });
    is_ten_seconds_late(&bench.get_as(&token, SELLERS).await, WHILE);
    let joins = bench.reading(&bench.upstream.token("second"), SELLERS, &[]);
    until("it joins", || async { bench.count("joined") == 1 }).await;
    gate.open();
    joins.await.unwrap().is(503).was("fwd=stale; fwd-status=503");
}

#[tokio::test]
async fn a_window_makes_an_entry_live_longer_and_no_older() {
    let server = RedisServer::start().await;
    for store in [None, Some(&server)] {
        let bench = Setup::on(store).stale(600, 60).start().await;
        let token = bench.upstream.token("demo");
        bench.get_as(&token, SELLERS).await.is(200).was("fwd=miss; stored");
        let reply = bench.get_as(&token, SELLERS).await;
        assert!(reply.came("hit").age() < 15, "{reply:?}");
    }
    let life: u64 = redis::from_redis_value(server.command(&["TTL", "cat_sellers_all"]).await).unwrap();
    assert!((TTL + 585..=TTL + 600).contains(&life), "{life} s");
}

#[tokio::test]
async fn a_token_that_nobody_vouches_for_is_served_nothing_stale() {
    let server = RedisServer::start().await;
    for store in [None, Some(&server)] {
        let (bench, _) =
            past_its_ttl(Setup::on(store).profile(Profile::CatalogUi).stale(60, 60), SELLERS).await;
        bench.get_as(&bench.upstream.token("restricted"), SELLERS).await.is(403);
        bench.get_as("no.token", SELLERS).await.is(401);
        bench.get_as(&bench.upstream.token("second"), SELLERS).await.is(200).was("fwd=stale; stored");
        bench.get(OBJECT).await.is(200).was("fwd=miss; stored");
        bench.clock.forward(seconds(TTL + 10));
        for target in [SELLERS, OBJECT] {
            bench.upstream.rule(failing(503));
            bench
                .get_as(&bench.upstream.token("second"), target)
                .await
                .is(503)
                .came("fwd=stale; fwd-status=503");
            bench.upstream.clear_rules();
        }
        let second = bench.upstream.token("second");
        bench.get_as(&second, OBJECT).await.is(200).was("fwd=stale; stored; detail=question");
    }
}

#[tokio::test]
async fn what_the_upstream_says_is_gone_is_shown_to_nobody_any_more() {
    let server = RedisServer::start().await;
    for store in [None, Some(&server)] {
        for target in [SELLERS, OBJECT] {
            let setup = Setup::on(store).profile(Profile::CatalogUi).stale(60, 60);
            let (bench, token) = past_its_ttl(setup, target).await;
            let other = bench.upstream.token("second");
            bench.upstream.rule(failing(404));
            is_ten_seconds_late(&bench.get_as(&token, target).await, WHILE);
            until("it is gone", || async { bench.get_as(&token, target).await.status == 404 }).await;
            for token in [&token, &other] {
                bench.get_as(token, target).await.is(404).was("fwd=miss; fwd-status=404");
            }
        }
    }
}

#[tokio::test]
async fn a_renewal_that_is_refused_signs_out_its_token_and_no_other() {
    let server = RedisServer::start().await;
    for status in [401, 403] {
        for store in [None, Some(&server)] {
            let bench =
                Setup::on(store).stale(60, 60).config(|config| config.store.near = None).start().await;
            let (token, other) = (bench.upstream.token("demo"), bench.upstream.token("second"));
            bench.get_as(&token, SELLERS).await.is(200);
            bench.get_as(&other, SELLERS).await.is(200).was("hit; detail=asked");
            bench.clock.forward(seconds(TTL + 10));
            bench.upstream.rule(failing(status));
            until("it is refused", || async { bench.get_as(&token, SELLERS).await.status == status }).await;
            bench.get_as(&token, SELLERS).await.is(status);
            is_ten_seconds_late(&bench.get_as(&other, SELLERS).await, WHILE);
        }
    }
}

#[tokio::test]
async fn a_write_ends_what_is_stale_and_the_fill_that_was_to_renew_it() {
    let server = RedisServer::start().await;
    for store in [None, Some(&server)] {
        let (bench, token) = past_its_ttl(Setup::on(store).stale(60, 60), SELLERS).await;
        let gate = bench.upstream.gate(Matching::path("/api/Seller").method("GET").query("PageNumber=1"));
        is_ten_seconds_late(&bench.get_as(&token, SELLERS).await, WHILE);
        arrived(&gate, 1).await;
        let body = r#"{"name":"Renamed","customerDisplayId":1,"isActive":true}"#;
        bench.write("PUT", OBJECT, body).await.is(200);
        let read = bench.reading(&token, SELLERS, &[]);
        arrived(&gate, 2).await;
        gate.release(1);
        until("the old fill has ended", || async { bench.count("fills") == 2 }).await;
        gate.open();
        let reply = read.await.unwrap();
        assert!(is_renamed(reply.is(200).was("fwd=miss; stored")));
        assert!(is_renamed(bench.get_as(&token, SELLERS).await.is(200).came("hit")));
        bench.write("PUT", OBJECT, body).await.is(200);
        bench.upstream.rule(failing(503));
        bench.get_as(&token, SELLERS).await.is(503);
    }
}

#[tokio::test]
async fn who_asks_for_something_in_particular_is_served_nothing_stale() {
    let server = RedisServer::start().await;
    for store in [None, Some(&server)] {
        let (bench, token) = past_its_ttl(Setup::on(store).stale(600, 600), SELLERS).await;
        for directive in ["no-cache", "max-age=10000", "min-fresh=1"] {
            let field = ("Cache-Control", directive);
            bench.upstream.rule(failing(503));
            let failed = bench.get_with(&token, SELLERS, &[field]).await;
            failed.is(503).was("fwd=stale; fwd-status=503");
            bench.upstream.clear_rules();
            bench.get_with(&token, SELLERS, &[field]).await.is(200).was("fwd=stale; stored");
            bench.clock.forward(seconds(TTL + 10));
        }
        let cached_only = [("Cache-Control", "only-if-cached")];
        bench.get_with(&token, SELLERS, &cached_only).await.is(504).was("detail=only-if-cached");
    }
}

#[tokio::test]
async fn the_shipped_profiles_serve_nothing_past_its_ttl() {
    for profile in [Profile::Panels, Profile::CatalogUi] {
        let bench = Setup::new().profile(profile).start().await;
        let token = bench.upstream.token("demo");
        for target in [SELLERS, "/api/Catalog?SellerIds=42"] {
            bench.get_as(&token, target).await.is(200).was("fwd=miss; stored");
            bench.clock.forward(seconds(TTL));
            bench.upstream.rule(failing(503));
            bench.get_as(&token, target).await.is(503).was("fwd=miss; fwd-status=503");
            bench.upstream.clear_rules();
            bench.get_as(&token, target).await.is(200).was("fwd=miss; stored");
        }
    }
}

#[tokio::test]
async fn where_the_upstream_fails_a_stale_entry_stands_in() {
    let server = RedisServer::start().await;
    let answered = [500, 502, 503, 504].map(failing);
    let broken = [Rule { truncate: Some(100), ..Rule::default() }, Rule { hang: true, ..Rule::default() }];
    for failure in answered.into_iter().chain(broken) {
        for store in [None, Some(&server)] {
            for target in [SELLERS, OBJECT] {
                let profile = if target == OBJECT { Profile::CatalogUi } else { Profile::Panels };
                let setup = Setup::on(store).profile(profile).stale(0, 60);
                let setup = setup.config(|config| config.fill.timeout = seconds(1));
                let (bench, token) = past_its_ttl(setup, target).await;
                bench.upstream.rule(failure.clone());
                is_ten_seconds_late(&bench.get_as(&token, target).await, IF_ERROR);
            }
        }
    }
}

#[tokio::test]
async fn where_nobody_answers_a_stale_entry_stands_in() {
    let (Bench { upstream, proxy, .. }, token) = past_its_ttl(Setup::new().stale(0, 60), SELLERS).await;
    upstream.stop().await;
    for _ in 0..2 {
        is_ten_seconds_late(&proxy.send_as(&token, "GET", SELLERS, &[]).await, IF_ERROR);
    }
    proxy.send_as("no.token", "GET", SELLERS, &[]).await.is(502).was("fwd=stale; detail=unanswered");
}

#[tokio::test]
async fn nothing_stale_stands_in_for_the_upstreams_word_on_the_request_or_the_token() {
    let server = RedisServer::start().await;
    for status in [400, 401, 403, 404, 429, 501] {
        for store in [None, Some(&server)] {
            let (bench, token) = past_its_ttl(Setup::on(store).stale(0, 60), SELLERS).await;
            bench.upstream.rule(failing(status));
            for _ in 0..2 {
                bench.get_as(&token, SELLERS).await.is(status).came("fwd=");
            }
        }
    }
}

#[tokio::test]
async fn after_a_failure_what_is_stale_is_served_for_a_while_without_another_try() {
    let server = RedisServer::start().await;
    for store in [None, Some(&server)] {
        let (replies, calls) = within(PAUSE, async || {
            let setup = Setup::on(store).stale(0, 60);
            let (bench, token) = past_its_ttl(setup, SELLERS).await;
            bench.upstream.rule(failing(503));
            let mut replies = Vec::new();
            for _ in 0..5 {
                replies.push(bench.get_as(&token, SELLERS).await);
            }
            (replies, bench.upstream.calls().len())
        })
        .await;
        for reply in replies {
            is_ten_seconds_late(&reply, IF_ERROR);
        }
        assert_eq!(calls, 1);
    }
}

#[tokio::test]
async fn a_refused_or_unknown_token_gets_the_upstreams_failure_and_nothing_stale() {
    let server = RedisServer::start().await;
    for store in [None, Some(&server)] {
        for target in [SELLERS, OBJECT] {
            let setup = Setup::on(store).profile(Profile::CatalogUi).stale(0, 60);
            let (bench, token) = past_its_ttl(setup, target).await;
            bench.upstream.rule(failing(503));
            bench.get_as(&bench.upstream.token("second"), target).await.is(503).came("fwd=stale");
            is_ten_seconds_late(&bench.get_as(&token, target).await, IF_ERROR);
            bench.upstream.clear_rules();
            bench.upstream.revoke(&token);
            bench.get_as(&token, "/api/Lot?PageSize=1").await.is(401);
            bench.upstream.rule(failing(503));
            bench.get_as(&token, target).await.is(503).came("fwd=stale");
        }
    }
}
