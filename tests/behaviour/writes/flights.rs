//! What began before a write is not served after it, and whoever wrote does not join it.

use std::{sync::Arc, time::Duration};

use catproxy::config::{StoreKind, profile::Profile};
use fake_abconnect::{Gate, Matching};
use tokio::task::JoinHandle;

use crate::support::{Bench, Door, RedisServer, Reply, Setup, free_port, reading, until};

const NEW_NAME: &str = r#"{"name":"Renamed","customerDisplayId":1,"isActive":true}"#;

/// What has begun when the write comes. It has the upstream's answer from before the write, which is held back.
#[derive(Clone, Copy, Debug)]
enum Begun {
    /// A fill whose first page is held.
    FirstPage,
    /// A fill that has its first page and waits for a later one.
    LaterPage,
    /// The question for a token; the write changes no total.
    Question,
    /// The question for a token; the write changes the total.
    QuestionOfTotal,
    /// The fill of one object for a token that is not known yet.
    Object,
    /// A fill for which nobody waits, in place of an entry past its ttl.
    WhileRevalidate,
    /// A fill in place of a fresh entry, for who wants a newer one.
    NoCache,
}

const ALL: [Begun; 7] = [
    Begun::FirstPage,
    Begun::LaterPage,
    Begun::Question,
    Begun::QuestionOfTotal,
    Begun::Object,
    Begun::WhileRevalidate,
    Begun::NoCache,
];

const NO_CACHE: (&str, &str) = ("Cache-Control", "no-cache");
const PLAIN: (&str, &str) = ("X-Nothing", "1");

impl Begun {
    fn setup(self) -> Setup {
        let profile = if matches!(self, Self::Object) { Profile::CatalogUi } else { Profile::Panels };
        Setup::new().profile(profile).upstream(|options| options.sellers = 50).config(|config| {
            config.fill.page_size = 20;
            for route in &mut config.routes {
                let route = Arc::get_mut(route).expect("nobody else has it yet");
                route.stale.while_revalidate = Duration::from_secs(600);
            }
        })
    }

    fn target(self) -> &'static str {
        if matches!(self, Self::Object) { "/api/Seller/42" } else { "/api/Seller?PageSize=500" }
    }

    /// Begins it with this token: the request that gets its end, and the gate at which it is held.
    async fn begin(self, bench: &Bench, token: &str) -> (JoinHandle<Reply>, Gate) {
        let sellers = Matching::path("/api/Seller").method("GET");
        let other = bench.upstream.token("second");
        let held = match self {
            Self::FirstPage => sellers.query("PageNumber=1"),
            Self::LaterPage => sellers.query("PageNumber=2"),
            Self::Question | Self::QuestionOfTotal => {
                bench.get_as(&other, self.target()).await.is(200);
                sellers.query("PageNumber=1&PageSize=1")
            }
            Self::Object => {
                bench.get_as(&other, self.target()).await.is(200);
                sellers
            }
            Self::WhileRevalidate => {
                bench.get_as(token, self.target()).await.is(200);
                bench.clock.forward(Duration::from_secs(301));
                sellers.query("PageNumber=2")
            }
            Self::NoCache => {
                bench.get_as(token, self.target()).await.is(200);
                bench.clock.forward(Duration::from_secs(2));
                sellers.query("PageNumber=2")
            }
        };
        let gate = bench.upstream.gate(held);
        let field = match self {
            Self::NoCache => NO_CACHE,
            Self::WhileRevalidate => {
                let stale = bench.get_as(token, self.target()).await;
                assert!(stale.field("cache-status").ends_with("stale-while-revalidate"), "{stale:?}");
                // Joins the fill, and takes nothing stale.
                ("Cache-Control", "min-fresh=1")
            }
            _ => PLAIN,
        };
        let waiting = reading(&bench.proxy, token, self.target(), field);
        gate.arrived(1).await;
        if matches!(self, Self::WhileRevalidate) {
            until("it is joined", || async { bench.proxy.inside.telemetry().count("joined") == 1 }).await;
        }
        gate.hold_no_more();
        (waiting, gate)
    }

    async fn write(self, proxy: &Door, token: &str) {
        let (method, target) = match self {
            Self::QuestionOfTotal => ("POST", "/api/Seller"),
            _ => ("PUT", "/api/Seller/42"),
        };
        let authorization = format!("Bearer {token}");
        let fields = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
        proxy.send(method, target, &fields, NEW_NAME).await.is(200);
    }

    /// Whether the answer is from after the write.
    fn is_new(self, reply: &Reply) -> bool {
        let is_renamed = |item: &serde_json::Value| item["name"] == "Renamed";
        match self {
            Self::Object => is_renamed(&reply.is(200).json()),
            _ => reply.is(200).items().iter().any(is_renamed),
        }
    }

    #[track_caller]
    fn expect_new(self, reply: &Reply, when: &str) {
        assert!(self.is_new(reply), "{self:?}, {when}: it is old ({})", reply.field("cache-status"));
    }

    /// The reads of whoever wrote, while what began before is still held, and after it has landed.
    async fn is_neither_joined_nor_served(
        self,
        bench: &Bench,
        token: &str,
        (old, gate): (JoinHandle<Reply>, Gate),
    ) -> Reply {
        for field in [PLAIN, NO_CACHE] {
            let fresh = reading(&bench.proxy, token, self.target(), field).await.expect("an answer");
            self.expect_new(&fresh, &format!("read with {field:?} beside it"));
        }
        gate.open();
        old.await.expect("an answer").is(200);
        let after = bench.get_as(token, self.target()).await;
        self.expect_new(&after, "read after it has landed");
        after
    }
}

