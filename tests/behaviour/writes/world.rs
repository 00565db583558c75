//! A proxy, the stand-in behind it, a store, and what the two lists must be at any time: what the upstream holds.

use fake_abconnect::Generation;
use serde_json::{Value, json};

use crate::support::{Bench, RedisServer, Reply, Setup, send, until};

pub(super) const SELLERS: &str = "/api/Seller?PageNumber=1&PageSize=500";
/// Of a seller that has no catalogs but those that a test gives it: a page of the stand-in's own is large.
pub(super) const CATALOGS: &str = "/api/Catalog?PageNumber=1&PageSize=500&SellerIds=2";

/// Where entries are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    InMemory,
    /// With copies in the process.
    InRedis,
}

/// Every generation of the API on every store.
pub(super) const EVERYWHERE: [(Generation, Kept); 4] = [
    (Generation::First, Kept::InMemory),
    (Generation::First, Kept::InRedis),
    (Generation::Second, Kept::InMemory),
    (Generation::Second, Kept::InRedis),
];

pub(super) struct World {
    /// For messages.
    pub(super) name: String,
    pub(super) bench: Bench,
    pub(super) server: Option<RedisServer>,
    /// Reads and writes all.
    pub(super) token: String,
    /// The two catalogs in the list, of a day that does not come.
    pub(super) catalogs: [i64; 2],
}

impl World {
    pub(super) async fn start(generation: Generation, kept: Kept) -> Self {
        Self::with(generation, kept, |setup| setup).await
    }

    pub(super) async fn with(
        generation: Generation,
        kept: Kept,
        change: impl FnOnce(Setup) -> Setup,
    ) -> Self {
        let mut setup = Setup::new().upstream(|options| {
            options.generation = generation;
            options.sellers = 50;
        });
        let mut server = None;
        if kept == Kept::InRedis {
            let started = RedisServer::start().await;
            setup = setup.redis(&started);
            server = Some(started);
        }
        let bench = change(setup).start().await;
        let token = bench.upstream.token("demo");
        let mut world =
            Self { name: format!("{generation:?}, {kept:?}"), bench, server, token, catalogs: [0; 2] };
        for place in 0..2 {
            let authorization = world.authorization();
            let fields = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
            let body = catalog(&format!("Old {place}")).to_string();
            let added = send(world.bench.upstream.addr(), "POST", "/api/Catalog", &fields, &body);
            world.catalogs[place] = added.await.is(200).json()["id"].as_i64().expect("an id");
        }
        world
    }

    fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    pub(super) async fn read(&self, target: &str) -> Reply {
        self.bench.get_as(&self.token, target).await
    }

    pub(super) async fn write(&self, method: &str, target: &str, body: &str) -> Reply {
        self.write_with(method, target, ("X-Nothing", "1"), body).await
    }

    pub(super) async fn write_with(
        &self,
        method: &str,
        target: &str,
        field: (&str, &str),
        body: &str,
    ) -> Reply {
        let authorization = self.authorization();
        let fields = [("Authorization", authorization.as_str()), ("Content-Type", "application/json"), field];
        self.bench.proxy.send(method, target, &fields, body).await
    }

    /// Gives a seller and a catalog new names, through the proxy.
    pub(super) async fn rename(&self, name: &str) {
        let seller = json!({ "name": name, "customerDisplayId": 4242, "isActive": true });
        self.write("PUT", "/api/Seller/42", &seller.to_string()).await.is(200);
        let target = format!("/api/Catalog/{}", self.catalogs[0]);
        self.write("PUT", &target, &catalog(name).to_string()).await.is(200);
    }

    /// Both lists are read from the cache from here on: from copies in the process, where there are any.
    pub(super) async fn warm(&self) {
        let near = self.server.is_some();
        for target in [SELLERS, CATALOGS] {
            until(&format!("{}: {target} is cached", self.name), || async {
                let reply = self.read(target).await;
                let status = reply.is(200).field("cache-status");
                status.starts_with("catproxy; hit") && (!near || status.ends_with("; detail=near"))
            })
            .await;
        }
    }

    /// Reads both lists, which must be what the upstream holds; whether they came from the cache.
    pub(super) async fn look(&self, after: &str) -> [bool; 2] {
        let mut cached = [false; 2];
        let lists = [
            (SELLERS, self.bench.upstream.sellers(), ["id", "name", "customerDisplayId"]),
            (CATALOGS, self.bench.upstream.catalogs_of(2), ["id", "title", "startDate"]),
        ];
        for (place, (target, held, fields)) in lists.into_iter().enumerate() {
            let reply = self.read(target).await;
            assert_eq!(reply.status, 200, "{}, {after}: {target}: {reply:?}", self.name);
            let status = reply.field("cache-status");
            let (shown, held) = (only(reply.items(), &fields), only(held, &fields));
            assert!(shown == held, "{}, {after}: {target} is old ({status})", self.name);
            cached[place] = status.starts_with("catproxy; hit");
        }
        cached
    }
}

/// A catalog in a request of either generation.
pub(super) fn catalog(title: &str) -> Value {
    json!({
        "title": title, "startDate": "2199-01-01T00:00:00", "endDate": "2199-01-02T00:00:00",
        "sellerIds": [2], "sellerId": 2,
    })
}

fn only(items: Vec<Value>, fields: &[&str; 3]) -> Vec<[Value; 3]> {
    items.into_iter().map(|item| fields.map(|field| item[field].clone())).collect()
}
