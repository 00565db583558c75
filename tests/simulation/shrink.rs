//! The fewest steps that still break a promise.

use std::fmt::Write as _;

use crate::{
    log::Broken,
    run,
    schedule::{Setup, Step},
};

/// Runs that may be spent on it.
const RUNS: usize = 250;
/// Lines of the trace that are shown, from its end.
const LINES: usize = 400;

/// What a person needs to see of a broken promise.
pub fn report(setup: &Setup, steps: &[Step], broken: &Broken) -> String {
    let (seed, replicas) = (setup.seed, setup.replicas);
    let mut said = format!("seed {seed}, {replicas} replicas: {}\n  {}\n", broken.promise, broken.how);
    let kept = fewest(setup, steps, broken.promise);
    let few: Vec<Step> = kept.iter().map(|place| steps[*place].clone()).collect();
    let ended = run::run(setup, &few, true);
    let _ = writeln!(said, "{setup:?}\n{} of {} steps:", kept.len(), steps.len());
    for place in &kept {
        let _ = writeln!(said, "  {place}: {:?}", steps[*place]);
    }
    match ended.broken {
        Some(broken) => {
            let _ = writeln!(said, "with these: {}\n  {}", broken.promise, broken.how);
        }
        None => said.push_str("run once more with these, it was not broken: part of it is chance\n"),
    }
    for line in ended.trace.iter().skip(ended.trace.len().saturating_sub(LINES)) {
        let _ = writeln!(said, "{line}");
    }
    let list: Vec<String> = kept.iter().map(ToString::to_string).collect();
    let _ = writeln!(
        said,
        "\nseed {seed}, {replicas} replicas: {}\nreplay: CATPROXY_SIM_SEED={seed} CATPROXY_SIM_REPLICAS={replicas} CATPROXY_SIM_KEEP={} \
         cargo test --test simulation seeds -- --nocapture",
        broken.promise,
        list.join(",")
    );
    said
}

/// The places of the steps that are left when no half, quarter, … of them can go.
fn fewest(setup: &Setup, steps: &[Step], promise: &str) -> Vec<usize> {
    let mut left: Vec<usize> = (0..steps.len()).collect();
    let mut runs = 0;
    let mut breaks = |kept: &[usize]| {
        runs += 1;
        let few: Vec<Step> = kept.iter().map(|place| steps[*place].clone()).collect();
        let same = |broken: Option<Broken>| broken.is_some_and(|broken| broken.promise == promise);
        (same(run::run(setup, &few, false).broken) || same(run::run(setup, &few, false).broken), runs >= RUNS)
    };
    let mut size = left.len().div_ceil(2);
    while size > 0 {
        let mut from = left.len();
        while from > 0 {
            let begin = from.saturating_sub(size);
            let mut fewer = left.clone();
            fewer.drain(begin..from);
            let (broken, over) = breaks(&fewer);
            if broken {
                left = fewer;
            }
            if over {
                return left;
            }
            from = begin;
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
        if size == 1 && left.len() < 2 {
            break;
        }
    }
    left
}
