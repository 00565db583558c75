//! Redis absent, dead, frozen, full, read-only or holding garbage: the same answers, and back without a restart.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Bench, RedisServer, Setup, free_port, until};

const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";

/// A proxy on this Redis with a budget that a test can wait for a few times.
fn impatient(server: &RedisServer) -> Setup {
    Setup::new().redis(server).config(|config| config.store.budget = Duration::from_millis(200))
}

/// Copies in the process serve until their lease runs out, or the server says that it cannot serve.
async fn until_the_store_is_missed(bench: &Bench) {
    until("a read is a miss", || async {
        bench.get(SELLERS).await.is(200).field("cache-status").starts_with("catproxy; fwd=miss")
    })
    .await;
}

async fn is_cached_again(bench: &Bench) {
    until("reads are hits", || async {
        bench.get(SELLERS).await.field("cache-status").starts_with("catproxy; hit")
    })
    .await;
}

#[tokio::test]
async fn entries_and_generations_stand_under_their_keys_with_a_time_to_live() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    let many = bench.upstream.seller_with_many_catalogs();
    bench.get(SELLERS).await.is(200);
    bench.get(&format!("/api/Catalog?SellerIds={many}")).await.is(200);
    let entry = format!("cat_catalogs_seller_{many}");
    assert_eq!(
        server.keys().await,
        [entry.as_str(), "cat_gen_catalogs", "cat_gen_sellers", "cat_sellers_all"]
    );
    let stored: Value = serde_json::from_str(&server.text("cat_sellers_all").await.unwrap()).unwrap();
    for field in ["format", "shape", "generation", "stored_at", "kept_from", "total", "items"] {
        assert!(stored.get(field).is_some(), "{field}");
    }
    assert_eq!(stored["items"].as_array().unwrap().len(), 730);
    assert_eq!(stored["generation"], server.text("cat_gen_sellers").await.unwrap());
    for (key, least, most) in
        [("cat_sellers_all", 290, 300), (entry.as_str(), 290, 300), ("cat_gen_sellers", 86_000, 86_400)]
    {
        let life: i64 = redis::from_redis_value(server.command(&["TTL", key]).await).unwrap();
        assert!((least..=most).contains(&life), "{key} lives for {life} s");
    }
}

#[tokio::test]
async fn a_restarted_proxy_finds_its_entries() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    bench.get(SELLERS).await.came("fwd=miss");
    let (again, _) = Setup::new().redis(&server).proxy(bench.upstream.url()).await;
    let token = format!("Bearer {}", bench.upstream.token("demo"));
    again.send("GET", SELLERS, &[("Authorization", &token)], "").await.came("hit");
}

/// A large entry goes by other connections than a small one.
#[tokio::test]
async fn a_large_entry_is_found_by_another_process_and_again_after_redis_was_away() {
    let mut server = RedisServer::start().await;
    let setup = || Setup::new().upstream(|upstream| upstream.sellers = 4_000).redis(&server);
    let bench = setup().start().await;
    bench.get(SELLERS).await.came("fwd=miss; stored");
    let stored = server.text("cat_sellers_all").await.expect("an entry");
    assert!(stored.len() > 200_000, "{} bytes", stored.len());
    let without_copies = Setup::new().redis(&server).config(|config| {
        config.store.near = None;
        config.store.budget = Duration::from_secs(2);
    });
    let (other, _) = without_copies.proxy(bench.upstream.url()).await;
    let token = bench.upstream.token("demo");
    let sellers = bench.upstream.sellers();
    for (page, first) in [(1, 0), (8, 3_500)] {
        let reply = other.get_as(&token, &format!("/api/Seller?PageNumber={page}&PageSize=500")).await;
        reply.came("hit");
        assert_eq!(reply.items().last().unwrap()["id"], sellers[first + 499]["id"]);
    }
    server.restart(&[]).await;
    until("the entry is filled and found", || async {
        other.get_as(&token, SELLERS).await.is(200).field("cache-status").starts_with("catproxy; hit")
    })
    .await;
}

#[tokio::test]
async fn another_shape_under_the_same_prefix_is_a_miss() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    bench.get(SELLERS).await.came("fwd=miss");
    let (other, _) = Setup::new()
        .profile(catproxy::config::profile::Profile::CatalogUi)
        .redis(&server)
        .proxy(bench.upstream.url())
        .await;
    let token = format!("Bearer {}", bench.upstream.token("demo"));
    let reply = other.send("GET", SELLERS, &[("Authorization", &token)], "").await;
    reply.came("fwd=miss");
    assert!(reply.items()[0].get("isActive").is_some());
}

