//! Four replicas behind a balancer, on one Redis that Sentinels watch over, under load: started anew one by one, and with
//! the master of Redis killed. No request fails, and nothing older is read than is promised.
//!
//! The balancer is HAProxy, as `deploy/haproxy/haproxy.cfg` sets it up.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; not all that tests stand on is needed"
)]

mod fleet;
mod oracle;

#[path = "../behaviour/support.rs"]
mod support;
#[path = "../behaviour/watched.rs"]
mod watched;

use std::{sync::Arc, time::Duration};

use fake_abconnect::{FakeAbconnect, Options};

use self::{
    fleet::{Balancer, Fleet},
    oracle::{Load, Oracle},
    support::until,
    watched::{Watched, is_master},
};

const REPLICAS: usize = 4;
/// Reads that must come between two steps, so that each is seen under load.
const READS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_replicas_are_started_anew_and_redis_fails_over_and_nobody_notices() {
    let mut watched = Watched::start().await;
    let upstream = FakeAbconnect::start(Options::default()).expect("the stand-in starts");
    let mut fleet = Fleet::start(REPLICAS, upstream.url(), &watched.url()).await;
    let balancer = Balancer::start(&fleet).await;
    let oracle = Arc::new(Oracle::default());
    let load = Load::start(balancer.address, &upstream, &oracle);
    until("each replica has answered a hit from its copies", || fleet.all_have_near_hits()).await;

    for replica in 0..REPLICAS {
        oracle.reads(READS).await;
        fleet.restart(replica).await;
        until("the balancer uses it again", || fleet.is_used(replica)).await;
    }

    oracle.reads(READS).await;
    oracle.begin_of_failover();
    watched.master.kill();
    until("its replica is the master", || is_master(&watched.replica)).await;
    until("all replicas are on the new master", || fleet.all_have_the_store()).await;
    oracle.end_of_failover();
    oracle.reads(READS).await;
    until("there are hits from copies again", || fleet.all_have_near_hits()).await;

    for replica in 0..REPLICAS {
        fleet.restart(replica).await;
        oracle.reads(READS).await;
    }
    // What is promised for later is seen later.
    tokio::time::sleep(oracle::AFTER_FAILOVER + Duration::from_secs(1)).await;
    oracle.reads(READS).await;
    load.stop().await;
    oracle.judge();
}
