//! What breaks, and when: the lines to Redis and to the upstream, Redis itself, replicas and clocks.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use crate::{
    bench::{Bench, REPLICAS},
    dice::Dice,
    line::{Fault, Said},
};

const FAULTS: [Fault; 7] = [
    Fault::Refuse,
    Fault::Stall,
    Fault::Reset,
    Fault::Delay(Duration::from_millis(120)),
    Fault::Half,
    Fault::Garbage,
    Fault::Bytewise,
];
/// Of the upstream: all it says, the pages of fills, or the answers to questions.
const AT_THE_UPSTREAM: [Said; 5] = [
    Said::Everything,
    Said::Everything,
    Said::To("PageNumber=1&PageSize=15 "),
    Said::To("PageNumber=2&PageSize=15 "),
    Said::To("PageSize=1 "),
];
const AT_REDIS: [Said; 4] = [Said::Everything, Said::Everything, Said::Answers, Said::Pushes];
/// How long something is broken.
const LENGTH: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(4));

pub fn begin(work: &mut JoinSet<()>, bench: &Arc<Bench>, dice: &Dice, ended: &watch::Receiver<bool>) {
    let chaos =
        |lane: u64| Chaos { bench: Arc::clone(bench), dice: dice.split(1000 + lane), ended: ended.clone() };
    let (origin, server, restarts, clocks) = (chaos(0), chaos(1), chaos(2), chaos(3));
    work.spawn(async move { origin.break_upstream().await });
    work.spawn(async move { server.break_redis().await });
    work.spawn(async move { restarts.restart_replicas().await });
    work.spawn(async move { clocks.move_clocks().await });
    for replica in 0..REPLICAS {
        let line = chaos(10 + replica as u64);
        work.spawn(async move { line.break_line(replica).await });
    }
}

struct Chaos {
    bench: Arc<Bench>,
    dice: Dice,
    ended: watch::Receiver<bool>,
}

impl Chaos {
    /// Some seconds; false where the soak ends first.
    async fn quiet(&mut self, least: u64, most: u64) -> bool {
        let pause = self.dice.between(Duration::from_secs(least), Duration::from_secs(most));
        let ended = async { drop(self.ended.wait_for(|ended| *ended).await) };
        tokio::time::timeout(pause, ended).await.is_err()
    }

    async fn for_a_while(&mut self) {
        let length = self.dice.between(LENGTH.0, LENGTH.1);
        tokio::time::sleep(length).await;
    }

    async fn break_upstream(mut self) {
        while self.quiet(6, 20).await {
            let (fault, mut said) = (self.dice.one_of(&FAULTS), self.dice.one_of(&AT_THE_UPSTREAM));
            if fault == Fault::Refuse {
                said = Said::Everything;
            }
            let bench = Arc::clone(&self.bench);
            let _trouble = bench.origin_troubles.begin();
            bench.report.broke();
            bench.origin.begin(said, fault);
            self.for_a_while().await;
            bench.origin.end(said);
        }
    }

    async fn break_line(mut self, replica: usize) {
        while self.quiet(10, 30).await {
            let (fault, said) = (self.dice.one_of(&FAULTS), self.dice.one_of(&AT_REDIS));
            let bench = Arc::clone(&self.bench);
            let _trouble = bench.replicas[replica].redis_troubles.begin();
            bench.report.broke();
            bench.replicas[replica].redis.begin(said, fault);
            self.for_a_while().await;
            bench.replicas[replica].redis.end(said);
        }
    }

    /// Killed and started anew, with what it had some time ago or with nothing; or frozen, and thawed.
    async fn break_redis(mut self) {
        while self.quiet(20, 50).await {
            let bench = Arc::clone(&self.bench);
            let mut server = bench.server.lock().await;
            let keeps = self.dice.percent(50);
            if keeps {
                let _ = server.command(&["SAVE"]).await;
                if !self.quiet(1, 3).await {
                    return;
                }
            }
            let _troubles: Vec<_> =
                bench.replicas.iter().map(|replica| replica.redis_troubles.begin()).collect();
            bench.report.broke();
            if self.dice.percent(30) {
                server.freeze();
                self.for_a_while().await;
                server.thaw();
            } else {
                server.kill();
                self.for_a_while().await;
                let file = if keeps { "dump.rdb" } else { "nothing.rdb" };
                server.restart(&["--dbfilename", file]).await;
            }
        }
    }

    async fn restart_replicas(mut self) {
        while self.quiet(15, 40).await {
            let bench = Arc::clone(&self.bench);
            let replica = &bench.replicas[self.dice.below(REPLICAS)];
            let _restart = replica.restarts.begin();
            bench.report.broke();
            replica.restart().await;
        }
    }

    /// Within half an hour of the right time, either way: a token lives for an hour.
    async fn move_clocks(mut self) {
        while self.quiet(5, 20).await {
            let ahead = i64::try_from(self.dice.below(3600)).unwrap() - 1800;
            let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(ahead);
            self.bench.replicas[self.dice.below(REPLICAS)].clock.set(now);
        }
        self.bench.replicas.iter().for_each(|replica| replica.clock.set(jiff::Timestamp::now()));
    }
}
