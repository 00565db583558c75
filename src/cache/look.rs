//! A look for an entry: what lies near or in the store, and whether it may be served now.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Look, Shared,
    age::Age,
    entry::{Entry, Garbled},
    generation::Generation,
    memory::Memory,
    near::Giver,
    snapshot::{Snapshot, Stored},
    void::RouteState,
};
use crate::{classify::Read, deadline::Deadline};

/// An entry that is valid: of the route's present generation, not past its life, and kept from no later day
/// than today. Whether it is fresh, its age says.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The entry.
    pub entry: Arc<Entry>,
    /// How old it is.
    pub age: Age,
    /// It is a copy in this process: the store was not asked.
    pub near: bool,
}

impl Shared {
    /// A copy in this process that may be served to whoever has asked by `now`.
    pub(super) fn look_near(&self, read: &Read, now: Instant) -> Option<Look> {
        let (near, state) = (self.near.as_ref()?, self.routes.get(read.index)?);
        let epoch = state.epoch();
        let stamp = near.stamp(read.index, &read.key);
        let (entry, age) = near.find(&read.key, stamp, now)?;
        let generation = Some(entry.generation.clone());
        let hit = Some(self.valid(read, Hit { entry, age, near: true }, now)?);
        Some(Look { hit, epoch, generation, stamp: Some(stamp), spent: Duration::ZERO })
    }

    /// Takes until `by` at most; a store that does not do its work is one without entries.
    pub(super) async fn look(&self, read: &Read, by: Deadline) -> Look {
        let Some(state) = self.routes.get(read.index) else {
            return Look::without(0, None);
        };
        // All noted before the store is asked: a write that comes in between makes this look an old one. The
        // stamp first of all: a write changes it after the epoch, so that who has the new one sees the void.
        let stamp = self.near.as_ref().map(|near| near.stamp(read.index, &read.key));
        let epoch = state.epoch();
        let without = Look::without(epoch, stamp);
        if state.is_void() {
            return without;
        }
        let keys = self.keys(&read.key, state);
        let known = self.near.as_ref().and_then(|near| near.last(&read.key));
        let Ok(snapshot) = self.asked("look", self.store.look(&keys, &state.shape, known, by)).await else {
            return without;
        };
        if let Some(generation) = snapshot.generation {
            return self.seen(read, state, generation, snapshot.entry, snapshot.givers, without);
        }
        let established =
            self.asked("establish", self.store.establish(&keys, state.generation_life, by)).await;
        established.map_or(without.clone(), |generation| Look { generation: Some(generation), ..without })
    }

    /// What is in this process's memory, where a generation stands.
    pub(super) fn look_in_memory(&self, read: &Read, memory: &Memory) -> Option<Look> {
        let state = self.routes.get(read.index)?;
        let without = Look::without(state.epoch(), None);
        if state.is_void() {
            return None;
        }
        let Snapshot { generation, entry, givers } = memory.look(&self.keys(&read.key, state), &state.shape);
        Some(self.seen(read, state, generation?, entry, givers, without))
    }

    /// What was found under this generation. `without` was noted before.
    fn seen(
        &self,
        read: &Read,
        state: &RouteState,
        generation: Generation,
        entry: Stored,
        givers: Option<[Giver; 2]>,
        without: Look,
    ) -> Look {
        let hit = match entry {
            Stored::Entry(entry, remaining) if entry.generation == generation => {
                let age = Age::now(entry.age(read.route.life(), remaining, self.clock.now_ms()));
                if let (Some(near), Some(stamp), Some(givers)) = (&self.near, without.stamp, &givers) {
                    near.keep(&read.key, &entry, age, stamp, givers);
                }
                self.valid(read, Hit { entry, age, near: false }, Instant::now())
            }
            Stored::Garbled(garbled) => {
                self.report_garbled(state, garbled);
                None
            }
            Stored::Entry(..) | Stored::Nothing => None,
        };
        Look { hit, generation: Some(generation), ..without }
    }

    /// What is past its life, or was kept from a day that is still to come, serves nobody.
    fn valid(&self, read: &Read, hit: Hit, now: Instant) -> Option<Hit> {
        let from_today =
            || hit.entry.collection.kept_from.is_some_and(|day| day <= self.clock.today(&self.zone));
        let valid = hit.age.by(now) < read.route.life() && (read.route.keep.is_none() || from_today());
        valid.then_some(hit)
    }

    /// Deletes an entry, here and in the store; whether that has acknowledged it.
    pub(super) async fn delete(&self, route: usize, key: &str) -> bool {
        let Some(state) = self.routes.get(route) else { return true };
        let (keys, by) = (self.keys(key, state), Deadline::after(self.budget));
        let deleted = self.asked("delete", self.store.delete(&keys, by)).await;
        self.near.iter().for_each(|near| near.void_key(key));
        deleted.is_ok()
    }

    fn report_garbled(&self, state: &RouteState, garbled: Garbled) {
        if garbled != Garbled::Shape {
            return self.telemetry.garbled_entry();
        }
        self.telemetry.misshapen_entry();
        if !state.shape_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                route = state.name,
                "another catproxy uses this prefix, or did before the configuration changed: if it still does, set `prefix`"
            );
        }
    }
}
