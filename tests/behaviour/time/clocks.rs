//! Clocks that step, and replicas whose clocks differ: no entry serves beyond its ttl, whichever clock is right.

use std::time::Duration;

use catproxy::config::Admission;
use fake_abconnect::{Matching, Rule};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{CATALOGS, at, ids, page_of};
use crate::support::{Bench, Door, RedisServer, Reply, Setup, TestClock, reading, until};

const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=10";
const PAGE: &str = r#"{"items":[{"id":1,"name":"a"}],"pageNumber":1,"totalPages":1,"totalItems":1}"#;
const PLAIN: (&str, &str) = ("X-Nothing", "1");
const TTL: u64 = 300;
const MINUTE: Duration = Duration::from_secs(60);
/// Seconds that a busy machine may take for what is done at once.
const SLACK: u64 = 15;

/// Nobody is asked who he is: a token ends by the clock, too.
fn setup() -> Setup {
    Setup::new().config(|config| config.admission = Admission::Open)
}

/// Without copies in the process: each read is judged anew.
fn without_copies(server: &RedisServer) -> Setup {
    setup().redis(server).config(|config| config.store.near = None)
}

async fn start(setup: Setup) -> Bench {
    let bench = setup.start().await;
    let on = Matching::path("/api/Seller");
    bench.upstream.rule(Rule { on, body: Some(PAGE.to_owned()), ..Rule::default() });
    bench
}

async fn read(proxy: &Door, target: &str) -> Reply {
    proxy.get_as("any", target).await
}

fn from_now(seconds: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_secs(seconds)
}

#[tokio::test]
async fn a_clock_that_steps_makes_no_entry_younger_than_the_store_knows_it_to_be() {
    let server = RedisServer::start().await;
    let bench = start(without_copies(&server)).await;
    read(&bench.proxy, SELLERS).await.is(200).came("fwd=miss");
    server.command(&["PEXPIRE", "cat_sellers_all", "100000"]).await;
    for (seconds, least) in [(-3600, 200), (-86_400, 200), (0, 200), (150, 200), (240, 240)] {
        bench.clock.set(from_now(seconds));
        let reply = read(&bench.proxy, SELLERS).await;
        reply.is(200).came("hit");
        assert!((least..least + SLACK).contains(&reply.age()), "{seconds} s ahead: {reply:?}");
    }
    bench.clock.set(from_now(TTL as i64));
    read(&bench.proxy, SELLERS).await.is(200).came("fwd=miss");
}

#[tokio::test]
async fn a_life_that_somebody_prolonged_in_the_store_makes_no_entry_younger() {
    let server = RedisServer::start().await;
    let bench = start(without_copies(&server)).await;
    read(&bench.proxy, SELLERS).await.is(200).came("fwd=miss");
    bench.clock.forward(Duration::from_secs(TTL - SLACK));
    server.command(&["PEXPIRE", "cat_sellers_all", "86400000"]).await;
    let reply = read(&bench.proxy, SELLERS).await;
    assert!(reply.came("hit").age() >= TTL - SLACK, "{reply:?}");
    bench.clock.forward(Duration::from_secs(SLACK));
    read(&bench.proxy, SELLERS).await.is(200).came("fwd=miss");
}

#[tokio::test]
async fn a_copy_near_is_not_made_younger_by_a_step_back() {
    let server = RedisServer::start().await;
    let near = |setup: Setup| {
        setup.redis(&server).config(|config| {
            config.store.near.as_mut().expect("copies").limit = MINUTE;
        })
    };
    let bench = start(near(setup())).await;
    read(&bench.proxy, SELLERS).await.is(200).came("fwd=miss");
    for back in [0, 60, 3600, 86_400] {
        // A copy that is lost meanwhile is read from the store again, which is judged by the clock as it is.
        until(&format!("{back} s back: a copy serves"), || async {
            bench.clock.set(from_now(200));
            let before = read(&bench.proxy, SELLERS).await;
            bench.clock.back(Duration::from_secs(back));
            let after = read(&bench.proxy, SELLERS).await;
            let is_near = |reply: &Reply| reply.field("cache-status").ends_with("; detail=near");
            let judged = is_near(&before) && is_near(&after);
            assert!(!judged || after.age() >= 200, "{back} s back: {after:?}");
            judged
        })
        .await;
    }
}

