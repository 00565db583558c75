//! What clients do: reads of all kinds through either replica, and writes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};

use crate::{
    bench::{Bench, FILL_TIMEOUT, REPLICAS, VOUCH_LIMIT},
    dice::Dice,
    history::{Reader, Way},
    support::{Reply, Unanswered, attempt},
};

const READERS: usize = 8;
const WRITERS: usize = 2;
/// Between two requests of one client.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(40));
/// Between two writes of one client.
const WRITE_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(800));
/// A fault may last in a fill that began under it, and in who joined that.
const GRACE: Duration = Duration::from_secs(2).saturating_add(FILL_TIMEOUT);
/// Whatever happens, an answer takes no longer.
const IN_TIME: Duration = Duration::from_secs(20);
/// So long after it was sent a write whose answer did not come has come about, or never will.
const SETTLED: Duration = Duration::from_millis(500);

pub fn begin(work: &mut JoinSet<()>, bench: &Arc<Bench>, dice: &Dice, ended: &watch::Receiver<bool>) {
    for reader in 0..READERS {
        let client = Client::new(bench, dice.split(reader as u64), ended);
        work.spawn(async move { client.read().await });
    }
    for writer in 0..WRITERS {
        let client = Client::new(bench, dice.split(100 + writer as u64), ended);
        work.spawn(async move { client.write(writer).await });
    }
    let client = Client::new(bench, dice.split(200), ended);
    work.spawn(async move { client.revoke().await });
}

struct Client {
    bench: Arc<Bench>,
    dice: Dice,
    ended: watch::Receiver<bool>,
}

/// One request through a replica, and all that was so when it began.
struct Asked {
    replica: usize,
    life: u64,
    began: Instant,
    answer: Result<Reply, Unanswered>,
}

impl Client {
    fn new(bench: &Arc<Bench>, dice: Dice, ended: &watch::Receiver<bool>) -> Self {
        Self { bench: Arc::clone(bench), dice, ended: ended.clone() }
    }

    /// False where the soak ends first.
    async fn pauses(&mut self, (least, most): (Duration, Duration)) -> bool {
        let pause = self.dice.between(least, most);
        let ended = async { drop(self.ended.wait_for(|ended| *ended).await) };
        tokio::time::timeout(pause, ended).await.is_err()
    }

    async fn read(mut self) {
        while self.pauses(PAUSE).await {
            let (replica, place) = (self.dice.below(REPLICAS), self.dice.below(6));
            let token = self.bench.tokens.one(place);
            match self.dice.below(100) {
                0..8 => self.read_object(replica, &token).await,
                8..14 => self.read_catalogs(replica, &token).await,
                14..16 => self.read_forbidden(replica).await,
                _ => self.read_page(replica, &token).await,
            }
        }
    }

    async fn read_page(&mut self, replica: usize, token: &str) {
        let size = self.dice.one_of(&[5, 7, 10, 20, 50]);
        let number = 1 + self.dice.below(self.bench.history.len().div_ceil(size));
        let demands = self.dice.percent(3);
        let target = format!("/api/Seller?PageNumber={number}&PageSize={size}");
        let fields: &[(&str, &str)] = if demands { &[("Cache-Control", "no-cache")] } else { &[] };
        let asked = self.ask(replica, "GET", &target, token, fields, "").await;
        let Some(reply) = self.whole(&target, &asked) else { return };
        let (how, first) = (reply.field("cache-status"), (number - 1) * size);
        let judged = if how.contains("fwd=bypass") {
            self.bench.history.passed_on(&reply.body, first, size, asked.began)
        } else {
            // Not where two fills were under way already.
            let demands = demands && !(how.contains("fwd=") && how.contains("refresh-bounded"));
            let reader = Reader { replica, life: asked.life, began: asked.began, demands };
            self.bench.history.page(&reply.body, first, size, reader)
        };
        if let Err(wrong) = judged {
            let life = asked.life;
            self.bench.report.violation(format!("{target} through {replica}.{life}: {wrong} ({how})"));
        }
    }

    async fn read_object(&mut self, replica: usize, token: &str) {
        let place = self.dice.below(self.bench.history.len());
        let target = format!("/api/Seller/{}", self.bench.history.id(place));
        let asked = self.ask(replica, "GET", &target, token, &[], "").await;
        let Some(reply) = self.whole(&target, &asked) else { return };
        if let Err(wrong) = self.bench.history.object(&reply.body, place, asked.began) {
            self.bench.report.violation(format!("{target} through {replica}: {wrong}"));
        }
    }

    /// Nobody writes catalogs here, so there is one right answer.
    async fn read_catalogs(&mut self, replica: usize, token: &str) {
        let seller = self.bench.history.id(self.dice.below(self.bench.history.len()));
        let target = format!("/api/Catalog?SellerIds={seller}&PageNumber=1&PageSize=500");
        let asked = self.ask(replica, "GET", &target, token, &[], "").await;
        let Some(reply) = self.whole(&target, &asked) else { return };
        if reply.field("cache-status").contains("fwd=bypass") {
            return;
        }
        let truth = self.bench.upstream.catalogs_of(i32::try_from(seller).unwrap());
        let ids = |items: &[serde_json::Value]| -> Vec<_> {
            items.iter().map(|item| (item["id"].clone(), item["title"].clone())).collect()
        };
        if ids(&reply.items()) != ids(&truth) {
            self.bench.report.violation(format!("{target} through {replica}: not its catalogs"));
        }
    }

