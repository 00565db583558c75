//! One cell of the matrix: a step, a fault, and when it begins.

use std::{
    fmt,
    time::{Duration, Instant},
};

use catproxy::cache::StoreHealth;

use super::{
    Step, When,
    bench::{Bench, OBJECT, READ},
};
use crate::{
    line::{Fault, Line, Said},
    support::{Reply, Unanswered, until},
};

#[derive(Clone, Copy)]
pub(super) struct Cell {
    pub(super) step: Step,
    pub(super) fault: Fault,
    pub(super) when: When,
}

impl fmt::Display for Cell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} {:?} {:?}", self.fault, self.when, self.step)
    }
}

/// What the proxy has to make of a step under a fault.
#[derive(PartialEq)]
enum Wanted {
    Right,
    /// An honest error, or an answer that visibly broke off.
    Failure,
}

impl Cell {
    pub(super) async fn judge(self) {
        let near = self.step != Step::Store;
        let before = |redis: &Line, origin: &Line| {
            // What the step needs is still to come, but for the question: it needs an entry.
            if self.when == When::Before && self.is_about_redis() {
                self.begin(redis, origin);
            }
        };
        let bench = Bench::start(near, before).await;
        let replies = match self.when {
            When::Before => {
                self.prepare(&bench).await;
                self.begin(&bench.redis, &bench.origin);
                self.take(&bench).await
            }
            When::During => {
                self.prepare(&bench).await;
                self.line(&bench).hold(self.said());
                let taking = self.take(&bench);
                let breaking = async {
                    self.line(&bench).held(self.said()).await;
                    self.begin(&bench.redis, &bench.origin);
                };
                tokio::join!(taking, breaking).0
            }
            When::After => {
                self.prepare(&bench).await;
                for reply in self.take(&bench).await {
                    bench.is_right(&reply.expect("a whole answer"), self.target());
                }
                self.again(&bench).await;
                self.begin(&bench.redis, &bench.origin);
                self.take(&bench).await
            }
        };
        for reply in replies {
            self.check(&bench, reply);
        }
        bench.is_stored_right().await;
        if self.is_about_redis() {
            self.writes_are_seen(&bench).await;
            self.nobody_waits(&bench).await;
        }
        self.line(&bench).end(self.said());
        self.is_well(&bench).await;
    }

    fn is_about_redis(self) -> bool {
        matches!(self.step, Step::Near | Step::Store | Step::Tracking)
    }

    fn line(self, bench: &Bench) -> &Line {
        if self.is_about_redis() { &bench.redis } else { &bench.origin }
    }

    fn said(self) -> Said {
        match self.step {
            Step::Near => Said::Everything,
            Step::Store => Said::Answers,
            Step::Tracking => Said::Pushes,
            Step::LaterPage => Said::To("PageNumber=2&PageSize=5"),
            // Nothing else is asked then; only so can connections be refused.
            _ if self.fault == Fault::Refuse && self.when != When::During => Said::Everything,
            Step::FirstPage => Said::To("PageNumber=1&PageSize=5"),
            Step::Question => Said::To("PageNumber=1&PageSize=1 "),
            Step::Forward => Said::To("GET /api/Seller/3 "),
        }
    }

    fn begin(self, redis: &Line, origin: &Line) {
        let line = if self.is_about_redis() { redis } else { origin };
        line.begin(self.said(), self.fault);
    }

