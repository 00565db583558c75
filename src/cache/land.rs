//! The end of a flight: what is to be kept is kept, stored, and given to the callers.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Look, Shared, age::Age, entry::Entry, fault::Fault, flight::Landing, generation::Generation,
    void::RouteState,
};
use crate::{
    aside,
    classify::Read,
    deadline::Deadline,
    page::{Collection, keep},
};

/// The dates of so many items are read in less time than it takes to have it done aside.
const SMALL_ITEMS: usize = 64;
/// What a put may take once its callers have their answer.
const PUT_LIMIT: Duration = Duration::from_secs(2);

/// What a fill gave, and when it began: by the monotonic clock and by the wall's.
pub(super) struct Filled<E> {
    pub(super) filled: Result<Collection, E>,
    pub(super) began: Instant,
    pub(super) began_at: u64,
}

/// What the callers of a flight get.
#[derive(Clone, Debug)]
pub struct Landed {
    /// The entry, stored or not.
    pub entry: Arc<Entry>,
    /// Counts from the fill's beginning: from then on the upstream may hold something newer.
    pub age: Age,
    /// It is known to be in the store.
    pub stored: bool,
}

impl Shared {
    /// Ends a flight: keeps what is to be kept, stores it, and tells the callers.
    pub(super) async fn land<E>(&self, read: &Read, look: &Look, fill: Filled<E>, landing: Landing<Landed, E>)
    where
        E: Clone + Send + Sync + 'static,
    {
        let collection = match fill.filled {
            Ok(collection) => self.keep(read, collection).await,
            Err(failure) => return landing.finish(Err(failure)),
        };
        let (Some(collection), Some(state)) = (collection, self.routes.get(read.index)) else { return };
        let generation = look.generation.clone().unwrap_or_else(|| Generation::claimed(""));
        let entry = Arc::new(Entry::new(collection, state.shape.clone(), generation, fill.began_at));
        let age = Age::since(fill.began);
        let landed = |stored| Landed { entry: Arc::clone(&entry), age, stored };
        let left = read.route.life().saturating_sub(age.by(Instant::now()));
        let storable = look.generation.is_some() && state.epoch() == look.epoch && !left.is_zero();
        // Asked last: it ends what began earlier.
        if !storable || !landing.is_newest() {
            return landing.finish(Ok(landed(false)));
        }
        let put = self.put(read, state, &entry, left);
        tokio::pin!(put);
        // The callers wait for the store no longer than what is left of its budget; the put may.
        let budget = self.budget.saturating_sub(look.spent);
        if let Ok(stored) = Deadline::after(budget).within(&mut put).await {
            landing.finish(Ok(landed(stored)));
        } else {
            landing.publish(Ok(landed(false)));
            put.await;
        }
    }

    /// Whether the store has it for sure. What was near under this key is older, and goes before anybody is told.
    async fn put(&self, read: &Read, state: &RouteState, entry: &Arc<Entry>, left: Duration) -> bool {
        let (keys, by) = (self.keys(&read.key, state), Deadline::after(PUT_LIMIT));
        let put = self.asked("put", self.store.put(&keys, entry, left, state.generation_life, by)).await;
        self.near.iter().for_each(|near| near.void_key(&read.key));
        if put == Err(Fault::TooLarge) {
            self.too_large.begin(&read.key);
        }
        put.is_ok()
    }

    async fn keep(&self, read: &Read, collection: Collection) -> Option<Collection> {
        let Some(keep) = &read.route.keep else { return Some(collection) };
        let (today, zone, field) = (self.clock.today(&self.zone), self.zone.clone(), keep.field.clone());
        let small = collection.items.len() <= SMALL_ITEMS;
        let work = move || keep::from_today(collection, &field, today, &zone);
        let (kept, unreadable) = aside::unless(small, work).await?;
        self.telemetry.unreadable_dates(&read.route.name, unreadable);
        Some(kept)
    }
}
