//! More collections to be filled than may be at a time: some wait for their turn, and what comes then is forwarded.

use std::{pin::Pin, sync::Arc};

use fake_abconnect::Matching;
use futures_util::future::select_all;
use tokio::task::JoinSet;

use crate::support::{Bench, Reply, Setup, send, until};

const COLD: usize = 1000;
const GOING: usize = 2;
const WAITING: usize = 10;
/// Clients that ask at a time.
const AT_ONCE: usize = 100;
const BUSY: &str = "catproxy; fwd=bypass; detail=busy";

/// Who asks for a seller's catalogs, and is answered sometime.
type Asking = Pin<Box<dyn Future<Output = (usize, Reply)> + Send>>;

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

/// Takes all places: collections from this seller's on are asked for, one more than there are places, and the last one to
/// come is turned away. Gives those that have a place, and who asks for them.
async fn take_all_places(bench: &Bench, token: &str, first: usize) -> (Vec<usize>, Vec<Asking>) {
    let mut placed: Vec<_> = (first..=first + GOING + WAITING).collect();
    let asking = placed.iter().map(|&seller| {
        let reading = bench.reading(token, &catalogs(seller), &[]);
        Box::pin(async move { (seller, reading.await.unwrap()) }) as Asking
    });
    let ((seller, reply), _, asking) = select_all(asking).await;
    assert_eq!(detail(&reply), BUSY);
    placed.retain(|placed| *placed != seller);
    (placed, asking)
}

fn detail(reply: &Reply) -> &str {
    reply.is(200).field("cache-status")
}

#[tokio::test]
async fn of_a_thousand_cold_collections_some_wait_and_the_others_are_forwarded_at_once() {
    let bench = bench().await;
    let token: Arc<str> = bench.upstream.token("demo").into();
    let fills = bench.upstream.gate(Matching::path("/api/Catalog").query("PageSize=500"));
    let (_, waiting) = take_all_places(&bench, &token, 1).await;
    fills.arrived(GOING).await;
    let before = bench.count("turned_away");
    let mut asked = JoinSet::new();
    for seller in GOING + WAITING + 2..=COLD {
        if asked.len() == AT_ONCE {
            let reply = asked.join_next().await.unwrap().unwrap();
            assert_eq!(detail(&reply), BUSY);
        }
        let (proxy, token) = (bench.proxy.address, Arc::clone(&token));
        asked.spawn(async move {
            let fields = [("Authorization", format!("Bearer {token}"))];
            let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
            send(proxy, "GET", &catalogs(seller), &fields, "").await
        });
    }
    while let Some(reply) = asked.join_next().await {
        assert_eq!(detail(&reply.unwrap()), BUSY);
    }
    assert_eq!(bench.count("turned_away") - before, (COLD - GOING - WAITING - 1) as u64);
    assert_eq!(fills.arrived_so_far(), GOING, "no fill begins before its turn");
    fills.open();
    for asking in waiting {
        assert_eq!(detail(&asking.await.1), "catproxy; fwd=miss; stored");
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
    let (placed, waiting) = take_all_places(&bench, &token, 2).await;
    fills.arrived(GOING).await;
    let same: Vec<_> = (0..20).map(|_| bench.reading(&token, &catalogs(COLD), &[])).collect();
    for reply in same {
        assert_eq!(detail(&reply.await.unwrap()), BUSY);
    }
    bench.get_as(&token, &catalogs(1)).await.is(200).came("hit");
    // Who wants what a waiting fill will bring waits with it.
    let joined = bench.count("joined");
    let second = bench.reading(&token, &catalogs(placed[0]), &[]);
    until("it is joined", || async { bench.count("joined") > joined }).await;
    fills.open();
    for asking in waiting {
        asking.await.1.is(200).came("fwd=miss; stored");
    }
    second.await.unwrap().is(200).came("fwd=miss; collapsed; stored");
}