    fn target(self) -> &'static str {
        if self.step == Step::Forward { OBJECT } else { READ }
    }

    /// What must have been before the step.
    async fn prepare(self, bench: &Bench) {
        match (self.step, self.when) {
            (Step::Near | Step::Tracking, When::During | When::After) => bench.until_hit("detail=near").await,
            (Step::Question, _) | (Step::Store, When::During | When::After) => bench.until_hit("").await,
            _ => {}
        }
    }

    /// The step, with a token that the upstream knows and the proxy does not where it is about that.
    async fn take(self, bench: &Bench) -> Vec<Result<Reply, Unanswered>> {
        bench.ask_thrice(&bench.token(), self.target()).await
    }

    /// What makes the step necessary once more.
    async fn again(self, bench: &Bench) {
        if matches!(self.step, Step::FirstPage | Step::LaterPage) {
            bench.server.command_told(&["DEL", "cat_sellers_all"], &bench.proxy.inside).await;
        }
    }

    fn wanted(self) -> Wanted {
        match self.fault {
            // Slow, and within every deadline of the upstream.
            Fault::Delay(_) | Fault::Bytewise => Wanted::Right,
            // Redis is never needed.
            _ if self.is_about_redis() => Wanted::Right,
            _ => Wanted::Failure,
        }
    }

    fn check(self, bench: &Bench, reply: Result<Reply, Unanswered>) {
        match (self.wanted(), reply) {
            (Wanted::Right, Ok(reply)) => bench.is_right(&reply, self.target()),
            (Wanted::Failure, Ok(reply)) => bench.is_honest(&reply),
            (Wanted::Failure, Err(Unanswered::Broken(_))) if self.step == Step::Forward => {}
            (_, Err(unanswered)) => panic!("{unanswered:?}"),
        }
    }

    /// Redis is broken, and what is promised after a write holds: through another replica that has reached Redis, once
    /// the lease of the copies here is over; through this one at once.
    async fn writes_are_seen(self, bench: &Bench) {
        let token = bench.token();
        if self.step == Step::Tracking {
            bench.rename(&bench.other, "Renamed By Another").await;
            let began = Instant::now();
            let mut reply = bench.ask(&token, READ).await.expect("a whole answer");
            while !shows(&reply, "Renamed By Another") {
                assert!(began.elapsed() < Duration::from_secs(4), "the change is not seen: {reply:?}");
                reply = bench.ask(&token, READ).await.expect("a whole answer");
            }
            bench.is_right(&reply, READ);
        }
        bench.rename(&bench.proxy, "Renamed Under The Fault").await;
        bench.is_right(&bench.ask(&token, READ).await.expect("a whole answer"), READ);
    }

    /// A Redis that gives no answer is asked no more after a while.
    async fn nobody_waits(self, bench: &Bench) {
        let answers = matches!(self.fault, Fault::Delay(_) | Fault::Bytewise);
        if self.step == Step::Tracking || answers {
            return;
        }
        let token = bench.token();
        until("Redis is known to be away", || async {
            bench.is_right(&bench.ask(&token, READ).await.expect("a whole answer"), READ);
            bench.proxy.inside.store_health() == StoreHealth::Away
        })
        .await;
        let sent = bench.proxy.inside.store_commands();
        for _ in 0..5 {
            bench.is_right(&bench.ask(&token, READ).await.expect("a whole answer"), READ);
        }
        assert_eq!(bench.proxy.inside.store_commands(), sent, "no command while it is known to be away");
    }

    /// The fault has ended, and so has all that came of it.
    async fn is_well(self, bench: &Bench) {
        let hit = if self.step == Step::Store { "" } else { "detail=near" };
        bench.until_hit(hit).await;
        let token = bench.token();
        until("answers are passed on", || async {
            let reply = bench.ask(&token, OBJECT).await.expect("a whole answer");
            reply.status == 200 && {
                bench.is_right(&reply, OBJECT);
                true
            }
        })
        .await;
        // Pushes arrive and generations are read again: what came through the other one ends the copy here.
        for (proxy, name) in [(&bench.proxy, "Renamed Here"), (&bench.other, "Renamed There")] {
            bench.until_hit(hit).await;
            bench.rename(proxy, name).await;
            until("a write through either is seen", || async {
                shows(bench.ask(&token, READ).await.expect("a whole answer").is(200), name)
            })
            .await;
        }
        bench.until_hit("").await;
        bench.is_stored_right().await;
    }
}

fn shows(reply: &Reply, name: &str) -> bool {
    String::from_utf8_lossy(&reply.body).contains(name)
}
