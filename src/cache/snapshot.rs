//! What one look into a store asks for and finds, and what a list of what is in it says.

use std::{sync::Arc, time::Duration};

use super::{
    entry::{Entry, Garbled, Label},
    generation::Generation,
    near::Giver,
};

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
    /// The servers that have said the one and the other; `None`: no server did.
    pub givers: Option<[Giver; 2]>,
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

/// What a store says of a key.
#[derive(Debug)]
pub(super) struct Found {
    /// With the prefix.
    pub(super) key: String,
    pub(super) bytes: u64,
    /// `None`: for ever.
    pub(super) left: Option<Duration>,
    pub(super) label: Option<Label>,
}
