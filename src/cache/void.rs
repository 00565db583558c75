//! After a write: what began before is void, here at once and in the store as soon as it acknowledges.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;

use super::{Shared, entry::Shape};
use crate::{
    config::{Config, KeyPart, Route},
    deadline::Deadline,
    supervise,
};

/// A generation outlives its entries by far, and at least this.
const SHORTEST_GENERATION: Duration = Duration::from_secs(24 * 60 * 60);
/// What an attempt in the background may take.
const VOID_LIMIT: Duration = Duration::from_secs(2);
/// Between two attempts.
const VOID_PAUSE: Duration = Duration::from_millis(200);

/// What a process knows of a route's entries.
pub(super) struct RouteState {
    pub(super) name: String,
    pub(super) key: Vec<KeyPart>,
    pub(super) life: Duration,
    pub(super) shape: Shape,
    pub(super) generation_key: String,
    pub(super) generation_life: Duration,
    /// Another shape under the same key was warned about.
    pub(super) shape_warned: AtomicBool,
    /// Writes through this process.
    epoch: AtomicU64,
    /// The epoch up to which the store knows: behind, nothing of the route is read or stored.
    voided: AtomicU64,
    /// A task is at it.
    voiding: AtomicBool,
}

impl RouteState {
    pub(super) fn new(config: &Config, route: &Route) -> Self {
        Self {
            name: route.name.clone(),
            key: route.key.clone(),
            life: route.life(),
            shape: Shape::of(config, route),
            generation_key: format!("{}gen_{}", config.store.prefix, route.name),
            generation_life: SHORTEST_GENERATION.max(2 * route.life()),
            shape_warned: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            voided: AtomicU64::new(0),
            voiding: AtomicBool::new(false),
        }
    }

    /// How many writes through this process have changed the route.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The store does not yet know of a write: what it holds of the route counts for nothing here.
    pub(super) fn is_void(&self) -> bool {
        self.voided.load(Ordering::Acquire) < self.epoch()
    }

    fn acknowledged(&self, epoch: u64) {
        self.voided.fetch_max(epoch, Ordering::AcqRel);
    }
}

impl Shared {
    /// A write that changed these routes was answered; `detach` ends the joining of their flights. Returns
    /// when the store has acknowledged it, or after its budget; then a task goes on until it has.
    pub(super) async fn void(self: &Arc<Self>, routes: &[usize], detach: impl Fn(usize)) {
        let by = Deadline::after(self.budget);
        // All are void before the store hears of the first.
        let begun: Vec<_> = routes.iter().map(|route| (*route, self.begin_void(*route))).collect();
        routes.iter().for_each(|route| detach(*route));
        join_all(begun.into_iter().map(|(route, epoch)| self.drop_or_owe(route, epoch, by))).await;
    }

    /// Each route for itself: their generations may be on servers of which one is away.
    async fn drop_or_owe(self: &Arc<Self>, route: usize, epoch: u64, by: Deadline) {
        let Some(state) = self.routes.get(route) else { return };
        match self.asked("void", self.store.drop_generation(&state.generation_key, by)).await {
            Ok(()) => state.acknowledged(epoch),
            Err(_) => self.void_later(route),
        }
    }

    /// Nothing that the store has of these routes counts here, until it has acknowledged that.
    pub(super) fn owe(self: &Arc<Self>, routes: &[usize]) {
        for route in routes {
            self.begin_void(*route);
            self.void_later(*route);
        }
    }

    /// What is known here of the route is of the past; gives the epoch that begins.
    fn begin_void(&self, route: usize) -> u64 {
        let state = self.routes.get(route);
        let epoch = state.map_or(0, |state| state.epoch.fetch_add(1, Ordering::AcqRel) + 1);
        self.near.iter().for_each(|near| near.void_route(route));
        epoch
    }

    fn void_later(self: &Arc<Self>, route: usize) {
        let idle = self.routes.get(route).is_some_and(|state| !state.voiding.swap(true, Ordering::AcqRel));
        if idle {
            let shared = Arc::clone(self);
            tokio::spawn(async move {
                supervise::until_done("voiding", || shared.void_until_acknowledged(route)).await;
            });
        }
    }

    async fn void_until_acknowledged(&self, route: usize) {
        let Some(state) = self.routes.get(route) else { return };
        loop {
            self.store.back(&state.generation_key).await;
            let (epoch, by) = (state.epoch(), Deadline::after(VOID_LIMIT));
            let dropping = self.store.drop_generation(&state.generation_key, by);
            if self.asked("void", dropping).await.is_ok() {
                state.acknowledged(epoch);
                // Reads and writes in one, so that a write that still found the task at it is seen below.
                state.voiding.swap(false, Ordering::AcqRel);
                if !state.is_void() || state.voiding.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
            tokio::time::sleep(VOID_PAUSE).await;
        }
    }
}
