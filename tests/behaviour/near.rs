//! Copies in the process: they cost no call of anybody, and are as true as what is in Redis. Two proxies on one Redis.

use std::time::Duration;

use catproxy::config::{Admission, Config};
use fake_abconnect::Matching;
use serde_json::Value;

use crate::{
    line::{Line, Said},
    support::{Bench, Door, PATIENCE, RedisServer, Reply, Setup, TestClock, send, until},
};

const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";
const NAMED: (&str, &str) = ("/api/Seller/42", r#"{"name":"NAME","customerDisplayId":42,"isActive":true}"#);

/// One upstream, one Redis, two proxies; the second one's line to Redis can be held.
struct Pair {
    server: RedisServer,
    one: Bench,
    line: Line,
    other: Door,
    clock: TestClock,
    token: String,
}

impl Pair {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The second proxy's configuration is changed.
    async fn with(change: impl FnOnce(&mut Config) + 'static) -> Self {
        let server = RedisServer::start().await;
        let line = Line::to(&server).await;
        let one = Setup::new().redis(&server).start().await;
        let (other, clock) = Setup::new().redis_at(line.url()).config(change).proxy(one.upstream.url()).await;
        let token = format!("Bearer {}", one.upstream.token("demo"));
        Self { server, one, line, other, clock, token }
    }

    async fn read(&self, proxy: &Door, fields: &[(&str, &str)]) -> Reply {
        let mut all = vec![("Authorization", self.token.as_str())];
        all.extend_from_slice(fields);
        proxy.send("GET", SELLERS, &all, "").await
    }

    /// Returns once the second proxy serves a copy of its own.
    async fn until_near(&self) {
        until("a copy is served", || async { is_near(&self.read(&self.other, &[]).await) }).await;
    }

    /// Through the first proxy.
    async fn rename(&self, name: &str) {
        self.one.write("PUT", NAMED.0, &NAMED.1.replace("NAME", name)).await.is(200);
    }

    /// Past both proxies.
    async fn rename_upstream(&self, name: &str) {
        let address = self.one.upstream.url().strip_prefix("http://").unwrap().parse().unwrap();
        let fields = [("Authorization", self.token.as_str()), ("Content-Type", "application/json")];
        send(address, "PUT", NAMED.0, &fields, &NAMED.1.replace("NAME", name)).await.is(200);
    }

    /// Ends the copies of the list: its life in Redis changes a little.
    async fn touch(&self) {
        let touch = ["PEXPIRE", "cat_sellers_all", "290000"];
        self.server.command_told(&touch, &self.other.inside).await;
    }

    /// The wait until the second proxy was told that this key has changed.
    async fn told(&self, key: &str, change: impl Future<Output = ()>) {
        let mut told = self.other.inside.told_by_store().unwrap();
        let before = told.borrow_and_update().count;
        let telling = async { told.wait_for(|told| told.of(key, before)).await.is_ok() };
        let (told, ()) = tokio::join!(tokio::time::timeout(PATIENCE, telling), change);
        assert_eq!(told, Ok(true), "{key}");
    }
}

fn is_near(reply: &Reply) -> bool {
    reply.field("cache-status").ends_with("; detail=near")
}

/// The name of the seller whom [`NAMED`] is about.
fn name(reply: &Reply) -> String {
    let items = reply.items();
    let item = items.iter().find(|item| item["id"] == 42).expect("the seller");
    item["name"].as_str().expect("a name").to_owned()
}

#[tokio::test]
async fn a_copy_is_served_without_a_command_to_redis_and_without_an_upstream_call() {
    let pair = Pair::start().await;
    pair.until_near().await;
    let before = (pair.other.inside.store_commands(), pair.one.upstream.calls().len());
    for page in 1..=20 {
        let target = format!("/api/Seller?PageNumber={page}&PageSize=25");
        let reply = pair.other.send("GET", &target, &[("Authorization", &pair.token)], "").await;
        assert!(is_near(reply.is(200)), "{reply:?}");
    }
    assert_eq!((pair.other.inside.store_commands(), pair.one.upstream.calls().len()), before);
}

#[tokio::test]
async fn a_copy_past_its_limit_is_asked_for_again_and_made_into_pages_again_only_where_it_has_changed() {
    let short = Duration::from_millis(50);
    let pair = Pair::with(move |config| config.store.near.as_mut().expect("copies").limit = short).await;
    pair.until_near().await;
    let made = || pair.other.inside.telemetry().count("pages_made");
    let before = made();
    for _ in 0..3 {
        until("Redis is asked", || async { !is_near(&pair.read(&pair.other, &[]).await) }).await;
        pair.until_near().await;
    }
    assert_eq!(made(), before);
    pair.rename("Another").await;
    until("that is seen", || async { name(&pair.read(&pair.other, &[]).await) == "Another" }).await;
    assert!(made() > before);
}

#[tokio::test]
async fn a_write_through_one_replica_is_seen_through_the_other_once_it_is_told() {
    let pair = Pair::start().await;
    let mut fastest = Duration::MAX;
    for round in 0..10 {
        pair.until_near().await;
        let new = format!("Round {round}");
        let mut told = pair.other.inside.told_by_store().unwrap();
        let before = told.borrow_and_update().count;
        pair.rename(&new).await;
        let answered = tokio::time::Instant::now();
        let telling = told.wait_for(|told| told.of("cat_gen_sellers", before));
        tokio::time::timeout(PATIENCE, telling).await.expect("a push").expect("a proxy");
        fastest = fastest.min(answered.elapsed());
        assert_eq!(name(&pair.read(&pair.other, &[]).await), new);
    }
    // A busy machine may be late once; it is not ten times.
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
}

#[tokio::test]
async fn what_somebody_changes_in_redis_by_hand_is_seen() {
    let pair = Pair::start().await;
    pair.until_near().await;
    let (old, proxy) = (name(&pair.read(&pair.other, &[]).await), &pair.other.inside);
    let mut stored: Value =
        serde_json::from_str(&pair.server.text("cat_sellers_all").await.unwrap()).unwrap();
    let seller = stored["items"].as_array_mut().unwrap().iter_mut().find(|item| item["id"] == 42).unwrap();
    seller["name"] = "By hand".into();
    let changed = stored.to_string();
    pair.server.command_told(&["SET", "cat_sellers_all", &changed, "PX", "300000"], proxy).await;
    assert_eq!(name(pair.read(&pair.other, &[]).await.came("hit")), "By hand");
    for command in [&["DEL", "cat_sellers_all"][..], &["DEL", "cat_gen_sellers"], &["FLUSHDB"], &["FLUSHALL"]]
    {
        pair.until_near().await;
        pair.server.command_told(command, proxy).await;
        let reply = pair.read(&pair.other, &[]).await;
        assert_eq!(name(reply.came("fwd=miss")), old, "{command:?}");
    }
}

/// The read has asked Redis, and the answer comes after the write is over: it may be served, as the read began
/// before; but it is no copy for the next one.
#[tokio::test]
async fn what_was_read_before_a_write_and_comes_after_it_is_no_copy() {
    let pair = Pair::start().await;
    pair.until_near().await;
    pair.touch().await;
    pair.line.hold(Said::Answers);
    let write = async {
        pair.line.held(Said::Answers).await;
        pair.told("cat_gen_sellers", pair.rename("New")).await;
        pair.line.release(Said::Answers);
    };
    let (late, ()) = tokio::join!(pair.read(&pair.other, &[]), write);
    assert_ne!(name(late.came("hit")), "New", "it was read before");
    for _ in 0..3 {
        assert_eq!(name(&pair.read(&pair.other, &[]).await), "New");
    }
}

#[tokio::test]
async fn who_writes_reads_fresh_though_no_push_has_arrived() {
    let pair = Pair::start().await;
    for round in 0..3 {
        pair.until_near().await;
        pair.line.hold(Said::Pushes);
        let new = format!("Own {round}");
        let fields = [("Authorization", pair.token.as_str()), ("Content-Type", "application/json")];
        pair.other.send("PUT", NAMED.0, &fields, &NAMED.1.replace("NAME", &new)).await.is(200);
        for _ in 0..3 {
            assert_eq!(name(&pair.read(&pair.other, &[]).await), new);
        }
        pair.line.release(Said::Pushes);
    }
}

#[tokio::test]
async fn who_demands_a_refill_finds_it_in_the_next_read_though_no_push_has_arrived() {
    let pair = Pair::start().await;
    pair.until_near().await;
    pair.rename_upstream("Newer").await;
    // The copy goes, and its successor is older than what counts as just filled.
    pair.clock.forward(Duration::from_secs(5));
    pair.touch().await;
    pair.until_near().await;
    pair.line.hold(Said::Pushes);
    let refilled = pair.read(&pair.other, &[("Cache-Control", "no-cache")]).await;
    assert_eq!(name(refilled.came("fwd=request; stored")), "Newer");
    assert_eq!(name(pair.read(&pair.other, &[]).await.came("hit")), "Newer");
}

/// Where the store does not answer, nothing in it tells that a fill began before a write through another replica.
#[tokio::test]
async fn a_fill_without_the_store_is_not_joined_after_a_write_of_which_the_replica_was_told() {
    let pair = Pair::with(|config| config.store.budget = Duration::from_millis(50)).await;
    pair.until_near().await;
    pair.touch().await;
    pair.line.hold(Said::Answers);
    let gate = pair.one.upstream.gate(Matching::path("/api/Seller").method("GET"));
    let later = async {
        gate.arrived(1).await;
        pair.told("cat_gen_sellers", pair.rename("New")).await;
        let open = async {
            gate.arrived(2).await;
            gate.open();
        };
        tokio::join!(pair.read(&pair.other, &[]), open).0
    };
    let (_, later) = tokio::join!(pair.read(&pair.other, &[]), later);
    assert_eq!(name(later.came("fwd=miss; detail=store-away")), "New");
}

#[tokio::test]
async fn a_connection_that_dies_without_a_word_ends_the_copies_by_itself() {
    let pair = Pair::start().await;
    pair.until_near().await;
    pair.line.hold(Said::Pushes);
    pair.rename("Unsaid").await;
    // For how long copies are believed is held on a paused clock, where the lease is.
    until("no copy is served", || async { !is_near(&pair.read(&pair.other, &[]).await) }).await;
    for _ in 0..5 {
        let reply = pair.read(&pair.other, &[]).await;
        assert!(!is_near(&reply), "{reply:?}");
        assert_eq!(name(&reply), "Unsaid");
    }
    pair.line.release(Said::Pushes);
    pair.until_near().await;
    assert_eq!(name(&pair.read(&pair.other, &[]).await), "Unsaid");
}

#[tokio::test]
async fn a_connection_that_is_cut_ends_the_copies_at_once_and_they_come_back() {
    let pair = Pair::start().await;
    for round in 0..3 {
        pair.until_near().await;
        let mut told = pair.other.inside.told_by_store().unwrap();
        told.mark_unchanged();
        // Its successor does not come about either, for now.
        pair.line.hold(Said::Pushes);
        pair.line.cut(Said::Pushes);
        tokio::time::timeout(PATIENCE, told.changed()).await.expect("it is noticed").expect("a proxy");
        let new = format!("Cut {round}");
        pair.rename(&new).await;
        assert_eq!(name(&pair.read(&pair.other, &[]).await), new);
        pair.line.release(Said::Pushes);
    }
}

#[tokio::test]
async fn a_frozen_redis_ends_the_copies_and_a_thawed_one_brings_them_back() {
    let pair = Pair::start().await;
    pair.until_near().await;
    pair.server.freeze();
    until("no copy is served", || async { !is_near(&pair.read(&pair.other, &[]).await) }).await;
    pair.server.thaw();
    pair.until_near().await;
}

#[tokio::test]
async fn a_redis_that_comes_back_with_old_data_brings_back_no_old_copy() {
    let mut pair = Pair::start().await;
    pair.until_near().await;
    pair.server.command(&["SAVE"]).await;
    pair.rename("After the save").await;
    pair.server.restart(&[]).await;
    assert!(pair.server.text("cat_sellers_all").await.is_some(), "the old data is back");
    for _ in 0..10 {
        assert_eq!(name(&pair.read(&pair.other, &[]).await), "After the save");
    }
    pair.until_near().await;
    assert_eq!(name(&pair.read(&pair.other, &[]).await), "After the save");
}

#[tokio::test]
async fn without_copies_no_connection_is_held_for_pushes_and_redis_is_asked_each_time() {
    let server = RedisServer::start().await;
    let bench = Setup::new()
        .redis(&server)
        .config(|config| {
            config.store.near = None;
            config.admission = Admission::Open;
        })
        .start()
        .await;
    assert!(bench.proxy.inside.told_by_store().is_none());
    bench.get(SELLERS).await.is(200);
    let commands = bench.proxy.inside.store_commands();
    for _ in 0..5 {
        assert!(!is_near(bench.get(SELLERS).await.came("hit")));
    }
    assert!(bench.proxy.inside.store_commands() >= commands + 5);
    let clients: String = redis::from_redis_value(server.command(&["CLIENT", "LIST"]).await).unwrap();
    assert!(!clients.contains(" flags=t"), "{clients}");
}

#[tokio::test]
async fn a_user_who_may_not_be_told_of_changes_has_the_store_all_the_same() {
    let server = RedisServer::start().await;
    let rights = "+get +getrange +set +del +pttl +pexpire +ping +hello +info";
    let mut command = vec!["ACL", "SETUSER", "limited", "on", ">secret", "~cat_*"];
    command.extend(rights.split(' '));
    server.command(&command).await;
    let url = format!("redis://limited:secret@127.0.0.1:{}", server.port);
    let bench = Setup::new().redis_at(url).config(|config| config.admission = Admission::Open).start().await;
    bench.get(SELLERS).await.is(200);
    for _ in 0..5 {
        assert!(!is_near(bench.get(SELLERS).await.came("hit")));
    }
}