#[tokio::test]
async fn without_redis_the_same_answers_come_from_the_upstream() {
    let bench = Setup::new().redis_at(format!("redis://127.0.0.1:{}", free_port())).start().await;
    let memory = Setup::new().start().await;
    for _ in 0..3 {
        let reply = bench.get(SELLERS).await;
        reply.is(200).came("fwd=miss");
        assert_eq!(reply.body, memory.get(SELLERS).await.body);
    }
    bench
        .write("POST", "/api/Seller", r#"{"name":"New","customerDisplayId":9,"isActive":true}"#)
        .await
        .is(200);
    assert_eq!(bench.get(SELLERS).await.json()["totalItems"], 731);
}

#[tokio::test]
async fn a_dead_redis_is_not_asked_and_is_used_again_when_it_is_back() {
    let mut server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    is_cached_again(&bench).await;
    server.kill();
    for _ in 0..8 {
        bench.get(SELLERS).await.is(200).came("fwd=miss");
    }
    let sent = bench.proxy.inside.store_commands();
    for _ in 0..20 {
        bench.get(SELLERS).await.is(200).came("fwd=miss");
    }
    assert_eq!(bench.proxy.inside.store_commands(), sent, "no command while it is known to be away");
    server.restart(&[]).await;
    is_cached_again(&bench).await;
}

#[tokio::test]
async fn a_frozen_redis_costs_its_budget_a_few_times_and_then_nothing() {
    let server = RedisServer::start().await;
    let bench = impatient(&server).start().await;
    is_cached_again(&bench).await;
    server.freeze();
    until_the_store_is_missed(&bench).await;
    for _ in 0..6 {
        bench.get(SELLERS).await.is(200).came("fwd=miss");
    }
    let sent = bench.proxy.inside.store_commands();
    for _ in 0..20 {
        bench.get(SELLERS).await.is(200).came("fwd=miss");
    }
    assert_eq!(bench.proxy.inside.store_commands(), sent, "no command while it is known to be away");
    server.thaw();
    is_cached_again(&bench).await;
}

#[tokio::test]
async fn a_write_while_redis_is_frozen_is_seen_after_the_thaw() {
    let server = RedisServer::start().await;
    let bench = impatient(&server).start().await;
    is_cached_again(&bench).await;
    server.freeze();
    bench
        .write("POST", "/api/Seller", r#"{"name":"New","customerDisplayId":9,"isActive":true}"#)
        .await
        .is(200);
    assert_eq!(bench.get(SELLERS).await.json()["totalItems"], 731);
    server.thaw();
    for _ in 0..50 {
        assert_eq!(bench.get(SELLERS).await.json()["totalItems"], 731);
    }
    is_cached_again(&bench).await;
    assert_eq!(bench.get(SELLERS).await.json()["totalItems"], 731);
}

#[tokio::test]
async fn a_server_that_comes_back_with_old_data_serves_none_of_it() {
    let mut server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    bench.get(SELLERS).await.came("fwd=miss");
    // What it holds now is what it comes back with, and the write in between is not in it.
    let _ = server.command(&["SAVE"]).await;
    bench
        .write("POST", "/api/Seller", r#"{"name":"New","customerDisplayId":9,"isActive":true}"#)
        .await
        .is(200);
    server.restart(&[]).await;
    assert!(server.keys().await.contains(&"cat_sellers_all".to_owned()), "the old data is back");
    for _ in 0..10 {
        assert_eq!(bench.get(SELLERS).await.json()["totalItems"], 731);
    }
    is_cached_again(&bench).await;
    assert_eq!(bench.get(SELLERS).await.json()["totalItems"], 731);
}

#[tokio::test]
async fn a_full_redis_keeps_what_it_has_and_stays_right_after_a_write() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    is_cached_again(&bench).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    bench.get(SELLERS).await.came("hit");
    bench
        .write("POST", "/api/Seller", r#"{"name":"New","customerDisplayId":9,"isActive":true}"#)
        .await
        .is(200);
    for _ in 0..3 {
        let reply = bench.get(SELLERS).await;
        reply.is(200).came("fwd=miss");
        assert_eq!(reply.json()["totalItems"], 731);
    }
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    is_cached_again(&bench).await;
}

#[tokio::test]
async fn a_read_only_redis_is_right_after_a_write_too() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    is_cached_again(&bench).await;
    let nowhere = free_port().to_string();
    server.command(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]).await;
    server.command(&["REPLICAOF", "127.0.0.1", &nowhere]).await;
    bench.get(SELLERS).await.is(200);
    bench
        .write("POST", "/api/Seller", r#"{"name":"New","customerDisplayId":9,"isActive":true}"#)
        .await
        .is(200);
    for _ in 0..5 {
        assert_eq!(bench.get(SELLERS).await.json()["totalItems"], 731);
    }
    server.command(&["REPLICAOF", "NO", "ONE"]).await;
    is_cached_again(&bench).await;
    assert_eq!(bench.get(SELLERS).await.json()["totalItems"], 731);
}

#[tokio::test]
async fn garbage_under_our_keys_is_overwritten_and_other_keys_are_left_alone() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    server.command(&["SET", "cat_other", "theirs"]).await;
    let huge = "x".repeat(8 << 20);
    for garbage in [
        &["SET", "cat_sellers_all", "garbage"][..],
        &["LPUSH", "cat_sellers_all", "a"],
        &["SET", "cat_sellers_all", &huge],
        &["SET", "cat_gen_sellers", "garbage"],
        &["HSET", "cat_gen_sellers", "a", "b"],
    ] {
        server.command(&["DEL", "cat_sellers_all", "cat_gen_sellers"]).await;
        server.command_told(garbage, &bench.proxy.inside).await;
        let reply = bench.get(SELLERS).await;
        reply.is(200).came("fwd=miss");
        assert_eq!(reply.items().len(), 500);
        is_cached_again(&bench).await;
    }
    assert_eq!(server.text("cat_other").await.as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_deleted_key_is_filled_anew() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    is_cached_again(&bench).await;
    for command in [&["DEL", "cat_sellers_all"][..], &["DEL", "cat_gen_sellers"], &["FLUSHALL"]] {
        server.command_told(command, &bench.proxy.inside).await;
        bench.get(SELLERS).await.is(200).came("fwd=miss");
        bench.get(SELLERS).await.is(200).came("hit");
    }
}

#[tokio::test]
async fn a_redis_that_does_not_tell_its_run_id_stores_nothing() {
    let mut server = RedisServer::start().await;
    server.restart(&["--rename-command", "INFO", ""]).await;
    let bench = Setup::new().redis(&server).start().await;
    for _ in 0..3 {
        bench.get(SELLERS).await.is(200).came("fwd=miss");
    }
    assert_eq!(server.keys().await, [""; 0]);
}

#[tokio::test]
async fn an_entry_too_large_for_the_store_is_forwarded_from_then_on() {
    let server = RedisServer::start().await;
    for setup in [Setup::new(), Setup::new().redis(&server)] {
        let bench = setup.config(|config| config.store.max_entry_bytes = 1024).start().await;
        let token = bench.upstream.token("demo");
        bench.get_as(&token, SELLERS).await.is(200).came("fwd=miss");
        bench.get_as(&token, SELLERS).await.is(200).came("fwd=bypass; detail=too-large");
        assert_eq!(bench.proxy.inside.telemetry().count("fills"), 1);
    }
}

#[tokio::test]
async fn an_entry_that_somebody_made_live_for_ever_is_none() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    is_cached_again(&bench).await;
    server.command_told(&["PERSIST", "cat_sellers_all"], &bench.proxy.inside).await;
    bench.get(SELLERS).await.is(200).came("fwd=miss");
    bench.get(SELLERS).await.is(200).came("hit");
}

#[tokio::test]
async fn a_change_while_redis_cannot_void_is_seen_though_no_total_tells_it() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    is_cached_again(&bench).await;
    let nowhere = free_port().to_string();
    server.command(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]).await;
    server.command(&["REPLICAOF", "127.0.0.1", &nowhere]).await;
    let body = r#"{"name":"Renamed","customerDisplayId":1,"isActive":true}"#;
    bench.write("PUT", "/api/Seller/42", body).await.is(200);
    let is_renamed = || async {
        let items = bench.get(SELLERS).await.items();
        items.iter().any(|item| item["id"] == 42 && item["name"] == "Renamed")
    };
    for _ in 0..5 {
        assert!(is_renamed().await);
    }
    server.command(&["REPLICAOF", "NO", "ONE"]).await;
    is_cached_again(&bench).await;
    assert!(is_renamed().await);
}