#[tokio::test]
async fn a_step_back_while_a_fill_is_under_way_prolongs_nothing() {
    let server = RedisServer::start().await;
    for setup in [setup(), without_copies(&server)] {
        let bench = start(setup).await;
        let gate = bench.upstream.gate(Matching::path("/api/Seller"));
        let cold = reading(&bench.proxy, "any", SELLERS, PLAIN);
        gate.arrived(1).await;
        bench.clock.back(Duration::from_secs(3600));
        gate.open();
        cold.await.unwrap().is(200);
        assert!(read(&bench.proxy, SELLERS).await.came("hit").age() < SLACK);
        // The clock is right again, and it is a ttl later.
        bench.clock.forward(Duration::from_secs(3600 + TTL));
        read(&bench.proxy, SELLERS).await.is(200).came("fwd=miss");
    }
}

/// Two proxies on one Redis.
struct Pair {
    bench: Bench,
    second: Door,
    /// Of the second.
    clock: TestClock,
    server: RedisServer,
}

impl Pair {
    /// The first has its clock at this moment, the second so many seconds ahead.
    async fn at(moment: Timestamp, ahead: i64) -> Self {
        let server = RedisServer::start().await;
        let bench = start(without_copies(&server)).await;
        let (second, clock) = without_copies(&server).proxy(bench.upstream.url()).await;
        bench.clock.set(moment);
        clock.set(moment + SignedDuration::from_secs(ahead));
        Self { bench, second, clock, server }
    }

    async fn first(&self, target: &str) -> Reply {
        read(&self.bench.proxy, target).await
    }

    async fn second(&self, target: &str) -> Reply {
        read(&self.second, target).await
    }

    /// Of both.
    fn fills(&self) -> u64 {
        let fills = |proxy: &Door| proxy.inside.telemetry().count("fills");
        fills(&self.bench.proxy) + fills(&self.second)
    }

    fn forward(&self, by: Duration) {
        self.bench.clock.forward(by);
        self.clock.forward(by);
    }
}

#[tokio::test]
async fn replicas_whose_clocks_differ_serve_nothing_beyond_its_ttl_and_do_not_fill_in_turns() {
    // (how far the second is ahead, the age that an entry of the first has for it, fills in all)
    for (ahead, seen, fills) in [
        (240, Some(240), 1),
        (-240, Some(0), 1),
        (-86_400, Some(0), 1),
        // For it, what the first has filled is past its ttl; what it fills itself is good for both.
        (360, None, 2),
        (86_400, None, 2),
    ] {
        let pair = Pair::at(Timestamp::now(), ahead).await;
        pair.first(SELLERS).await.is(200).came("fwd=miss");
        let reply = pair.second(SELLERS).await;
        match seen {
            Some(age) => {
                reply.is(200).came("hit");
                assert!((age..age + SLACK).contains(&reply.age()), "{ahead} s ahead: {reply:?}");
            }
            None => drop(reply.is(200).came("fwd=miss")),
        }
        for _ in 0..5 {
            pair.first(SELLERS).await.is(200).came("hit");
            pair.second(SELLERS).await.is(200).came("hit");
        }
        assert_eq!(pair.fills(), fills, "{ahead} s ahead");
        // By the store's count it is nearly over, for a clock that is behind too.
        pair.server.command(&["PEXPIRE", "cat_sellers_all", "20000"]).await;
        for reply in [pair.first(SELLERS).await, pair.second(SELLERS).await] {
            assert!(reply.came("hit").age() >= TTL - 20, "{ahead} s ahead: {reply:?}");
        }
        // A ttl later whoever has filled it knows.
        pair.server.command(&["PERSIST", "cat_sellers_all"]).await;
        pair.server.command(&["PEXPIRE", "cat_sellers_all", "300000"]).await;
        pair.forward(Duration::from_secs(TTL));
        let reply = if fills == 1 { pair.first(SELLERS).await } else { pair.second(SELLERS).await };
        reply.is(200).came("fwd=miss");
    }
}

