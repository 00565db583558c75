//! More collections to be filled than may be at a time: some wait for their turn, and what comes then is forwarded.

use std::sync::Arc;

use fake_abconnect::Matching;
use tokio::task::JoinSet;

use crate::support::{Bench, Reply, Setup, send, until};

const COLD: usize = 1000;
const GOING: usize = 2;
const WAITING: usize = 10;
/// Clients that ask at a time.
const AT_ONCE: usize = 100;

/// What clients ask for; a fill asks for pages of 500.
fn catalogs(seller: usize) -> String {
    format!("/api/Catalog?SellerIds={seller}&PageNumber=1&PageSize=7")
}

async fn bench() -> Bench {
    let few = Setup::new().upstream(|options| options.sellers = 20);
    few.config(|config| {
        config.fill.parallel_fills = GOING;
        config.fill.waiting_fills = WAITING;
    })
    .start()
    .await
}

fn detail(reply: &Reply) -> &str {
    reply.is(200).field("cache-status")
}

#[tokio::test]
async fn of_a_thousand_cold_collections_some_wait_and_the_others_are_forwarded_at_once() {
    let bench = bench().await;
    let token: Arc<str> = bench.upstream.token("demo").into();
    let fills = bench.upstream.gate(Matching::path("/api/Catalog").query("PageSize=500"));
    let waiting: Vec<_> =
        (1..=GOING + WAITING).map(|seller| bench.reading(&token, &catalogs(seller), &[])).collect();
    fills.arrived(GOING).await;
    // What waits is not counted anywhere: it is known by what is turned away beside it.
    until("all places are taken", || async {
        let reply = bench.get_as(&token, &catalogs(COLD + 1)).await;
        detail(&reply) == "catproxy; fwd=bypass; detail=busy"
    })
    .await;
    let before = bench.count("turned_away");
    let mut asked = JoinSet::new();
    for seller in GOING + WAITING + 1..=COLD {
        if asked.len() == AT_ONCE {
            let reply = asked.join_next().await.unwrap().unwrap();
            assert_eq!(detail(&reply), "catproxy; fwd=bypass; detail=busy");
        }
        let (proxy, token) = (bench.proxy.address, Arc::clone(&token));
        asked.spawn(async move {
            let fields = [("Authorization", format!("Bearer {token}"))];
            let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
            send(proxy, "GET", &catalogs(seller), &fields, "").await
        });
    }
    while let Some(reply) = asked.join_next().await {
        assert_eq!(detail(&reply.unwrap()), "catproxy; fwd=bypass; detail=busy");
    }
    assert_eq!(bench.count("turned_away") - before, (COLD - GOING - WAITING) as u64);
    assert_eq!(fills.arrived_so_far(), GOING, "no fill begins before its turn");
    fills.open();
    for reply in waiting {
        assert_eq!(detail(&reply.await.unwrap()), "catproxy; fwd=miss; stored");
    }
    // What was turned away is nothing that is remembered.
    let last = catalogs(COLD);
    assert_eq!(detail(&bench.get_as(&token, &last).await), "catproxy; fwd=miss; stored");
    assert!(detail(&bench.get_as(&token, &last).await).starts_with("catproxy; hit"));
}

#[tokio::test]
async fn all_who_want_what_is_turned_away_are_forwarded_and_what_is_cached_is_served() {
    let bench = bench().await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, &catalogs(1)).await.came("fwd=miss; stored");
    let fills = bench.upstream.gate(Matching::path("/api/Catalog").query("PageSize=500"));
    let waiting: Vec<_> =
        (2..2 + GOING + WAITING).map(|seller| bench.reading(&token, &catalogs(seller), &[])).collect();
    fills.arrived(GOING).await;
    until("all places are taken", || async {
        bench.get_as(&token, &catalogs(COLD)).await.field("cache-status").ends_with("detail=busy")
    })
    .await;
    let same: Vec<_> = (0..20).map(|_| bench.reading(&token, &catalogs(COLD), &[])).collect();
    for reply in same {
        assert_eq!(detail(&reply.await.unwrap()), "catproxy; fwd=bypass; detail=busy");
    }
    bench.get_as(&token, &catalogs(1)).await.is(200).came("hit");
    // Who wants what a waiting fill will bring waits with it.
    let joined = bench.count("joined");
    let second = bench.reading(&token, &catalogs(2 + GOING), &[]);
    until("it is joined", || async { bench.count("joined") > joined }).await;
    fills.open();
    for reply in waiting {
        reply.await.unwrap().is(200).came("fwd=miss; stored");
    }
    second.await.unwrap().is(200).came("fwd=miss; collapsed; stored");
}
