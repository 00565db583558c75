//! What a store can do, and how it fails. A failure is never an error to a client: it is a miss.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    entry::{Entry, Garbled, Shape},
    generation::Generation,
    memory::Memory,
    redis::Redis,
};
use crate::deadline::Deadline;

/// The keys of one lookup, with the prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// Of the route's generation.
    pub generation: String,
    /// Of the entry.
    pub entry: String,
}

/// What one look into the store found.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The route's generation; `None`: absent or unreadable, nothing of the route is valid.
    pub generation: Option<Generation>,
    /// What lay under the entry's key.
    pub entry: Stored,
}

/// What lay under an entry's key.
#[derive(Debug)]
pub(super) enum Stored {
    /// Nothing.
    Nothing,
    /// An entry of the shape asked for, and what the store says is left of its life.
    Entry(Arc<Entry>, Duration),
    /// Something else.
    Garbled(Garbled),
}

/// Why the store did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It is known to be away: nothing was sent.
    Open,
    /// There is none.
    Absent,
    /// No answer within the budget.
    Late,
    /// No connection, or one that broke.
    Connection,
    /// It answered with a refusal: full, read-only, no permission, another type.
    Refused,
    /// It is there and cannot serve yet: loading, or a replica without its master.
    Unready,
    /// The entry is larger than an entry may be.
    TooLarge,
    /// No random bytes for a token, or text that is not JSON: our own failure.
    Internal,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Open => "known to be away",
            Self::Absent => "there is none",
            Self::Late => "no answer in time",
            Self::Connection => "no connection",
            Self::Refused => "refused",
            Self::Unready => "not ready",
            Self::TooLarge => "entry too large",
            Self::Internal => "internal failure",
        })
    }
}

/// The configured store.
#[derive(Debug)]
pub(super) enum Store {
    /// A Redis server.
    Redis(Redis),
    /// This process's memory.
    Memory(Memory),
    /// None.
    Absent,
}

impl Store {
    /// Generation, entry and remaining life, in one round trip.
    ///
    /// # Errors
    /// [`Fault`]: the caller goes on as if there were no store.
    pub(super) async fn look(&self, keys: &Keys, shape: &Shape, by: Deadline) -> Result<Snapshot, Fault> {
        match self {
            Self::Redis(redis) => redis.look(keys, shape, by).await,
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

    /// Deletes generations: all entries under them are void.
    ///
    /// # Errors
    /// [`Fault`]: they may still be there.
    pub(super) async fn drop_generations(&self, generations: &[String], by: Deadline) -> Result<(), Fault> {
        match self {
            Self::Redis(redis) => redis.delete(generations, by).await,
            Self::Memory(memory) => {
                memory.drop_generations(generations);
                Ok(())
            }
            Self::Absent => Ok(()),
        }
    }

    /// Returns once it makes sense to ask the store again.
    pub(super) async fn back(&self) {
        if let Self::Redis(redis) = self {
            redis.back().await;
        }
    }
}
