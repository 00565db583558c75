//! A master that Sentinels watch over: whichever server that is, the lists are there.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use catproxy::cache::StoreHealth;

use super::{SELLERS, keeps_entries};
use crate::{
    line::{Fault, Line, Said},
    support::{Bench, Door, RedisServer, Setup, send, until},
    watched::{NAME, Sentinel, Watched, has_caught_up},
};

async fn is_near(bench: &Bench, token: &str) -> bool {
    bench.get_as(token, SELLERS).await.is(200).field("cache-status").ends_with("near")
}

#[tokio::test]
async fn entries_are_kept_by_the_master_that_sentinels_name_also_in_a_numbered_database() {
    let watched = Watched::start().await;
    keeps_entries(Setup::new().redis_at(format!("{}/3", watched.url()))).await;
    let script = "redis.call('SELECT', '3') return redis.call('EXISTS', 'cat_sellers_all')";
    let there = watched.master.command(&["EVAL", script, "0"]).await;
    assert_eq!(there, redis::Value::Int(1));
}

#[tokio::test]
async fn sentinels_and_servers_may_each_have_users_of_their_own() {
    let server = RedisServer::start_with(&["--requirepass", "s3cret"]).await;
    let rights = "+hello +client +sentinel|master +sentinel|get-master-addr-by-name";
    let more = format!("sentinel auth-pass {NAME} s3cret\nuser watcher on >watch%er {rights}");
    let sentinel = Sentinel::start(server.port, 1, &more);
    let url = format!(
        "redis+sentinel://:s3cret@127.0.0.1:{}/{NAME}?sentinel_user=watcher&sentinel_pass=watch%25er",
        sentinel.port
    );
    keeps_entries(Setup::new().redis_at(url)).await;
}

#[tokio::test]
async fn while_no_sentinel_is_there_lists_come_from_the_upstream_and_once_one_is_they_are_kept() {
    let server = RedisServer::start().await;
    let sentinel = Sentinel::start(server.port, 1, "");
    let line = Line::to_address(SocketAddr::from((Ipv4Addr::LOCALHOST, sentinel.port)));
    line.begin(Said::Everything, Fault::Refuse);
    let url = format!("redis+sentinel://{}/{NAME}", line.url().trim_start_matches("redis://"));
    let bench = Setup::new().redis_at(url).start().await;
    let token = bench.upstream.token("demo");
    bench.get_as(&token, SELLERS).await.is(200).came("fwd=miss; detail=store-away");
    assert_eq!(bench.proxy.inside.store_health(), StoreHealth::Away);
    line.end(Said::Everything);
    until("they are kept", || is_near(&bench, &token)).await;
    line.begin(Said::Everything, Fault::Refuse);
    for _ in 0..20 {
        assert!(is_near(&bench, &token).await, "the master is there all the same");
    }
}

