//! A Redis Cluster: each server has its part of the keys, and one that is lost costs no more than those.

use std::{ops::RangeInclusive, time::Duration};

use catproxy::cache::StoreHealth;

use super::{RIGHTS, SELLERS, keeps_entries, lapsed};
use crate::{
    admin::{Administered as _, Operator},
    support::{Bench, RedisServer, Setup, free_port, until},
    watched::is_master,
};

/// Such that the sellers' entry and their generation are on two servers.
const PARTS: [RangeInclusive<u16>; 3] = [0..=1700, 1701..=10_922, 10_923..=16_383];

/// Three masters, each with a part of the slots.
struct Cluster {
    masters: Vec<RedisServer>,
    settings: Vec<Vec<String>>,
}

impl Cluster {
    async fn start() -> Self {
        let (mut masters, mut settings) = (Vec::new(), Vec::new());
        for part in &PARTS {
            let (master, its_settings) = node().await;
            let [first, last] = [part.start(), part.end()].map(ToString::to_string);
            master.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await;
            masters.push(master);
            settings.push(its_settings);
        }
        let cluster = Self { masters, settings };
        for other in 1..cluster.masters.len() {
            cluster.meet(&cluster.masters[other], &cluster.settings[other]).await;
        }
        for master in &cluster.masters {
            until("all know of each other", || knows(master, 3)).await;
        }
        cluster
    }

    /// Makes another server known.
    async fn meet(&self, other: &RedisServer, settings: &[String]) {
        let (port, bus) = (other.port.to_string(), settings.last().expect("a port"));
        self.masters[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]).await;
    }

    /// One server is enough to find the others.
    fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", free_port(), self.masters[1].port)
    }

    /// The place of the master that has this key.
    async fn place(&self, key: &str) -> usize {
        let slot = self.masters[0].command(&["CLUSTER", "KEYSLOT", key]).await;
        let slot: u16 = redis::from_redis_value(slot).expect("a slot");
        PARTS.iter().position(|part| part.contains(&slot)).expect("a part")
    }

    async fn has(&self, place: usize, key: &str) -> bool {
        self.masters[place].keys().await.iter().any(|present| present == key)
    }

    async fn restart(&mut self, place: usize) {
        let settings: Vec<&str> = self.settings[place].iter().map(String::as_str).collect();
        self.masters[place].restart(&settings).await;
    }

    /// Lists of sellers whose entries are on this master.
    async fn lists_on(&self, place: usize) -> (String, String) {
        for seller in 1.. {
            let key = format!("cat_catalogs_seller_{seller}");
            if self.place(&key).await == place {
                return (key, format!("/api/Catalog?SellerIds={seller}"));
            }
        }
        panic!("there are sellers enough")
    }
}

/// A server that is of no Cluster yet, and what it is started with.
async fn node() -> (RedisServer, Vec<String>) {
    let bus = free_port().to_string();
    let settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "500"];
    let settings =
        [&settings[..], &["--cluster-require-full-coverage", "no", "--cluster-port", &bus]].concat();
    let server = RedisServer::start_with(&settings).await;
    (server, settings.into_iter().map(str::to_owned).collect())
}

/// Whether it knows so many servers, itself among them, and serves.
async fn knows(server: &RedisServer, count: usize) -> bool {
    let info = server.command(&["CLUSTER", "INFO"]).await;
    let info: String = redis::from_redis_value(info).expect("a text");
    info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{count}\r\n"))
}

async fn is_near(bench: &Bench, token: &str, list: &str) -> bool {
    bench.get_as(token, list).await.is(200).field("cache-status").ends_with("near")
}

async fn is_away(bench: &Bench, token: &str, list: &str) -> bool {
    bench.get_as(token, list).await.is(200).field("cache-status").ends_with("detail=store-away")
}

#[tokio::test]
async fn entries_are_on_the_server_of_their_slot_and_copied_from_it() {
    let cluster = Cluster::start().await;
    keeps_entries(Setup::new().redis_at(cluster.url())).await;
    let [entry, generation] = ["cat_sellers_all", "cat_gen_sellers"];
    let (place, home) = (cluster.place(entry).await, cluster.place(generation).await);
    assert_ne!(place, home, "they are asked for both");
    assert!(cluster.has(place, entry).await && cluster.has(home, generation).await);
}

#[tokio::test]
async fn a_user_with_the_rights_that_are_documented_will_do_in_a_cluster() {
    let cluster = Cluster::start().await;
    for master in &cluster.masters {
        let mut user = vec!["ACL", "SETUSER", "catproxy", "on", ">s3cret", "~cat_*"];
        user.extend(RIGHTS.split(' ').chain(["+cluster|info", "+cluster|slots"]));
        master.command(&user).await;
    }
    let url = cluster.url().replace("://", "://catproxy:s3cret@");
    keeps_entries(Setup::new().redis_at(url)).await;
}

