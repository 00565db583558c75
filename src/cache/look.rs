//! A look into the store: what lies there, and whether it may be served now.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jiff::civil::Date;

use super::{
    Look, Shared,
    entry::{Entry, Garbled},
    generation::Generation,
    snapshot::Stored,
    void::RouteState,
};
use crate::{classify::Read, deadline::Deadline, page::keep};

impl Shared {
    /// Takes until `by` at most; a store that does not do its work is one without entries.
    pub(super) async fn look(&self, read: &Read, by: Deadline) -> Look {
        let Some(state) = self.routes.get(read.index) else {
            return Look::without(0);
        };
        // Noted before the store is asked: a write that comes in between makes this look an old one.
        let epoch = state.epoch();
        let without = Look::without(epoch);
        if state.is_void() {
            return without;
        }
        let keys = self.keys(read, state);
        let snapshot = match self.store.look(&keys, &state.shape, by).await {
            Ok(snapshot) => snapshot,
            Err(fault) => {
                self.report(fault);
                return without;
            }
        };
        let Some(generation) = snapshot.generation else {
            return match self.store.establish(&keys, state.generation_life, by).await {
                Ok(generation) => Look { generation: Some(generation), ..without },
                Err(fault) => {
                    self.report(fault);
                    without
                }
            };
        };
        let hit = match snapshot.entry {
            Stored::Entry(entry, remaining) => self.servable(read, entry, remaining, &generation),
            Stored::Garbled(garbled) => {
                self.report_garbled(state, garbled);
                None
            }
            Stored::Nothing => None,
        };
        Look { hit, generation: Some(generation), ..without }
    }

    /// The entry as it may be served now, or nothing where it may not.
    fn servable(
        &self,
        read: &Read,
        entry: Arc<Entry>,
        remaining: Duration,
        generation: &Generation,
    ) -> Option<(Arc<Entry>, Duration)> {
        let fresh = entry.fresh_for(read.route.ttl, remaining, self.clock.now_ms());
        if entry.generation != *generation || fresh.is_zero() {
            return None;
        }
        let Some(keep) = &read.route.keep else { return Some((entry, fresh)) };
        let today = self.clock.today(&self.zone);
        match entry.collection.kept_from {
            Some(day) if day == today => Some((entry, fresh)),
            Some(day) if day < today => Some((Arc::new(self.kept(&entry, &keep.field, today)), fresh)),
            _ => None,
        }
    }

    fn kept(&self, entry: &Entry, field: &str, today: Date) -> Entry {
        let (collection, _) = keep::from_today(entry.collection.clone(), field, today, &self.zone);
        Entry { collection, ..entry.clone() }
    }

    fn report_garbled(&self, state: &RouteState, garbled: Garbled) {
        self.telemetry.garbled_entry();
        if garbled == Garbled::Shape && !state.shape_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(route = state.name, "another catproxy uses this prefix: set `prefix`");
        }
    }
}