    /// Whatever is cached, who may not read does not.
    async fn read_forbidden(&mut self, replica: usize) {
        let token = &self.bench.tokens.restricted;
        let asked = self.ask(replica, "GET", "/api/Seller?PageNumber=1&PageSize=50", token, &[], "").await;
        match asked.answer {
            Ok(reply) if reply.status.is_success() => {
                self.bench
                    .report
                    .violation(format!("a token without rights gets {}", reply.field("cache-status")));
            }
            _ => {}
        }
    }

    async fn write(mut self, writer: usize) {
        while self.pauses(WRITE_PAUSE).await {
            // Each seller has one writer.
            let place = self.dice.below(self.bench.history.len() / WRITERS) * WRITERS + writer;
            let token = self.bench.tokens.one(self.dice.below(6));
            let target = format!("/api/Seller/{}", self.bench.history.id(place));
            let (number, body) = self.bench.history.begin(place);
            if self.dice.percent(10) {
                self.write_past(&target, place, number, &body).await;
                continue;
            }
            let replica = self.dice.below(REPLICAS);
            let asked = self
                .ask(replica, "PUT", &target, &token, &[("Content-Type", "application/json")], &body)
                .await;
            let clean = !self.bench.replicas[replica].redis_troubles.since(asked.began, GRACE);
            if self.whole(&target, &asked).is_some() {
                let way = Way::Through { replica, life: asked.life, clean };
                self.bench.history.acknowledge(place, number, way);
                self.bench.report.wrote();
            } else {
                tokio::time::sleep(SETTLED).await;
            }
        }
    }

    async fn write_past(&self, target: &str, place: usize, number: u64, body: &str) {
        let token = format!("Bearer {}", self.bench.tokens.one(0));
        let fields = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
        let answer = attempt(self.bench.upstream.addr(), "PUT", target, &fields, body).await;
        answer.expect("the stand-in answers").is(200);
        self.bench.history.acknowledge(place, number, Way::Past);
        self.bench.report.wrote();
    }

    /// Tokens come and go. One that the upstream accepts no more is good for nothing once its yes is forgotten.
    async fn revoke(mut self) {
        while self.pauses((Duration::from_secs(1), Duration::from_secs(5))).await {
            let (place, replica) = (self.dice.below(6), self.dice.below(REPLICAS));
            let token = self.bench.tokens.renew(place, &self.bench.upstream);
            // A reader may have taken it a moment ago.
            tokio::time::sleep(GRACE).await;
            self.bench.upstream.revoke(&token);
            tokio::time::sleep(VOUCH_LIMIT + Duration::from_millis(500)).await;
            let asked =
                self.ask(replica, "GET", "/api/Seller?PageNumber=1&PageSize=50", &token, &[], "").await;
            if let Ok(reply) = asked.answer
                && reply.status.is_success()
            {
                self.bench.report.violation(format!("a revoked token gets {}", reply.field("cache-status")));
            }
        }
    }

    async fn ask(
        &self,
        replica: usize,
        method: &str,
        target: &str,
        token: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Asked {
        let (began, (address, life)) = (Instant::now(), self.bench.replicas[replica].now());
        let token = format!("Bearer {token}");
        let fields = [&[("Authorization", token.as_str())], fields].concat();
        let asked = attempt(address, method, target, &fields, body);
        let answer = tokio::time::timeout(IN_TIME, asked).await;
        let answer = answer.unwrap_or_else(|_| {
            self.bench
                .report
                .violation(format!("{method} {target} through {replica}: no answer in {IN_TIME:?}"));
            Err(Unanswered::No)
        });
        Asked { replica, life, began, answer }
    }

    /// The answer where it is one; where it is none, that must have a reason.
    fn whole<'a>(&self, target: &str, asked: &'a Asked) -> Option<&'a Reply> {
        let (report, replica) = (&self.bench.report, &self.bench.replicas[asked.replica]);
        let troubled = self.bench.origin_troubles.since(asked.began, GRACE);
        let restarted = || replica.restarts.since(asked.began, Duration::ZERO);
        let (what, excused) = match &asked.answer {
            Ok(reply) if reply.status.is_success() => {
                report.answered(reply.field("cache-status"));
                return Some(reply);
            }
            Ok(reply) if matches!(reply.status.as_u16(), 502 | 504) => {
                let ours = reply.field("content-type") == "application/problem+json"
                    && String::from_utf8_lossy(&reply.body).contains("ABConnect");
                (format!("{}, ours: {ours}, {}", reply.status, reply.field("cache-status")), ours && troubled)
            }
            Ok(reply) => (format!("{} {:?}", reply.status, reply.body), false),
            Err(Unanswered::No) => ("no answer".to_owned(), restarted()),
            Err(broken) => (format!("{broken:?}"), troubled || restarted()),
        };
        if excused {
            report.failed();
        } else {
            report.violation(format!("{target} through {}: {what}, and nothing is broken", asked.replica));
        }
        None
    }
}
