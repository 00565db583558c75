//! Gates hold requests until a test lets them go: interleavings without sleeps.

use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, watch};

use crate::locks::lock;
use crate::matching::Matching;

/// Where in its life a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before anything is done: what it answers is decided after the release.
    Arrival,
    /// When its answer is ready but not one byte of it is sent: what it answers was decided before.
    Answer,
}

/// A closed gate. Requests that fit wait at it until [`Gate::release`] or [`Gate::open`]; dropping it opens it.
pub struct Gate {
    hold: Arc<Hold>,
    all: Arc<Gates>,
}

struct Hold {
    matching: Matching,
    stage: Stage,
    permits: Semaphore,
    arrived: watch::Sender<usize>,
}

impl Gate {
    /// Waits until at least `count` requests in all have come to this gate, released ones included. For ever, if they
    /// do not come.
    pub async fn arrived(&self, count: usize) {
        let mut arrived = self.hold.arrived.subscribe();
        // The sender lives in `hold`, so this cannot fail while `self` does.
        let _ = arrived.wait_for(|so_far| *so_far >= count).await;
    }

    /// How many requests have come to this gate so far, released ones included.
    pub fn arrived_so_far(&self) -> usize {
        *self.hold.arrived.borrow()
    }

    /// Lets `count` requests pass, those that wait first, in the order they came; the rest of the count is kept for
    /// later ones.
    pub fn release(&self, count: usize) {
        self.hold.permits.add_permits(count);
    }

    /// Lets all pass that come later; those that wait go on waiting.
    pub fn hold_no_more(&self) {
        lock(&self.all.holds).retain(|hold| !Arc::ptr_eq(hold, &self.hold));
    }

    /// Lets all pass, now and later.
    pub fn open(self) {}
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.hold.permits.close();
        self.hold_no_more();
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hold { matching, stage, .. } = &*self.hold;
        f.debug_struct("Gate").field("matching", matching).field("stage", stage).finish_non_exhaustive()
    }
}

/// All gates of a running stand-in.
#[derive(Default)]
pub(crate) struct Gates {
    holds: Mutex<Vec<Arc<Hold>>>,
}

impl Gates {
    pub(crate) fn close(self: &Arc<Self>, matching: Matching, stage: Stage) -> Gate {
        let arrived = watch::Sender::new(0);
        let hold = Arc::new(Hold { matching, stage, permits: Semaphore::new(0), arrived });
        lock(&self.holds).push(Arc::clone(&hold));
        Gate { hold, all: Arc::clone(self) }
    }

    /// Waits at every gate this request comes to, one after the other.
    pub(crate) async fn pass(&self, stage: Stage, method: &str, target: &str) {
        for hold in self.on_the_way(stage, method, target) {
            hold.arrived.send_modify(|arrived| *arrived += 1);
            // An error means that the gate was opened.
            if let Ok(permit) = hold.permits.acquire().await {
                permit.forget();
            }
        }
    }

    fn on_the_way(&self, stage: Stage, method: &str, target: &str) -> Vec<Arc<Hold>> {
        let holds = lock(&self.holds);
        let fitting = holds.iter().filter(|hold| hold.stage == stage && hold.matching.fits(method, target));
        fitting.cloned().collect()
    }
}
