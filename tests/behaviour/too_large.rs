//! A collection over the bounds: found out once, and then forwarded for a while without anybody waiting for anybody.

use std::time::Duration;

use fake_abconnect::Matching;

use crate::support::{Bench, RedisServer, Setup, reading, until};

/// What clients ask for; a fill asks for pages of another size.
const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=7";
const FIELD: (&str, &str) = ("X-Nothing", "1");

fn bounded() -> Setup {
    Setup::new().upstream(|options| options.sellers = 50).config(|config| {
        config.fill.page_size = 20;
        config.fill.max_items = 30;
    })
}

fn fills(bench: &Bench) -> u64 {
    bench.proxy.inside.telemetry().count("fills")
}

#[tokio::test]
async fn waiters_for_a_collection_too_large_make_one_fill_and_are_forwarded_beside_each_other() {
    const WAITERS: usize = 20;
    let server = RedisServer::start().await;
    for setup in [bounded(), bounded().redis(&server)] {
        let bench = setup.start().await;
        let fill = bench.upstream.gate(Matching::path("/api/Seller").query("PageSize=20"));
        let forwarded = bench.upstream.gate(Matching::path("/api/Seller").query("PageSize=7"));
        let tokens = ["demo", "second"].map(|user| bench.upstream.token(user));
        let leader = reading(&bench.proxy, &tokens[0], SELLERS, FIELD);
        fill.arrived(1).await;
        let waiters: Vec<_> =
            (1..WAITERS).map(|place| reading(&bench.proxy, &tokens[place % 2], SELLERS, FIELD)).collect();
        let telemetry = bench.proxy.inside.telemetry();
        until("all wait", || async { telemetry.count("joined") == WAITERS as u64 - 1 }).await;
        assert_eq!(forwarded.arrived_so_far(), 0);
        fill.open();
        // None has an answer yet, and all have asked.
        until("all are forwarded", || async { forwarded.arrived_so_far() == WAITERS }).await;
        forwarded.open();
        for reply in std::iter::once(leader).chain(waiters) {
            let reply = reply.await.unwrap();
            reply.is(200).came("fwd=bypass; detail=too-large");
            assert_eq!(reply.items().len(), 7, "as the upstream answers it");
        }
        for target in [SELLERS, "/api/Seller?PageNumber=3", "/api/Seller"] {
            bench.get(target).await.is(200).came("fwd=bypass; detail=too-large");
        }
        assert_eq!(fills(&bench), 1, "it is remembered");
    }
}

#[tokio::test]
async fn a_collection_too_large_is_tried_again_when_the_period_is_over() {
    let period = Duration::from_millis(100);
    let bench = bounded().config(move |config| config.fill.too_large_for = period).start().await;
    let token = bench.upstream.token("demo");
    until("it is filled again", || async {
        bench.get_as(&token, SELLERS).await.is(200).came("fwd=bypass; detail=too-large");
        fills(&bench) == 2
    })
    .await;
}

/// It was under way to the store when another request's fill found out.
#[tokio::test]
async fn who_looked_for_an_entry_while_it_was_found_too_large_makes_no_fill_of_its_own() {
    let server = RedisServer::start().await;
    let setup = bounded().redis(&server).config(|config| config.store.budget = Duration::from_secs(10));
    let bench = setup.start().await;
    let token = bench.upstream.token("demo");
    let fill = bench.upstream.gate(Matching::path("/api/Seller").query("PageSize=20"));
    let leader = reading(&bench.proxy, &token, SELLERS, FIELD);
    fill.arrived(1).await;
    let before = bench.proxy.inside.store_commands();
    server.freeze();
    let second = reading(&bench.proxy, &token, SELLERS, FIELD);
    until("it asks the store", || async { bench.proxy.inside.store_commands() > before }).await;
    fill.open();
    leader.await.unwrap().is(200).came("fwd=bypass; detail=too-large");
    server.thaw();
    second.await.unwrap().is(200).came("fwd=bypass; detail=too-large");
    assert_eq!(fills(&bench), 1);
}