#[tokio::test]
async fn of_a_huge_value_under_our_key_no_more_is_read_than_an_entry_may_have() {
    let server = RedisServer::start().await;
    let bench =
        Setup::new().redis(&server).config(|config| config.store.max_entry_bytes = 1 << 20).start().await;
    bench.get(SELLERS).await.is(200);
    server.command_told(&["SET", "cat_sellers_all", &"x".repeat(8 << 20)], &bench.proxy.inside).await;
    let sent = || async {
        let info: String = redis::from_redis_value(server.command(&["INFO", "stats"]).await).unwrap();
        let bytes = info.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        bytes.unwrap().trim().parse::<u64>().unwrap()
    };
    let before = sent().await;
    bench.get(SELLERS).await.is(200).came("fwd=miss");
    let bytes = sent().await - before;
    assert!(bytes < 2 << 20, "{bytes} bytes were read");
}

#[tokio::test]
async fn a_generation_past_half_its_life_is_renewed_by_the_next_fill() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    bench.get(SELLERS).await.is(200);
    server.command(&["EXPIRE", "cat_gen_sellers", "1000"]).await;
    server.command_told(&["DEL", "cat_sellers_all"], &bench.proxy.inside).await;
    bench.get(SELLERS).await.is(200).came("fwd=miss");
    let life: i64 = redis::from_redis_value(server.command(&["TTL", "cat_gen_sellers"]).await).unwrap();
    assert!(life > 86_000, "{life} s");
}

