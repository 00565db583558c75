//! What a store can do, whichever it is.

use std::{sync::Arc, time::Duration};

use super::{
    entry::{Entry, Shape},
    fault::Fault,
    generation::Generation,
    memory::Memory,
    near::Near,
    redis::{Redis, Standing},
    snapshot::{Keys, Snapshot},
};
use crate::deadline::Deadline;

/// The configured store.
#[derive(Debug)]
pub(super) enum Store {
    /// A Redis server.
    Redis(Box<Redis>),
    /// This process's memory.
    Memory(Arc<Memory>),
    /// None.
    Absent,
}

impl Store {
    /// Generation, entry and remaining life, in one round trip. `known` is the entry that lay there before, if it is here: it is
    /// not read a second time.
    ///
    /// # Errors
    /// [`Fault`]: the caller goes on as if there were no store.
    pub(super) async fn look(
        &self,
        keys: &Keys,
        shape: &Shape,
        known: Option<Arc<Entry>>,
        by: Deadline,
    ) -> Result<Snapshot, Fault> {
        match self {
            Self::Redis(redis) => redis.look(keys, shape, known, by).await,
            Self::Memory(memory) => Ok(memory.look(keys, shape)),
            Self::Absent => Err(Fault::Absent),
        }
    }

    /// The route's generation, made if there is none; it lives for `life`.
    ///
    /// # Errors
    /// [`Fault`]: nothing may be stored then.
    pub(super) async fn establish(
        &self,
        keys: &Keys,
        life: Duration,
        by: Deadline,
    ) -> Result<Generation, Fault> {
        match self {
            Self::Redis(redis) => redis.establish(&keys.generation, life, by).await,
            Self::Memory(memory) => memory.establish(&keys.generation),
            Self::Absent => Err(Fault::Absent),
        }
    }

    /// Stores an entry for `ttl` and renews its generation's life.
    ///
    /// # Errors
    /// [`Fault`]: it is not stored, or that is not known.
    pub(super) async fn put(
        &self,
        keys: &Keys,
        entry: &Arc<Entry>,
        ttl: Duration,
        life: Duration,
        by: Deadline,
    ) -> Result<(), Fault> {
        match self {
            Self::Redis(redis) => redis.put(keys, entry, ttl, life, by).await,
            Self::Memory(memory) => memory.put(&keys.entry, entry, ttl),
            Self::Absent => Err(Fault::Absent),
        }
    }

    /// Deletes an entry.
    ///
    /// # Errors
    /// [`Fault`]: it may still be there.
    pub(super) async fn delete(&self, keys: &Keys, by: Deadline) -> Result<(), Fault> {
        match self {
            Self::Redis(redis) => redis.delete(&keys.entry, by).await,
            Self::Memory(memory) => {
                memory.delete(&keys.entry);
                Ok(())
            }
            Self::Absent => Ok(()),
        }
    }

    /// Deletes a generation: all entries under it are void.
    ///
    /// # Errors
    /// [`Fault`]: it may still be there.
    pub(super) async fn drop_generation(&self, generation: &str, by: Deadline) -> Result<(), Fault> {
        match self {
            Self::Redis(redis) => redis.delete(generation, by).await,
            Self::Memory(memory) => {
                memory.drop_generation(generation);
                Ok(())
            }
            Self::Absent => Ok(()),
        }
    }

    /// The servers that have keys.
    pub(super) fn servers(&self) -> Standing {
        if let Self::Redis(redis) = self { redis.standing() } else { Standing::default() }
    }

    /// Whether what it says of its keys arrives here.
    pub(super) fn is_followed(&self, near: &Near) -> bool {
        if let Self::Redis(redis) = self { redis.is_followed(near) } else { false }
    }

    /// Returns once it makes sense to ask the store for this key again.
    pub(super) async fn back(&self, key: &str) {
        if let Self::Redis(redis) = self {
            redis.back(key).await;
        }
    }
}