#[tokio::test]
async fn a_write_through_one_replica_is_seen_by_another_whichever_server_says_it() {
    let cluster = Cluster::start().await;
    let one = Setup::new().redis_at(cluster.url()).start().await;
    // Nothing but what is said ends a copy.
    let other = Setup::new().redis_at(cluster.url()).config(|config| {
        config.store.near.as_mut().expect("copies").limit = Duration::from_secs(60);
    });
    let (other, _) = other.proxy(one.upstream.url()).await;
    let token = one.upstream.token("demo");
    until("the other has a copy", || async {
        other.get_as(&token, SELLERS).await.field("cache-status").ends_with("near")
    })
    .await;
    let before = other.get_as(&token, SELLERS).await;
    one.write("PUT", "/api/Seller/42", r#"{"name":"Renamed","customerDisplayId":1,"isActive":true}"#)
        .await
        .is(200);
    until("the other serves what is new", || async {
        other.get_as(&token, SELLERS).await.is(200).body != before.body
    })
    .await;
}

#[tokio::test]
async fn of_a_server_that_is_lost_only_its_own_lists_come_from_the_upstream() {
    let mut cluster = Cluster::start().await;
    let home = cluster.place("cat_gen_catalogs").await;
    let [lost, stays] = [(home + 1) % 3, (home + 2) % 3];
    let ((key, theirs), (_, ours)) = (cluster.lists_on(lost).await, cluster.lists_on(stays).await);
    let bench = Setup::new().redis_at(cluster.url()).start().await;
    let token = bench.upstream.token("demo");
    for list in [&theirs, &ours] {
        until("there are copies", || is_near(&bench, &token, list)).await;
    }
    cluster.masters[lost].kill();
    until("its lists come from the upstream", || is_away(&bench, &token, &theirs)).await;
    until("that is known", || async {
        is_away(&bench, &token, &theirs).await && bench.proxy.inside.store_health() == StoreHealth::Partly
    })
    .await;
    until("the copies of the others are served", || is_near(&bench, &token, &ours)).await;
    let asked = bench.upstream.calls_to("/api/Catalog").len();
    for _ in 0..50 {
        assert!(is_near(&bench, &token, &ours).await, "of a server that is there");
    }
    assert_eq!(bench.upstream.calls_to("/api/Catalog").len(), asked);
    cluster.restart(lost).await;
    until("they are stored again", || is_near(&bench, &token, &theirs)).await;
    assert!(cluster.has(lost, &key).await);
}

#[tokio::test]
async fn a_server_that_hangs_costs_nobody_anything_but_the_first_few() {
    let cluster = Cluster::start().await;
    let home = cluster.place("cat_gen_catalogs").await;
    let frozen = (home + 1) % 3;
    let (_, list) = cluster.lists_on(frozen).await;
    let bench = Setup::new().redis_at(cluster.url()).start().await;
    let token = bench.upstream.token("demo");
    until("there is a copy", || is_near(&bench, &token, &list)).await;
    cluster.masters[frozen].freeze();
    until("its lists come from the upstream", || is_away(&bench, &token, &list)).await;
    until("that is known", || async {
        is_away(&bench, &token, &list).await && bench.proxy.inside.store_health() == StoreHealth::Partly
    })
    .await;
    let commands = bench.proxy.inside.store_commands();
    for _ in 0..20 {
        assert!(is_away(&bench, &token, &list).await);
    }
    assert_eq!(bench.proxy.inside.store_commands(), commands, "it is not asked");
    cluster.masters[frozen].thaw();
    until("they are stored again", || is_near(&bench, &token, &list)).await;
}

#[tokio::test]
async fn a_replica_that_takes_a_lost_masters_place_has_its_keys() {
    let mut cluster = Cluster::start().await;
    let lost = cluster.place("cat_gen_sellers").await;
    let (replica, settings) = node().await;
    cluster.meet(&replica, &settings).await;
    until("it knows all", || knows(&replica, 4)).await;
    let id = cluster.masters[lost].command(&["CLUSTER", "MYID"]).await;
    let id: String = redis::from_redis_value(id).expect("an id");
    replica.command(&["CLUSTER", "REPLICATE", &id]).await;
    let bench = Setup::new().redis_at(cluster.url()).start().await;
    let token = bench.upstream.token("demo");
    until("there is a copy", || is_near(&bench, &token, SELLERS)).await;
    until("the replica has what its master has", || async {
        let keys = replica.keys().await;
        keys.iter().any(|key| key == "cat_gen_sellers")
    })
    .await;
    lapsed(&bench, || cluster.masters[lost].kill()).await;
    until("the replica is a master", || is_master(&replica)).await;
    bench.rename_past_the_proxy("Meanwhile").await;
    until("it is stored with the replica, and followed there", || is_near(&bench, &token, SELLERS)).await;
    // What the replica had of the generation was another process's.
    let list = bench.get_as(&token, SELLERS).await;
    assert!(String::from_utf8_lossy(&list.body).contains("Meanwhile"));
    assert_eq!(bench.proxy.inside.store_health(), StoreHealth::Redis);
}

#[tokio::test]
async fn a_server_that_was_taken_out_of_the_cluster_says_nothing_that_counts() {
    let cluster = Cluster::start().await;
    let (out, settings) = node().await;
    cluster.meet(&out, &settings).await;
    until("it knows all", || knows(&out, 4)).await;
    // As `redis-cli --cluster del-node` ends: it keeps the epoch that it has heard of, and knows no slots.
    out.command(&["CLUSTER", "RESET", "SOFT"]).await;
    let url = format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", out.port, cluster.masters[2].port);
    keeps_entries(Setup::new().redis_at(url)).await;
}

#[tokio::test]
async fn a_server_that_answers_and_does_not_serve_stays_away() {
    let mut cluster = Cluster::start().await;
    for master in &cluster.masters {
        master.command(&["CONFIG", "SET", "cluster-require-full-coverage", "yes"]).await;
    }
    let bench = Setup::new().redis_at(cluster.url()).start().await;
    let token = bench.upstream.token("demo");
    until("there is a copy", || is_near(&bench, &token, SELLERS)).await;
    let (home, place) = (cluster.place("cat_gen_sellers").await, cluster.place("cat_sellers_all").await);
    let lost = (0..3).find(|other| ![home, place].contains(other)).expect("another");
    cluster.masters[lost].kill();
    let commands = || bench.proxy.inside.store_commands();
    until("the Cluster is down, and that is known", || async {
        let before = commands();
        is_away(&bench, &token, SELLERS).await && commands() == before
    })
    .await;
    let (before, asked) = (commands(), infos(&cluster.masters[home]).await);
    until("it was asked how it is, some times", || async {
        assert!(is_away(&bench, &token, SELLERS).await);
        infos(&cluster.masters[home]).await >= asked + 6
    })
    .await;
    assert_eq!(commands(), before, "and for nothing else");
    cluster.restart(lost).await;
    until("a copy is served", || is_near(&bench, &token, SELLERS)).await;
}

/// How often a server was asked how its Cluster is.
async fn infos(server: &RedisServer) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]).await;
    let stats: String = redis::from_redis_value(stats).expect("a text");
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_cluster|info:calls="));
    calls.and_then(|calls| calls.split(',').next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn a_key_that_has_moved_is_found_where_it_is() {
    let cluster = Cluster::start().await;
    let key = "cat_sellers_all";
    let (from, to) = (cluster.place(key).await, (cluster.place(key).await + 1) % 3);
    let bench = Setup::new().redis_at(cluster.url()).start().await;
    let token = bench.upstream.token("demo");
    until("there is a copy", || is_near(&bench, &token, SELLERS)).await;
    let slot: u16 =
        redis::from_redis_value(cluster.masters[from].command(&["CLUSTER", "KEYSLOT", key]).await)
            .expect("a slot");
    let id: String =
        redis::from_redis_value(cluster.masters[to].command(&["CLUSTER", "MYID"]).await).expect("an id");
    cluster.masters[from].command(&["DEL", key]).await;
    // As `redis-cli --cluster reshard` ends: who gets it hears of it first.
    for place in [to, from] {
        cluster.masters[place].command(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &id]).await;
    }
    until("a copy of it is served", || is_near(&bench, &token, SELLERS)).await;
    assert!(cluster.has(to, key).await && !cluster.has(from, key).await);
}

#[tokio::test]
async fn the_operators_list_goes_through_all_servers() {
    let cluster = Cluster::start().await;
    let bench = Setup::new().redis_at(cluster.url()).administered(None).start().await;
    for place in 0..3 {
        let (_, list) = cluster.lists_on(place).await;
        until("it is stored", || async { bench.get(&list).await.field("cache-status").contains("hit") })
            .await;
    }
    let mut expected = Vec::new();
    for master in &cluster.masters {
        expected.extend(master.keys().await.into_iter().filter(|key| key.contains("_seller_")));
    }
    expected.sort();
    let (mut listed, mut target) = (Vec::new(), "/entries?limit=1".to_owned());
    loop {
        let piece = Operator(&bench).get(&target).await.is(200).json();
        for entry in piece["entries"].as_array().expect("entries") {
            assert_eq!(entry["valid"], true, "{entry}");
            listed.push(entry["key"].as_str().expect("a key").to_owned());
        }
        match piece["next"].as_str() {
            Some(next) => target = format!("/entries?limit=1&from={next}"),
            None => break,
        }
    }
    listed.sort();
    listed.dedup();
    assert_eq!(listed, expected);
}
