//! Another configuration takes office while requests come: none is lost, and no write is forgotten on the way.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use catproxy::config::{Config, StoreKind};
use fake_abconnect::Matching;
use futures_util::future::join_all;

use crate::{
    forwarding::wire::{RawUpstream, Wire},
    line::{Fault, Line, Said},
    support::{Bench, RedisServer, Setup, until},
};

const LIST: &str = "/api/Seller?PageNumber=1&PageSize=500";

/// Puts the same configuration in office anew, but for this change.
async fn reload(bench: &Bench, setup: Setup, change: impl FnOnce(&mut Config) + 'static) {
    let config = setup.config(change).configuration(bench.upstream.url());
    bench.proxy.reload.exchange(&config).await.expect("a configuration that runs");
}

#[tokio::test]
async fn what_is_configured_anew_holds_on_the_same_connection() {
    let bench = Setup::new().start().await;
    let mut client = Wire::to(&bench.proxy).await;
    let ask = format!(
        "GET {LIST} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n",
        bench.upstream.token("demo")
    );
    client.say(&ask).await;
    assert_eq!(client.message().await.0.field("cache-status"), Some("catproxy; fwd=miss; stored"));
    reload(&bench, Setup::new(), |config| config.routes.clear()).await;
    client.say(&ask).await;
    assert_eq!(client.message().await.0.field("cache-status"), Some("catproxy; fwd=bypass; detail=no-route"));
}

#[tokio::test]
async fn entries_in_memory_and_counts_stay() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, LIST).await.came("fwd=miss");
    reload(&bench, Setup::new(), |_| {}).await;
    // Who may read is asked anew: rights may have been configured otherwise.
    bench.get_as(&token, LIST).await.came("hit");
    assert_eq!(bench.count("fills"), 1);
    let another_bound = |config: &mut Config| config.store.kind = StoreKind::Memory { max_bytes: 1 << 20 };
    reload(&bench, Setup::new(), another_bound).await;
    bench.get_as(&token, LIST).await.came("fwd=miss");
}

