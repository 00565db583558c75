//! The end of a flight: what is to be kept is kept, stored, and given to the callers.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Look, Shared, entry::Entry, fault::Fault, flight::Landing, generation::Generation, void::RouteState,
};
use crate::{
    classify::Read,
    deadline::Deadline,
    page::{Collection, keep},
};

/// What a put may take once its callers have their answer.
const PUT_LIMIT: Duration = Duration::from_secs(2);
/// Collections remembered as too large.
const TOO_LARGE_KEYS: usize = 10_000;

/// What a fill gave, and when it began: by the monotonic clock and by the wall's.
pub(super) struct Filled<E> {
    pub(super) filled: Result<Collection, E>,
    pub(super) began: Instant,
    pub(super) began_at: u64,
}

impl Shared {
    /// Ends a flight: keeps what is to be kept, stores it, and tells the callers.
    pub(super) async fn land<E>(
        &self,
        read: &Read,
        look: &Look,
        fill: Filled<E>,
        landing: Landing<Arc<Entry>, E>,
    ) where
        E: Clone + Send + Sync + 'static,
    {
        let collection = match fill.filled {
            Ok(collection) => self.keep(read, collection),
            Err(failure) => return landing.finish(Err(failure)),
        };
        let Some(state) = self.routes.get(read.index) else { return };
        let entry = Arc::new(Entry {
            collection,
            shape: state.shape.clone(),
            generation: look.generation.clone().unwrap_or_else(|| Generation::claimed("")),
            stored_at: fill.began_at,
        });
        // Its freshness counts from the fill's beginning: from then on the upstream may hold something newer.
        let left = read.route.ttl.saturating_sub(fill.began.elapsed());
        let current = state.epoch() == look.epoch;
        if look.generation.is_none() || !current || left.is_zero() {
            return landing.finish(Ok(entry));
        }
        let put = self.put(read, state, &entry, left);
        tokio::pin!(put);
        // The callers wait for the store no longer than what is left of its budget; the put may.
        let budget = self.budget.saturating_sub(look.spent);
        if Deadline::after(budget).within(&mut put).await.is_ok() {
            landing.finish(Ok(Arc::clone(&entry)));
        } else {
            landing.publish(Ok(Arc::clone(&entry)));
            put.await;
        }
    }

    async fn put(&self, read: &Read, state: &RouteState, entry: &Arc<Entry>, left: Duration) {
        let (keys, by) = (self.keys(read, state), Deadline::after(PUT_LIMIT));
        if let Err(fault) = self.store.put(&keys, entry, left, state.generation_life, by).await {
            self.report(fault);
            if fault == Fault::TooLarge {
                self.remember_too_large(&read.key);
            }
        }
    }

    /// Remembers for a while that this collection is over the bounds.
    pub(super) fn remember_too_large(&self, key: &Arc<str>) {
        let mut keys = self.too_large.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if keys.len() >= TOO_LARGE_KEYS {
            keys.retain(|_, until| *until > now);
        }
        if keys.len() < TOO_LARGE_KEYS {
            keys.insert(Arc::clone(key), now + self.too_large_for);
        }
    }

    fn keep(&self, read: &Read, collection: Collection) -> Collection {
        let Some(keep) = &read.route.keep else { return collection };
        let today = self.clock.today(&self.zone);
        let (kept, unreadable) = keep::from_today(collection, &keep.field, today, &self.zone);
        self.telemetry.unreadable_dates(&read.route.name, unreadable);
        kept
    }
}