#[tokio::test]
async fn what_began_before_a_write_is_neither_joined_nor_served_nor_stored() {
    let server = RedisServer::start().await;
    for begun in ALL {
        for in_redis in [false, true] {
            if in_redis {
                server.command(&["FLUSHALL"]).await;
            }
            let setup = begun.setup();
            let bench = if in_redis { setup.redis(&server) } else { setup }.start().await;
            let token = bench.upstream.token("demo");
            let held = begun.begin(&bench, &token).await;
            begun.write(&bench.proxy, &token).await;
            let landed = begun.is_neither_joined_nor_served(&bench, &token, held).await;
            // Nothing was put in the place of what the reads have filled.
            assert!(landed.field("cache-status").starts_with("catproxy; hit"), "{begun:?}: {landed:?}");
            if matches!(begun, Begun::QuestionOfTotal) {
                // What it was told is not what is there.
                let status = landed.field("cache-status");
                assert!(status.ends_with("; detail=asked"), "{landed:?}");
            }
            let after = bench.get_as(&token, begun.target()).await;
            assert!(after.field("cache-status").starts_with("catproxy; hit"), "{begun:?}: {after:?}");
            begun.expect_new(&after, "read once more");
        }
    }
}

#[tokio::test]
async fn what_began_without_a_store_before_a_write_is_neither_joined_nor_served() {
    for begun in [Begun::FirstPage, Begun::LaterPage, Begun::Object, Begun::NoCache] {
        let nowhere = format!("redis://127.0.0.1:{}", free_port());
        let absent = begun.setup().config(|config| config.store.kind = StoreKind::Absent);
        for setup in [begun.setup().redis_at(nowhere), absent] {
            let bench = setup.start().await;
            let token = bench.upstream.token("demo");
            let held = begun.begin(&bench, &token).await;
            begun.write(&bench.proxy, &token).await;
            begun.is_neither_joined_nor_served(&bench, &token, held).await;
        }
    }
}

#[tokio::test]
async fn what_began_before_a_write_without_redis_is_neither_joined_nor_served_though_redis_comes_back() {
    for begun in ALL {
        let mut server = RedisServer::start().await;
        // A server that is gone is waited for a few times.
        let setup = begun.setup().config(|config| config.store.budget = Duration::from_millis(200));
        let bench = setup.redis(&server).start().await;
        let token = bench.upstream.token("demo");
        let held = begun.begin(&bench, &token).await;
        server.command(&["SAVE"]).await;
        server.kill();
        begun.write(&bench.proxy, &token).await;
        begun.is_neither_joined_nor_served(&bench, &token, held).await;
        // With what it held before the write.
        server.restart(&[]).await;
        until("reads are hits", || async {
            let reply = bench.get_as(&token, begun.target()).await;
            begun.expect_new(&reply, "read when Redis is back");
            reply.field("cache-status").starts_with("catproxy; hit")
        })
        .await;
    }
}

#[tokio::test]
async fn what_began_here_before_a_write_through_another_replica_is_neither_joined_nor_served() {
    let server = RedisServer::start().await;
    for begun in ALL {
        server.command(&["FLUSHALL"]).await;
        let bench = begun.setup().redis(&server).start().await;
        let (other, _) = begun.setup().redis(&server).proxy(bench.upstream.url()).await;
        let token = bench.upstream.token("demo");
        let held = begun.begin(&bench, &token).await;
        begun.write(&other, &token).await;
        // What is promised is promised from the push on.
        server.command_told(&["PING"], &bench.proxy.inside).await;
        begun.is_neither_joined_nor_served(&bench, &token, held).await;
        begun.expect_new(&other.get_as(&token, begun.target()).await, "read through the other");
        begun.expect_new(&bench.get_as(&token, begun.target()).await, "read once more");
    }
}

#[tokio::test]
async fn a_fill_that_lands_in_a_frozen_redis_is_void_in_every_replica_once_the_write_is_told() {
    let server = RedisServer::start().await;
    for begun in [Begun::FirstPage, Begun::LaterPage, Begun::Object, Begun::WhileRevalidate, Begun::NoCache] {
        server.command(&["FLUSHALL"]).await;
        let setup = || {
            let budget = Duration::from_millis(200);
            begun.setup().redis(&server).config(move |config| config.store.budget = budget)
        };
        let bench = setup().start().await;
        let (other, _) = setup().proxy(bench.upstream.url()).await;
        let token = bench.upstream.token("demo");
        let (old, gate) = begun.begin(&bench, &token).await;
        server.freeze();
        begun.write(&other, &token).await;
        // It lies in the frozen server's socket, under a generation that still stands there.
        gate.open();
        old.await.expect("an answer").is(200);
        server.thaw();
        until("who wrote has told it, and has it cached", || async {
            let reply = other.get_as(&token, begun.target()).await;
            begun.expect_new(&reply, "read through who wrote");
            reply.field("cache-status").starts_with("catproxy; hit")
        })
        .await;
        server.command_told(&["PING"], &bench.proxy.inside).await;
        begun.expect_new(&bench.get_as(&token, begun.target()).await, "read through the other");
    }
}
