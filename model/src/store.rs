//! The store: one server process at a time, its two keys, and what clients hear of it.
//!
//! A command is executed in a step of its own, at any time after it was sent. That covers a slow and a frozen
//! server; one whose commands are never executed is a server that is down. What nobody waits for any more
//! lies in [`Store::late`] and may be executed much later, or never.

use crate::coherence::{Version, Who};

/// A generation's token. It names the server process that it was put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Token {
    pub(crate) run: u8,
    /// Never used twice.
    pub(crate) nonce: u8,
}

/// A stored collection: under which token, and which version of the upstream's it shows.
pub(crate) type Entry = (Token, Version);

/// A command that nobody waits for. A late `SET NX` is none of them: it does what a read does that makes a
/// generation and whose flight never lands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Command {
    /// `DEL` of the generation, sent after the upstream had committed `covers`.
    Delete { covers: Version },
    /// `SET` of the entry.
    Put { entry: Entry },
}

/// What lies in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Keys {
    pub(crate) generation: Option<Token>,
    pub(crate) entry: Option<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    /// The server process.
    pub(crate) run: u8,
    pub(crate) keys: Keys,
    /// As it was written to disk at the beginning.
    pub(crate) on_disk: Keys,
    pub(crate) late: Vec<Command>,
    /// Nonces given so far.
    pub(crate) next: u8,
}

impl Store {
    pub(crate) fn new(keys: Keys) -> Self {
        Self { run: 0, keys, on_disk: keys, late: Vec::new(), next: 1 }
    }

    /// `SET NX`: the token is drawn when it is executed, since nobody knows it before.
    pub(crate) fn establish(&mut self) {
        if self.keys.generation.is_none() {
            self.keys.generation = Some(Token { run: self.run, nonce: self.next });
            self.next += 1;
        }
    }

    /// Tokens keep their order and lose their gaps, so that states that differ in dead tokens are one.
    pub(crate) fn renumber(&mut self, live: &[u8]) {
        self.keys.rename(live);
        self.on_disk.rename(live);
        for command in &mut self.late {
            if let Command::Put { entry } = command {
                entry.0.rename(live);
            }
        }
        self.next = rank(self.next, live);
    }

    /// Nonces in use.
    pub(crate) fn nonces(&self, into: &mut Vec<u8>) {
        for keys in [&self.keys, &self.on_disk] {
            into.extend(
                keys.generation.iter().chain(keys.entry.iter().map(|(token, _)| token)).map(|t| t.nonce),
            );
        }
        into.extend(self.late.iter().filter_map(|command| match command {
            Command::Put { entry } => Some(entry.0.nonce),
            Command::Delete { .. } => None,
        }));
    }
}

impl Keys {
    fn rename(&mut self, live: &[u8]) {
        self.generation.iter_mut().for_each(|token| token.rename(live));
        self.entry.iter_mut().for_each(|(token, _)| token.rename(live));
    }
}

impl Token {
    pub(crate) fn rename(&mut self, live: &[u8]) {
        self.nonce = rank(self.nonce, live);
    }
}

/// How many of the sorted `live` are smaller.
pub(crate) fn rank(value: u8, live: &[u8]) -> u8 {
    u8::try_from(live.partition_point(|other| *other < value)).unwrap_or(u8::MAX)
}

/// What the server has sent on a tracking connection and the replica has not yet applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Push {
    /// The generation's key went away. When this is applied, so is all that was sent before a `DEL` that
    /// covers this version.
    Gone { covers: Version },
    /// The answer to a PING that was sent when `DEL`s covering this version had been executed.
    Pong { base: Version },
}

/// A tracking connection, as both its ends see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Link {
    /// The server process at its other end.
    pub(crate) run: u8,
    /// Nothing is sent on it any more. The replica need not know.
    pub(crate) dead: bool,
    pub(crate) queue: Vec<Push>,
}

impl Link {
    pub(crate) fn to(run: u8) -> Self {
        Self { run, dead: false, queue: Vec::new() }
    }

    pub(crate) fn awaits_pong(&self) -> bool {
        self.queue.iter().any(|push| matches!(push, Push::Pong { .. }))
    }
}

/// For the trace.
impl Command {
    pub(crate) fn tell(self) -> String {
        match self {
            Self::Delete { .. } => "DEL of the generation".to_owned(),
            Self::Put { entry: (token, version) } => format!("SET of the entry ({token}, v{version})"),
        }
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "g{}@run{}", self.nonce, self.run)
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{self:?}")
    }
}
