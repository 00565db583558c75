//! The last hour of the proxy's counts, for the charts of the status page. Aggregates only.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio_util::task::AbortOnDropHandle;

use crate::{supervise, telemetry::Telemetry};

/// Between two samples.
const STEP: Duration = Duration::from_secs(30);
/// Samples kept: an hour.
const SAMPLES: usize = 120;

/// What was counted up to a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    reads: u64,
    hits: u64,
    calls: u64,
    micros: u64,
}

/// What happened between two samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Step {
    pub(super) reads: u64,
    pub(super) hits: u64,
    pub(super) calls: u64,
    pub(super) micros: u64,
}

impl Step {
    /// Hits of a hundred reads; `None` where nothing was read.
    pub(super) fn hit_rate(&self) -> Option<f64> {
        (self.reads > 0).then(|| self.hits as f64 * 100.0 / self.reads as f64)
    }

    /// The upstream's mean time to an answer, in milliseconds; `None` where it was not asked.
    pub(super) fn latency(&self) -> Option<f64> {
        (self.calls > 0).then(|| self.micros as f64 / self.calls as f64 / 1e3)
    }

    fn and(self, other: Self) -> Self {
        Self {
            reads: self.reads + other.reads,
            hits: self.hits + other.hits,
            calls: self.calls + other.calls,
            micros: self.micros + other.micros,
        }
    }
}

/// Samples in the order of time. Cheap to clone. A task adds one every half minute until this is dropped, whether or not anybody
/// looks: what comes in between belongs to its own half minute.
#[derive(Clone)]
pub(super) struct History {
    telemetry: Arc<Telemetry>,
    samples: Arc<Mutex<VecDeque<Counts>>>,
    _sampling: Arc<AbortOnDropHandle<()>>,
}

impl History {
    /// Begins now. Must be called on a runtime.
    pub(super) fn of(telemetry: Arc<Telemetry>) -> Self {
        let samples = Arc::new(Mutex::new(VecDeque::from([counts(&telemetry)])));
        let counted = Arc::clone(&telemetry);
        let sampling = tokio::spawn(sample(move || counts(&counted), Arc::clone(&samples)));
        Self { telemetry, samples, _sampling: Arc::new(AbortOnDropHandle::new(sampling)) }
    }

    /// The steps of the last hour, the present one last.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut samples: Vec<Counts> =
            self.samples.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        samples.push(counts(&self.telemetry));
        samples.windows(2).filter_map(|pair| Some(between(*pair.first()?, *pair.last()?))).collect()
    }
}

/// All of some steps together.
pub(super) fn sum(steps: &[Step]) -> Step {
    steps.iter().fold(Step::default(), |all, step| all.and(*step))
}

async fn sample(mut counts: impl FnMut() -> Counts, samples: Arc<Mutex<VecDeque<Counts>>>) {
    loop {
        tokio::time::sleep(STEP).await;
        if let Some(counts) = supervise::caught("sampling", async { counts() }).await {
            add(&mut samples.lock().unwrap_or_else(PoisonError::into_inner), counts);
        }
    }
}

fn add(samples: &mut VecDeque<Counts>, counts: Counts) {
    if samples.len() > SAMPLES {
        samples.pop_front();
    }
    samples.push_back(counts);
}

fn counts(telemetry: &Telemetry) -> Counts {
    let count = |name| telemetry.count(name);
    Counts {
        reads: count("reads"),
        hits: count("hits"),
        calls: count("upstream_calls"),
        micros: count("upstream_micros"),
    }
}

fn between(from: Counts, to: Counts) -> Step {
    Step {
        reads: to.reads.saturating_sub(from.reads),
        hits: to.hits.saturating_sub(from.hits),
        calls: to.calls.saturating_sub(from.calls),
        micros: to.micros.saturating_sub(from.micros),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::outcome::Outcome;

    #[test]
    fn an_hour_is_kept_and_nothing_has_no_rate() {
        let mut samples = VecDeque::new();
        for reads in 0..500 {
            add(&mut samples, Counts { reads, ..Counts::default() });
        }
        assert_eq!(samples.len(), SAMPLES + 1);
        assert_eq!(samples.back().map(|counts| counts.reads), Some(499));
        assert_eq!((Step::default().hit_rate(), Step::default().latency()), (None, None));
        let step = Step { reads: 4, hits: 3, calls: 2, micros: 3_000 };
        assert_eq!((step.hit_rate(), step.latency()), (Some(75.0), Some(1.5)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sample_that_panics_is_not_the_last_one() {
        let (samples, mut taken) = (Arc::default(), 0);
        let counts = move || {
            taken += 1;
            assert!(taken != 2, "on purpose");
            Counts::default()
        };
        let sampling = AbortOnDropHandle::new(tokio::spawn(sample(counts, Arc::clone(&samples))));
        for _ in 0..4 {
            tokio::time::sleep(STEP).await;
        }
        tokio::task::yield_now().await;
        assert_eq!(samples.lock().unwrap().len(), 3);
        drop(sampling);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_more_than_an_hour_ago_is_in_no_step_though_nobody_has_looked_since() {
        let telemetry = Arc::<Telemetry>::default();
        let history = History::of(Arc::clone(&telemetry));
        telemetry.request(&telemetry.route("a"), Outcome::HitNear, Duration::ZERO);
        assert_eq!(sum(&history.steps()).reads, 1);
        for _ in 0..SAMPLES + 2 {
            tokio::time::sleep(STEP).await;
        }
        assert_eq!(sum(&history.steps()).reads, 0);
        telemetry.request(&telemetry.route("a"), Outcome::HitNear, Duration::ZERO);
        assert_eq!(sum(&history.steps()).reads, 1);
    }
}
