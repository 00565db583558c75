//! What a cell stands on: a proxy with a breakable line to Redis and one to the upstream, and the truth.

use std::time::{Duration, Instant};

use fake_abconnect::{FakeAbconnect, Options, Running};
use serde_json::{Value, json};

use crate::{
    line::Line,
    support::{Door, RedisServer, Reply, Setup, Unanswered, attempt, until},
};

/// What clients ask for; a fill asks for pages of 5.
pub(super) const READ: &str = "/api/Seller?PageNumber=1&PageSize=12";
/// Answered by no route.
pub(super) const OBJECT: &str = "/api/Seller/3";
const SELLERS: usize = 12;
/// A fill or two after each other, each of them late, on a machine that is busy with other things.
const IN_TIME: Duration = Duration::from_secs(10);

pub(super) struct Bench {
    pub(super) server: RedisServer,
    pub(super) redis: Line,
    pub(super) origin: Line,
    pub(super) upstream: Running,
    /// Behind both lines.
    pub(super) proxy: Door,
    /// On the same Redis, without a line to it.
    pub(super) other: Door,
}

impl Bench {
    /// `before` happens to the lines before the proxy is started.
    pub(super) async fn start(near: bool, before: impl FnOnce(&Line, &Line)) -> Self {
        let server = RedisServer::start().await;
        let options = Options { sellers: SELLERS, ..Options::default() };
        let upstream = FakeAbconnect::start(options).expect("the stand-in starts");
        let (redis, origin) = (Line::to(&server).await, Line::to_address(upstream.addr()));
        before(&redis, &origin);
        let setup = |redis: String, near: bool| {
            Setup::new().redis_at(redis).config(move |config| {
                config.fill.page_size = 5;
                config.fill.timeout = Duration::from_secs(5);
                config.upstream.connect_timeout = Duration::from_secs(1);
                config.upstream.head_timeout = Duration::from_millis(1500);
                config.upstream.body_timeout = Duration::from_millis(1500);
                config.store.budget = Duration::from_millis(100);
                // A copy ends because of what Redis says, and not by itself.
                config.store.near.iter_mut().for_each(|near| near.limit = Duration::from_secs(60));
                if !near {
                    config.store.near = None;
                }
            })
        };
        // Shapes name the upstream: both replicas are told the same one, so both are on the line to it.
        let (proxy, _) = setup(redis.url(), near).proxy(&origin.http()).await;
        let (other, _) = setup(server.url(), true).proxy(&origin.http()).await;
        Self { server, redis, origin, upstream, proxy, other }
    }

    pub(super) fn token(&self) -> String {
        format!("Bearer {}", self.upstream.token("demo"))
    }

    /// One read; it is judged by how long it took, too.
    pub(super) async fn ask(&self, token: &str, target: &str) -> Result<Reply, Unanswered> {
        let began = Instant::now();
        let fields = [("Authorization", token)];
        let asked = attempt(self.proxy.address, "GET", target, &fields, "");
        let answer = tokio::time::timeout(IN_TIME, asked).await;
        answer.unwrap_or_else(|_| panic!("{target}: no answer within {:?}", began.elapsed()))
    }

    /// Three clients at a time, with one token.
    pub(super) async fn ask_thrice(&self, token: &str, target: &str) -> Vec<Result<Reply, Unanswered>> {
        let (a, b, c) =
            tokio::join!(self.ask(token, target), self.ask(token, target), self.ask(token, target));
        vec![a, b, c]
    }

    /// Returns once reads are hits, with these words in `Cache-Status`; every answer on the way is right.
    pub(super) async fn until_hit(&self, how: &str) {
        let token = self.token();
        until(&format!("`{how}` again"), || async {
            let Ok(reply) = self.ask(&token, READ).await else { return false };
            // The line may still be on its way back.
            if reply.status != 200 {
                self.is_honest(&reply);
                return false;
            }
            self.is_right(&reply, READ);
            reply.field("cache-status").starts_with("catproxy; hit")
                && reply.field("cache-status").contains(how)
        })
        .await;
    }

    /// Seller 3 gets this name, through this proxy.
    pub(super) async fn rename(&self, proxy: &Door, name: &str) {
        let token = self.token();
        let fields = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
        let body = json!({ "name": name, "customerDisplayId": 1, "isActive": true }).to_string();
        let answer = attempt(proxy.address, "PUT", OBJECT, &fields, &body).await;
        answer.unwrap_or_else(|error| panic!("the write: {error:?}")).is(200);
    }

    /// What the upstream holds now is what this answer says.
    #[track_caller]
    pub(super) fn is_right(&self, reply: &Reply, target: &str) {
        reply.is(200);
        let truth =
            if target == OBJECT { self.upstream.seller(3).expect("it is there") } else { self.page() };
        assert!(reply.json() == truth, "not what the upstream holds: {reply:?}");
    }

    /// An error of ours, which says what was wrong.
    #[track_caller]
    pub(super) fn is_honest(&self, reply: &Reply) {
        let text = String::from_utf8_lossy(&reply.body);
        let ours = reply.field("content-type") == "application/problem+json" && text.contains("ABConnect");
        assert!(ours && matches!(reply.status.as_u16(), 502 | 504), "no honest error: {reply:?}");
    }

    /// What is in the store is what the upstream holds, as far as it counts.
    pub(super) async fn is_stored_right(&self) {
        let (entry, generation) =
            (self.server.text("cat_sellers_all").await, self.server.text("cat_gen_sellers").await);
        let Some(entry) = entry else { return };
        let entry: Value = serde_json::from_str(&entry).expect("an entry is JSON");
        if entry["generation"].as_str() == generation.as_deref() {
            assert_eq!(entry["total"], SELLERS);
            assert!(entry["items"] == Value::from(self.items()), "stored: {entry}");
        }
    }

    fn page(&self) -> Value {
        let items = self.items();
        json!({
            "items": items, "pageNumber": 1, "totalPages": 1, "totalItems": items.len(),
            "hasPreviousPage": false, "hasNextPage": false,
        })
    }

    fn items(&self) -> Vec<Value> {
        let keep = |seller: Value| json!({ "id": seller["id"], "name": seller["name"], "customerDisplayId": seller["customerDisplayId"] });
        self.upstream.sellers().into_iter().map(keep).collect()
    }
}