#[tokio::test]
async fn no_request_fails_while_a_lost_master_is_replaced_and_nothing_old_is_served_after() {
    let mut watched = Watched::start().await;
    let bench = Arc::new(Setup::new().redis_at(watched.url()).start().await);
    let token = bench.upstream.token("demo");
    until("there is a copy", || is_near(&bench, &token)).await;
    let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (address, token) = (bench.proxy.address, format!("Bearer {token}"));
            let (done, answered) = (Arc::clone(&done), Arc::clone(&answered));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    send(address, "GET", SELLERS, &[("Authorization", &token)], "").await.is(200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    watched.master.kill();
    let renamed = r#"{"name":"Meanwhile","customerDisplayId":1,"isActive":true}"#;
    bench.write("PUT", "/api/Seller/42", renamed).await.is(200);
    let after = bench.get_as(&token, SELLERS).await;
    assert!(
        String::from_utf8_lossy(&after.body).contains("Meanwhile"),
        "it was written through this process"
    );
    until("copies are served again", || is_near(&bench, &token)).await;
    assert!(
        watched.replica.keys().await.contains(&"cat_sellers_all".to_owned()),
        "of what the new master has"
    );
    assert_eq!(bench.get_as(&token, SELLERS).await.body, after.body);
    done.store(true, Ordering::Relaxed);
    for load in load {
        load.await.expect("no request fails");
    }
    assert!(answered.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn a_master_that_was_replaced_and_lives_on_is_asked_no_more() {
    let watched = Watched::start().await;
    let bench = Setup::new().redis_at(watched.url()).start().await;
    let token = bench.upstream.token("demo");
    until("there is a copy", || is_near(&bench, &token)).await;
    until("the replica has the list", || async {
        watched.replica.keys().await == watched.master.keys().await
    })
    .await;
    watched.fail_over().await;
    bench.rename_past_the_proxy("Meanwhile").await;
    // What the new master had of the list and its generation was another process's.
    until("copies of what was filled for the new master are served", || async {
        let list = bench.get_as(&token, SELLERS).await;
        list.is(200).field("cache-status").ends_with("near")
            && String::from_utf8_lossy(&list.body).contains("Meanwhile")
    })
    .await;
    let renamed = r#"{"name":"Later","customerDisplayId":1,"isActive":true}"#;
    bench.write("PUT", "/api/Seller/42", renamed).await.is(200);
    let list = bench.get_as(&token, SELLERS).await;
    assert!(String::from_utf8_lossy(&list.body).contains("Later"));
}

/// A proxy that knows of one Sentinel only, which can be kept from telling it anything.
async fn kept_in_the_dark(watched: &Watched) -> (Bench, Line) {
    let line = Line::to_address(SocketAddr::from((Ipv4Addr::LOCALHOST, watched.sentinels[1].port)));
    let url = format!("redis+sentinel://{}/{NAME}", line.url().trim_start_matches("redis://"));
    let bench = Setup::new().redis_at(url).start().await;
    let token = bench.upstream.token("demo");
    until("there is a copy", || is_near(&bench, &token)).await;
    until("the replica has the list", || async {
        watched.replica.keys().await == watched.master.keys().await
    })
    .await;
    line.begin(Said::Everything, Fault::Stall);
    (bench, line)
}

async fn rename(bench: &Bench, name: &str) {
    let renamed = format!(r#"{{"name":"{name}","customerDisplayId":1,"isActive":true}}"#);
    bench.write("PUT", "/api/Seller/42", &renamed).await.is(200);
}

async fn has(door: &Door, token: &str, name: &str) -> bool {
    let list = door.get_as(token, SELLERS).await;
    String::from_utf8_lossy(&list.is(200).body).contains(name)
}

/// Until all replicas of the old master have heard of the new one, the old one has not.
#[tokio::test]
async fn a_write_that_only_a_deposed_master_was_told_of_is_told_to_the_new_one() {
    let (watched, others) = Watched::start_with_others(1).await;
    let (one, line) = kept_in_the_dark(&watched).await;
    let other = Setup::new().redis_at(watched.url_from_the_last());
    let (other, _) = other.proxy(one.upstream.url()).await;
    let token = one.upstream.token("demo");
    let before = watched.master.text("cat_gen_sellers").await;
    others[0].freeze();
    watched.fail_over().await;
    until("the other one keeps the list with the new master", || async {
        let near = other.get_as(&token, SELLERS).await.field("cache-status").ends_with("near");
        let generation = watched.replica.text("cat_gen_sellers").await;
        near && generation.is_some() && generation != before
    })
    .await;
    rename(&one, "Deposed").await;
    assert!(has(&one.proxy, &token, "Deposed").await, "it was written through this process");
    line.end(Said::Everything);
    until("the other one serves it, too", || has(&other, &token, "Deposed")).await;
}

/// The new master gives a replica back what was deleted there when that was still the master.
#[tokio::test]
async fn what_a_deposed_master_gets_back_is_not_believed() {
    let mut watched = Watched::start().await;
    let (bench, _line) = kept_in_the_dark(&watched).await;
    let token = bench.upstream.token("demo");
    // From here on the test is the Sentinel.
    watched.sentinels.clear();
    watched.replica.command(&["REPLICAOF", "NO", "ONE"]).await;
    rename(&bench, "Deposed").await;
    until("a copy is served", || is_near(&bench, &token)).await;
    assert!(has(&bench.proxy, &token, "Deposed").await);
    // As a Sentinel does it.
    let port = watched.replica.port.to_string();
    watched.master.command(&["REPLICAOF", "127.0.0.1", &port]).await;
    let _ = watched.master.try_command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    until("it has what the new master has", || has_caught_up(&watched.master)).await;
    until("it is known that it serves no more", || async {
        assert!(has(&bench.proxy, &token, "Deposed").await, "nothing old comes back");
        bench.proxy.inside.store_health() == StoreHealth::Away
    })
    .await;
}

#[tokio::test]
async fn a_sentinel_that_knows_nothing_of_a_failover_is_believed_less_than_one_that_does() {
    let (watched, other) = (Watched::start().await, RedisServer::start().await);
    watched.fail_over().await;
    for sentinel in &watched.sentinels {
        until("they agree", || async {
            let address = sentinel.command(&["GET-MASTER-ADDR-BY-NAME", NAME]).await.expect("an address");
            let (_, port): (String, u16) = redis::from_redis_value(address).expect("an address");
            port == watched.replica.port
        })
        .await;
    }
    let cut_off = Sentinel::start(other.port, 1, "");
    until("it answers", || async { cut_off.command(&["MASTER", NAME]).await.is_some() }).await;
    let first = format!("redis+sentinel://127.0.0.1:{},", cut_off.port);
    let url = watched.url().replace("redis+sentinel://", &first);
    keeps_entries(Setup::new().redis_at(url)).await;
    assert!(other.keys().await.is_empty() && !watched.replica.keys().await.is_empty());
}