#[tokio::test]
async fn a_request_in_flight_is_finished_by_what_it_began_with() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let mut client = Wire::saying(&proxy, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut there = upstream.accept().await;
    there.head().await;
    there.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha").await;
    assert_eq!(client.head().await.is(200).field("content-length"), Some("4"));
    // From now on the upstream is elsewhere.
    let config = Setup::new().configuration("http://127.0.0.1:1");
    proxy.reload.exchange(&config).await.expect("a configuration that runs");
    there.say("lf").await;
    assert_eq!(client.exactly(4).await, "half");
    client.say("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await.is(502);
}

#[tokio::test]
async fn a_write_that_began_before_is_void_after() {
    // Under another name, a route's entries are not those that the write voids in its own proxy.
    for (on_redis, name) in [(false, ""), (true, ""), (false, "other-"), (true, "other-")] {
        let server = RedisServer::start().await;
        let redis = on_redis.then_some(&server);
        let bench = Setup::on(redis).start().await;
        let gate = bench.upstream.gate(Matching::all().method("PUT"));
        let write = {
            let (token, address) = (format!("Bearer {}", bench.upstream.token("demo")), bench.proxy.address);
            tokio::spawn(async move {
                let fields = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
                let body = r#"{"name":"Renamed","customerDisplayId":1,"isActive":true}"#;
                crate::support::send(address, "PUT", "/api/Seller/42", &fields, body).await
            })
        };
        bench.upstream.wait_for_calls(&Matching::all().method("PUT"), 1).await;
        reload(&bench, Setup::on(redis).routes(move |route| route.name.insert_str(0, name)), |_| {}).await;
        let token = bench.upstream.token("demo");
        bench.get_as(&token, LIST).await.came("fwd=miss");
        bench.get_as(&token, LIST).await.came("hit");
        gate.open();
        write.await.expect("no panic").is(200);
        // The stand-in has written before it answers: what was read meanwhile may have either name in it.
        let after = bench.get_as(&token, LIST).await;
        after.came("fwd=miss");
        assert!(String::from_utf8_lossy(&after.body).contains("Renamed"), "{:?}", after.fields);
    }
}

#[tokio::test]
async fn a_write_that_came_while_a_route_was_gone_is_seen_when_it_is_back() {
    let server = RedisServer::start().await;
    for redis in [None, Some(&server)] {
        let bench = Setup::on(redis).start().await;
        let token = bench.upstream.token("demo");
        bench.get_as(&token, LIST).await.came("fwd=miss");
        reload(&bench, Setup::on(redis), |config| config.routes.clear()).await;
        let renamed = r#"{"name":"Renamed","customerDisplayId":1,"isActive":true}"#;
        bench.write("PUT", "/api/Seller/42", renamed).await.is(200);
        reload(&bench, Setup::on(redis), |_| {}).await;
        let after = bench.get_as(&token, LIST).await;
        assert!(String::from_utf8_lossy(&after.body).contains("Renamed"), "{:?}", after.fields);
    }
}

#[tokio::test]
async fn a_write_of_which_the_store_does_not_know_yet_is_not_forgotten() {
    let server = RedisServer::start().await;
    let line = Line::to(&server).await;
    let setup = || {
        let change = |config: &mut Config| config.store.budget = Duration::from_millis(50);
        Setup::new().redis_at(line.url()).config(change)
    };
    let bench = setup().start().await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, LIST).await.came("fwd=miss");
    line.hold(Said::Answers);
    bench
        .write("PUT", "/api/Seller/42", r#"{"name":"Renamed","customerDisplayId":1,"isActive":true}"#)
        .await
        .is(200);
    reload(&bench, setup(), |_| {}).await;
    line.release(Said::Answers);
    let after = bench.get_as(&token, LIST).await;
    assert!(String::from_utf8_lossy(&after.body).contains("Renamed"), "{:?}", after.fields);
}

#[tokio::test]
async fn a_write_of_which_the_store_never_hears_is_not_forgotten() {
    let server = RedisServer::start().await;
    let line = Line::to(&server).await;
    let budget = |config: &mut Config| config.store.budget = Duration::from_millis(50);
    let bench = Setup::new().redis_at(line.url()).config(budget).start().await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, LIST).await.came("fwd=miss");
    line.begin(Said::Everything, Fault::Refuse);
    bench
        .write("PUT", "/api/Seller/42", r#"{"name":"Renamed","customerDisplayId":1,"isActive":true}"#)
        .await
        .is(200);
    // The next proxy has another way to the same store, where the old entry is still in order.
    reload(&bench, Setup::on(Some(&server)), |_| {}).await;
    let after = bench.get_as(&token, LIST).await;
    assert!(String::from_utf8_lossy(&after.body).contains("Renamed"), "{:?}", after.fields);
}

#[tokio::test]
async fn who_is_refused_by_a_request_that_began_before_is_refused_after() {
    let (upstream, proxy) = RawUpstream::behind(Setup::new()).await;
    let ask = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n\r\n");
    let mut before = Wire::saying(&proxy, ask("/x")).await;
    let mut there = upstream.accept().await;
    there.head().await;
    let config = Setup::new().configuration(&format!("http://{}", upstream.address));
    proxy.reload.exchange(&config).await.expect("a configuration that runs");
    let page = r#"{"items":[{"id":1}],"pageNumber":1,"totalPages":1,"totalItems":1,"hasPreviousPage":false,"hasNextPage":false}"#;
    let mut after = Wire::saying(&proxy, ask(LIST)).await;
    let mut fills = upstream.accept().await;
    fills.head().await;
    let length = page.len();
    fills
        .say(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{page}"
        ))
        .await;
    after.message().await.0.is(200);
    there.say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
    before.head().await.is(401);
    // What was remembered of its token is forgotten: it is asked for again.
    after.say(ask(LIST)).await;
    assert!(fills.head().await.line().starts_with("GET /api/Seller?"));
}

#[tokio::test]
async fn a_configuration_that_does_not_run_changes_nothing() {
    let bench = Setup::new().start().await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, LIST).await.came("fwd=miss");
    let mut config = Setup::new().configuration(bench.upstream.url());
    config.upstream.tls = true;
    config.upstream.ca_file = Some("/nowhere.pem".into());
    assert!(bench.proxy.reload.exchange(&config).await.is_err());
    bench.get_as(&token, LIST).await.came("hit");
}

