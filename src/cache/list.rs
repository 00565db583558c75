//! What lies in the store, for an operator's eyes: keys, ages and sizes, a bounded piece at a time.

use std::time::Duration;

use super::{
    Cache, Shared, entry, fault::Fault, generation::Generation, redis::Place, snapshot::Found, store::Store,
};
use crate::{classify::key, deadline::Deadline};

/// An operator waits longer than a client.
const LIST_LIMIT: Duration = Duration::from_secs(2);

/// What lies under one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// With the prefix.
    pub key: String,
    /// The route whose keys are such; `None`: none has them now.
    pub route: Option<String>,
    /// As it is stored.
    pub bytes: u64,
    /// Since its fill began; `None` where it is no entry of ours.
    pub age: Option<Duration>,
    /// How long the store keeps it; `None`: for ever.
    pub left: Option<Duration>,
    /// It is of its route's present generation and shape, and not past its life.
    pub valid: bool,
}

/// A piece of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// In no order; seldom one of them twice, and what comes or goes meanwhile may be missing.
    pub entries: Vec<Listed>,
    /// From where to go on; `None`: this was the last piece.
    pub next: Option<String>,
}

/// Why there is no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unlisted {
    /// It does not say where to go on.
    #[error("not a place to go on from: it is the `next` of the answer before")]
    Place,
    /// The store.
    #[error("the store does not say: {0}")]
    Store(&'static str),
}

impl From<Fault> for Unlisted {
    fn from(fault: Fault) -> Self {
        Self::Store(fault.text())
    }
}

impl<E> Cache<E> {
    /// About `most` of what is in the store, from where the piece before says. Takes 2 s at most.
    ///
    /// # Errors
    /// Where the store does not say, or that is no place.
    pub async fn list(&self, from: Option<&str>, most: usize) -> Result<Listing, Unlisted> {
        let (shared, by) = (&self.shared, Deadline::after(LIST_LIMIT));
        let generations: Vec<_> = shared.routes.iter().map(|route| route.generation_key.clone()).collect();
        let (found, next, present) = match &shared.store {
            Store::Redis(redis) => {
                let from = from.map_or(Some(Place::default()), Place::read).ok_or(Unlisted::Place)?;
                let (keys, next) = shared.asked("list", redis.scan(&shared.prefix, from, most, by)).await?;
                let keys = keys.into_iter().filter(|key| !generations.contains(key)).collect();
                let (found, present) = shared.asked("list", redis.found(keys, &generations, by)).await?;
                (found, next.map(|next| next.to_string()), present)
            }
            Store::Memory(memory) => {
                let (found, next) = memory.list(from, most);
                (found, next, generations.iter().map(|key| memory.generation(key)).collect())
            }
            Store::Absent => return Err(Fault::Absent.into()),
        };
        let entries = found.into_iter().map(|found| shared.listed(found, &present)).collect();
        Ok(Listing { entries, next })
    }
}

impl Shared {
    /// `present` are the routes' generations.
    fn listed(&self, found: Found, present: &[Option<Generation>]) -> Listed {
        let Found { key, bytes, left, label } = found;
        let own = key.strip_prefix(&self.prefix).unwrap_or_default();
        let place = self.routes.iter().position(|route| key::parameters_of(&route.key, own).is_some());
        let route = place.and_then(|place| self.routes.get(place));
        let age = label.as_ref().map(|label| {
            let life = route.map_or(Duration::ZERO, |route| route.life);
            entry::age(label.stored_at, life, left.unwrap_or(Duration::MAX), self.clock.now_ms())
        });
        let generation = place.and_then(|place| present.get(place)?.as_ref());
        let valid = route.zip(label).zip(age).is_some_and(|((route, label), age)| {
            !route.is_void() && label.is_of(&route.shape, generation) && age < route.life
        });
        Listed { route: route.map(|route| route.name.clone()), key, bytes, age, left, valid }
    }
}
