//! `make soak`: two replicas under load for minutes, while Redis and the upstream fail in every way, Redis and replicas
//! are started anew and clocks jump. Each answer is compared with what the upstream held and with what is promised; in
//! the end nothing may have grown. Ends with an error where anything was wrong.
//!
//! `SOAK_MINUTES` (5) says how long, after a minute to get warm; `SOAK_SEED` which faults and requests: the same ones
//! in the same order, though never at quite the same moments.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and this one prints; not all that tests stand on is needed"
)]

mod bench;
mod chaos;
mod dice;
mod gauge;
mod history;
mod load;
mod report;
mod troubles;

#[path = "../behaviour/line.rs"]
mod line;
#[path = "../behaviour/support.rs"]
mod support;

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use self::{bench::Bench, dice::Dice, gauge::Gauge, report::Report};

/// Until all is warm that will ever be: every fault has come, every pool and cache has its size.
const WARM_UP: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let minutes = setting("SOAK_MINUTES").unwrap_or(5.0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = setting("SOAK_SEED").unwrap_or(now.as_millis() as u64 % 1_000_000);
    let length = Duration::from_secs_f64(minutes * 60.0);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    println!("soak: {minutes} minutes, seed {seed} (again: SOAK_SEED={seed} make soak)\n");
    let report = Arc::new(Report::new(seed));
    runtime.block_on(soak(seed, length, Arc::clone(&report)));
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A setting of the environment.
fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

async fn soak(seed: u64, length: Duration, report: Arc<Report>) {
    let bench = Arc::new(Bench::start(Arc::clone(&report)).await);
    stretch(&bench, Dice::new(seed), WARM_UP).await;
    let before = Gauge::at_rest(&bench, None).await;
    stretch(&bench, Dice::new(seed.wrapping_add(1)), length).await;
    let after = Gauge::at_rest(&bench, Some(&before)).await;
    report.close(&before, &after, &bench.history.held);
}

/// Load and faults for so long; then neither.
async fn stretch(bench: &Arc<Bench>, dice: Dice, length: Duration) {
    let (end, ended) = tokio::sync::watch::channel(false);
    let mut work = tokio::task::JoinSet::new();
    load::begin(&mut work, bench, &dice, &ended);
    chaos::begin(&mut work, bench, &dice, &ended);
    let progress = tokio::spawn({
        let report = Arc::clone(&bench.report);
        async move { report.tell_now_and_then().await }
    });
    tokio::time::sleep(length).await;
    end.send_replace(true);
    while let Some(done) = work.join_next().await {
        if let Err(error) = done {
            bench.report.violation(format!("a task of the soak itself ended: {error}"));
        }
    }
    progress.abort();
}