#[tokio::test]
async fn a_redis_that_cannot_serve_yet_is_not_asked_until_it_can() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    is_cached_again(&bench).await;
    let nowhere = free_port().to_string();
    server.command(&["CONFIG", "SET", "replica-serve-stale-data", "no"]).await;
    server.command(&["REPLICAOF", "127.0.0.1", &nowhere]).await;
    until_the_store_is_missed(&bench).await;
    for _ in 0..8 {
        bench.get(SELLERS).await.is(200).came("fwd=miss; detail=store-away");
    }
    let sent = bench.proxy.inside.store_commands();
    for _ in 0..20 {
        bench.get(SELLERS).await.is(200).came("fwd=miss; detail=store-away");
    }
    assert_eq!(bench.proxy.inside.store_commands(), sent, "no command while it is known to be away");
    server.command(&["REPLICAOF", "NO", "ONE"]).await;
    is_cached_again(&bench).await;
}

#[tokio::test]
async fn the_store_too_counts_an_entrys_life_from_the_beginning_of_its_fill() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    let gate = bench.upstream.gate(fake_abconnect::Matching::path("/api/Seller"));
    let held = Duration::from_millis(300);
    let hold = async {
        gate.arrived(1).await;
        tokio::time::sleep(held).await;
        gate.open();
    };
    tokio::join!(bench.get(SELLERS), hold).0.is(200);
    let life: u64 = redis::from_redis_value(server.command(&["PTTL", "cat_sellers_all"]).await).unwrap();
    assert!(Duration::from_millis(life) <= Duration::from_secs(300) - held, "{life} ms");
}

#[tokio::test]
async fn a_connection_to_a_server_that_became_read_only_is_given_up() {
    let server = RedisServer::start().await;
    let bench = Setup::new().redis(&server).start().await;
    is_cached_again(&bench).await;
    let clients = || async {
        let list: String = redis::from_redis_value(server.command(&["CLIENT", "LIST"]).await).unwrap();
        // The one that is told of changes stays: nothing is asked on it.
        let others = list.lines().filter(|line| !line.contains(" flags=t"));
        others.filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect::<Vec<_>>()
    };
    let before = clients().await;
    server.command(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]).await;
    bench
        .write("PUT", "/api/Seller/42", r#"{"name":"A","customerDisplayId":1,"isActive":true}"#)
        .await
        .is(200);
    until("no old connection is left", || async {
        !clients().await.iter().any(|client| before.contains(client))
    })
    .await;
}