#[tokio::test]
async fn no_request_is_lost_while_configurations_come_and_go() {
    let server = RedisServer::start().await;
    let bench = Setup::on(Some(&server)).start().await;
    let (token, going) = (bench.upstream.token("demo"), AtomicBool::new(true));
    let load = async || {
        let mut answers = 0;
        while going.load(Ordering::Relaxed) {
            bench.get_as(&token, LIST).await.is(200);
            bench.get_as(&token, "/_fake/bytes/100").await.is(200);
            answers += 2;
        }
        answers
    };
    let reloads = async {
        for limit in 1..=15 {
            let change = move |config: &mut Config| config.clients.connections = 1_000 + limit;
            reload(&bench, Setup::on(Some(&server)), change).await;
        }
        going.store(false, Ordering::Relaxed);
    };
    let (answers, ()) = tokio::join!(join_all((0..4).map(|_| load())), reloads);
    assert!(answers.iter().all(|count| *count > 0), "{answers:?}");
}

#[tokio::test]
async fn the_proxy_before_lets_go_of_redis_when_its_requests_have_ended() {
    let server = RedisServer::start().await;
    let bench = Setup::on(Some(&server)).start().await;
    bench.get(LIST).await.is(200);
    for _ in 0..5 {
        reload(&bench, Setup::on(Some(&server)), |_| {}).await;
        bench.get(LIST).await.is(200);
    }
    // Two for commands and one for pushes, twice: as the test's own handle holds the first proxy.
    until("the connections of those in between are gone", async || {
        let clients = server.command(&["CLIENT", "LIST"]).await;
        let clients: String = redis::from_redis_value(clients).expect("a text");
        // The asking one is there as well.
        clients.lines().count() <= 7
    })
    .await;
}

#[tokio::test]
async fn new_bounds_hold_for_who_comes_then() {
    let bench = Setup::new().start().await;
    reload(&bench, Setup::new(), |config| config.clients.target_bytes = 256).await;
    let long = format!("/{}", "x".repeat(300));
    bench.get(&long).await.is(414);
}

#[tokio::test]
async fn new_deadlines_and_numbers_hold_for_who_is_in_and_who_comes() {
    let bench = Setup::new().start().await;
    let gate = bench.upstream.gate(Matching::path("/_fake/status/200"));
    let mut busy = Wire::saying(&bench.proxy, "GET /_fake/status/200 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    bench.upstream.wait_for_calls(&Matching::all(), 1).await;
    let mut unused = Wire::saying(&bench.proxy, "GET /_fake/status/204 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    unused.head().await.is(204);
    reload(&bench, Setup::new(), |config| {
        config.clients.connections = 1;
        config.clients.idle_timeout = Duration::from_millis(300);
    })
    .await;
    unused.is_closed().await;
    Wire::to(&bench.proxy).await.head().await.is(503);
    gate.open();
    busy.head().await.is(200);
}

/// A mistake of ours is one failed request: here, a clock that panics.
#[tokio::test]
async fn a_panic_is_one_failed_request() {
    let upstream =
        fake_abconnect::FakeAbconnect::start(fake_abconnect::Options::default()).expect("it starts");
    let broken = std::sync::Arc::new(AtomicBool::new(false));
    let breaks = std::sync::Arc::clone(&broken);
    let clock = catproxy::clock::Clock::from_fn(move || {
        assert!(!breaks.load(Ordering::Relaxed), "made to fail");
        std::time::SystemTime::now()
    });
    let config = Setup::new().configuration(upstream.url());
    let proxy = crate::support::Door::open(&config, clock).await;
    let token = upstream.token("demo");
    proxy.get_as(&token, LIST).await.is(200);
    broken.store(true, Ordering::Relaxed);
    let failed = proxy.get_as(&token, LIST).await;
    assert_eq!(failed.is(500).field("content-type"), "application/problem+json");
    broken.store(false, Ordering::Relaxed);
    proxy.get_as(&token, LIST).await.is(200).came("hit");
    assert_eq!(proxy.inside.telemetry().count("panics"), 1);
}