#[tokio::test]
async fn replicas_on_both_sides_of_midnight_fill_once_each_and_see_each_its_own_day() {
    let dates = [json!("2026-09-01T00:00:00"), json!("2026-09-02T00:00:00")];
    let pair = Pair::at(at("2026-09-01T23:58:00[UTC]"), 240).await;
    pair.bench.upstream.rule(Rule { body: Some(page_of(&dates)), ..Rule::default() });
    // The later one has kept less than the earlier one must see.
    assert_eq!(ids(&pair.second(CATALOGS).await), [2]);
    let reply = pair.first(CATALOGS).await;
    reply.came("fwd=miss");
    assert_eq!(ids(&reply), [1, 2]);
    // The earlier one has kept enough for both.
    for _ in 0..5 {
        let (first, second) = (pair.first(CATALOGS).await, pair.second(CATALOGS).await);
        assert_eq!((ids(first.came("hit")), ids(second.came("hit"))), (vec![1, 2], vec![2]));
    }
    assert_eq!(pair.fills(), 2);
    // For the second the entry ends four minutes early; by then the first has the same day.
    pair.forward(2 * MINUTE);
    assert_eq!(ids(pair.second(CATALOGS).await.came("fwd=miss")), [2]);
    for _ in 0..5 {
        assert_eq!(ids(pair.first(CATALOGS).await.came("hit")), [2]);
        assert_eq!(ids(pair.second(CATALOGS).await.came("hit")), [2]);
    }
    assert_eq!(pair.fills(), 3);
}

/// Clocks that differ by more than a ttl, with midnight between them: each takes the other's entry for none, since
/// for the one it is too old and for the other of a day to come.
#[tokio::test]
async fn replicas_that_differ_by_more_than_a_ttl_fill_in_turns_only_until_both_have_the_same_day() {
    let dates = [json!("2026-09-01T00:00:00"), json!("2026-09-02T00:00:00")];
    let pair = Pair::at(at("2026-09-01T23:58:00[UTC]"), 360).await;
    pair.bench.upstream.rule(Rule { body: Some(page_of(&dates)), ..Rule::default() });
    for round in 1..4 {
        for _ in 0..2 {
            assert_eq!(ids(&pair.first(CATALOGS).await), [1, 2]);
        }
        for _ in 0..2 {
            assert_eq!(ids(&pair.second(CATALOGS).await), [2]);
        }
        assert_eq!(pair.fills(), 2 * round, "one for each turn, however many reads");
    }
    pair.forward(3 * MINUTE);
    for _ in 0..3 {
        assert_eq!(ids(&pair.first(CATALOGS).await), [2]);
        assert_eq!(ids(&pair.second(CATALOGS).await), [2]);
    }
    assert_eq!(pair.fills(), 6, "what the second has filled is good for both");
}

#[tokio::test]
async fn an_entry_that_a_frozen_redis_takes_late_counts_from_the_beginning_of_its_fill() {
    for (thawed_after, status) in [(100, "hit"), (TTL, "fwd=miss")] {
        let server = RedisServer::start().await;
        let budget = Duration::from_millis(200);
        let bench = start(setup().redis(&server).config(move |config| config.store.budget = budget)).await;
        let gate = bench.upstream.gate(Matching::path("/api/Seller"));
        let cold = reading(&bench.proxy, "any", SELLERS, PLAIN);
        gate.arrived(1).await;
        server.freeze();
        gate.open();
        // It is sent, and lies in the frozen server's socket.
        cold.await.unwrap().is(200).came("fwd=miss");
        bench.clock.forward(Duration::from_secs(thawed_after));
        server.thaw();
        until("it is stored", || async { server.text("cat_sellers_all").await.is_some() }).await;
        let life: u64 = redis::from_redis_value(server.command(&["PTTL", "cat_sellers_all"]).await).unwrap();
        assert!(life > (TTL - SLACK) * 1000, "with all of its time to live: {life} ms");
        for near in [false, true] {
            // A proxy of its own, which has not found the server away.
            let other = if near { setup().redis(&server) } else { without_copies(&server) };
            let (other, clock) = other.proxy(bench.upstream.url()).await;
            clock.forward(Duration::from_secs(thawed_after));
            for _ in 0..3 {
                let reply = read(&other, SELLERS).await;
                if status == "hit" {
                    assert!(reply.came("hit").age() >= thawed_after, "{reply:?}");
                } else if reply.field("cache-status").starts_with("catproxy; hit") {
                    assert!(reply.age() < SLACK, "filled anew: {reply:?}");
                }
            }
        }
    }
}
