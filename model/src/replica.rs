//! One replica: its count of own writes, its near copy, its reads and its flights.

use crate::{
    coherence::Version,
    mutants::Mutant,
    store::{Link, Push, Token, rank},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Replica {
    /// Own writes that began to void.
    pub(crate) epoch: u8,
    /// The epoch up to which the store has acknowledged.
    pub(crate) voided: u8,
    /// A `DEL` was given up; a task of its own is at it.
    pub(crate) owes: bool,
    pub(crate) retry: Retry,
    /// Bumped by whatever may make a near copy wrong.
    pub(crate) stamp: u8,
    /// The near copy under the present stamp: a bump drops it.
    pub(crate) near: Option<Version>,
    pub(crate) link: Link,
    /// `DEL`s covering this version had been executed when the PING was sent that the lease runs from.
    pub(crate) lease: Option<Version>,
    pub(crate) reads: Vec<Read>,
    pub(crate) flights: Vec<Flight>,
    /// The newest version of a write through here whose last voiding has begun: a `DEL` sent now covers it.
    pub(crate) covers: Version,
    /// What reads that begin here now are promised.
    pub(crate) promised: Promised,
}

/// The newest version of a write through here whose answer has ended (promise 1), of a `DEL` whose push was
/// applied here (promise 2), or of one that was executed a second ago (promise 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Promised {
    /// To every read.
    pub(crate) always: Version,
    /// To one that near or the store answers; no older. A `DEL` that finds nothing is pushed to nobody: then it
    /// is enough that all was applied that was pushed before.
    pub(crate) with_store: Version,
}

impl Promised {
    pub(crate) fn raise(&mut self, version: Version) {
        self.always = self.always.max(version);
        self.with_store = self.with_store.max(version);
    }
}

/// The task that repeats a `DEL` until it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Retry {
    Idle,
    /// It was executed; the reply is on its way.
    Executed {
        epoch: u8,
    },
}

/// A read that has not been answered and has not come to wait for a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Read {
    /// When it began.
    pub(crate) promised: Promised,
    /// Noted when it began.
    pub(crate) epoch: u8,
    pub(crate) stamp: u8,
    pub(crate) at: At,
}

/// What a read waits for.
///
/// What one step may stand for is one step. A read begins when its `GET` of the generation is executed: had it
/// begun before, it would be promised less and keep less. A `SET NX` and the `GET` behind it are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum At {
    /// `GET` of the entry; the generation was there.
    Entry { generation: Token, run: u8 },
    /// It was answered with what lay in the store, and has yet to keep that near.
    Keep { version: Version, run: u8 },
    /// `DEL` of another server's generation, and `SET NX` of one of this server's.
    Replace,
    /// Nothing: its connection broke.
    Failed,
}

/// A fill. Who waits for it is settled when he joins or when the upstream answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Flight {
    /// `None`: the store failed or is void here; nothing will be stored.
    pub(crate) generation: Option<Token>,
    /// Noted by its leader.
    pub(crate) epoch: u8,
    pub(crate) stamp: u8,
    /// It may be joined.
    pub(crate) open: bool,
    /// `DEL`s covering this version had been executed when it began.
    pub(crate) base: Version,
    /// What the upstream answered: its callers will get it.
    pub(crate) fetched: Option<Version>,
    /// The newest version that one of those was promised who joined before. An honest upstream answers with no
    /// older one, so it is noted only where the upstream is not.
    pub(crate) promised: Version,
}

impl Read {
    /// The token that it has read and will compare with the entry's.
    pub(crate) fn holds(&self) -> Option<Token> {
        match self.at {
            At::Entry { generation, .. } => Some(generation),
            _ => None,
        }
    }
}

impl Replica {
    /// Connected to the first server, its lease running.
    pub(crate) fn new(near: Option<Version>) -> Self {
        Self {
            epoch: 0,
            voided: 0,
            owes: false,
            retry: Retry::Idle,
            stamp: 0,
            near,
            link: Link::to(0),
            lease: Some(0),
            reads: Vec::new(),
            flights: Vec::new(),
            covers: 0,
            promised: Promised::default(),
        }
    }

    pub(crate) fn is_void(&self) -> bool {
        self.voided < self.epoch
    }

    /// The near copy is not served from here on, nor one that a read puts there which began before.
    pub(crate) fn bump_stamp(&mut self) {
        self.stamp += 1;
        self.near = None;
    }

    /// An own write begins to void. Gives the epoch that its `DEL` acknowledges.
    pub(crate) fn begin_void(&mut self, mutant: Option<Mutant>) -> u8 {
        self.epoch += 1;
        if mutant != Some(Mutant::OwnWriteKeepsNear) {
            self.bump_stamp();
        }
        if mutant != Some(Mutant::JoinsAcrossOwnWrite) {
            self.flights.iter_mut().for_each(|flight| flight.open = false);
        }
        self.epoch
    }

    pub(crate) fn acknowledged(&mut self, epoch: u8) {
        self.voided = self.voided.max(epoch);
    }

    /// What may be served from near now, without asking anybody.
    pub(crate) fn servable_near(&self, mutant: Option<Mutant>) -> Option<Version> {
        self.near.filter(|_| self.lease.is_some() || mutant == Some(Mutant::LeaseIgnored))
    }

    /// Keeps what was read from, or filled under a generation of, the server `run`.
    pub(crate) fn keep_near(&mut self, version: Version, stamp: u8, run: u8, mutant: Option<Mutant>) {
        let current = stamp == self.stamp || mutant == Some(Mutant::NearWithoutStamp);
        if current && (self.link.run == run || mutant == Some(Mutant::NearAcrossServers)) {
            self.near = Some(version);
        }
    }

    /// The flight that this read may join.
    fn joinable(
        &mut self,
        read: &Read,
        generation: Option<Token>,
        mutant: Option<Mutant>,
    ) -> Option<&mut Flight> {
        self.flights.iter_mut().find(|flight| {
            let same_epoch = flight.epoch == read.epoch || mutant == Some(Mutant::JoinsAcrossOwnWrite);
            let same_generation =
                flight.generation == generation || mutant == Some(Mutant::JoinsAnyGeneration);
            // Where no generation tells what began before a write through another replica, the stamp does.
            let same_stamp = generation.is_some()
                || flight.stamp == read.stamp
                || matches!(mutant, Some(Mutant::JoinsUnstoredAcrossPush | Mutant::JoinsAcrossOwnWrite));
            flight.open && same_epoch && same_generation && same_stamp
        })
    }

    /// Joins or leads. Gives what the read will be answered with where that is known.
    pub(crate) fn fly(
        &mut self,
        read: &Read,
        generation: Option<Token>,
        base: Version,
        mutant: Option<Mutant>,
    ) -> Option<Version> {
        let promised = if generation.is_some() { read.promised.with_store } else { read.promised.always };
        if let Some(flight) = self.joinable(read, generation, mutant) {
            flight.promised = flight.promised.max(promised);
            return flight.fetched;
        }
        self.flights.push(Flight {
            generation,
            epoch: read.epoch,
            stamp: read.stamp,
            open: true,
            base,
            fetched: None,
            promised,
        });
        None
    }

    /// A second has passed since the `DEL`s that cover `aged`.
    pub(crate) fn age(&mut self, aged: Version, mutant: Option<Mutant>) {
        self.promised.raise(aged);
        self.lease = self.lease.filter(|base| *base >= aged);
        self.link.queue.retain(|push| {
            !matches!(push, Push::Pong { base } if *base < aged) || mutant == Some(Mutant::LeaseFromPong)
        });
        if mutant != Some(Mutant::JoinsUnstoredForever) {
            for flight in self.flights.iter_mut().filter(|flight| flight.generation.is_none()) {
                flight.open &= flight.base >= aged;
            }
        }
    }

    /// Drops what can no longer make a difference. `alive` are the tokens that may still be read or put; with
    /// `watched` some read may yet ask the store or a flight.
    pub(crate) fn prune(&mut self, alive: impl Fn(Token) -> bool, watched: bool, mutant: Option<Mutant>) {
        let keeps_copies = matches!(mutant, Some(Mutant::LeaseIgnored | Mutant::ReconnectKeepsNear));
        let mute = self.link.dead && self.lease.is_none() && !self.link.awaits_pong() && !keeps_copies;
        if mute {
            self.near = None;
        }
        // A copy that is put near under this stamp may be served one day.
        let stamp = self.stamp;
        let useful = |noted: u8| !mute && (noted == stamp || mutant == Some(Mutant::NearWithoutStamp));
        self.reads.retain(|read| !matches!(read.at, At::Keep { .. }) || useful(read.stamp));
        self.flights.retain(|flight| match flight.generation {
            None => watched && flight.open,
            Some(token) => {
                let stored = alive(token) || mutant == Some(Mutant::PutsUnderPresentGeneration);
                useful(flight.stamp) || (watched && stored)
            }
        });
        if !watched && self.near.is_none() && self.reads.is_empty() && self.flights.is_empty() {
            (self.lease, self.link, self.promised) = (None, Link::to(self.link.run), Promised::default());
        }
    }

    /// Nothing can be served from here that is not yet settled.
    pub(crate) fn is_settled(&self) -> bool {
        self.near.is_none() && self.reads.is_empty() && self.flights.is_empty()
    }

    /// Only order and equality of counts matter: states that differ in nothing else become one. `voiding` are the
    /// epochs that writes through here wait for.
    pub(crate) fn normalise<'w>(&mut self, voiding: impl Iterator<Item = &'w mut u8>) {
        let voiding: Vec<&mut u8> = voiding.collect();
        let mut epochs = vec![self.epoch, self.voided];
        epochs.extend(voiding.iter().map(|epoch| **epoch));
        let mut stamps = vec![self.stamp];
        if let Retry::Executed { epoch } = self.retry {
            epochs.push(epoch);
        }
        epochs.extend(self.reads.iter().map(|read| read.epoch));
        epochs.extend(self.flights.iter().map(|flight| flight.epoch));
        stamps.extend(self.reads.iter().map(|read| read.stamp));
        stamps.extend(self.flights.iter().map(|flight| flight.stamp));
        let epochs = sorted(epochs);
        voiding.into_iter().for_each(|epoch| *epoch = rank(*epoch, &epochs));
        self.rename(&epochs, &sorted(stamps));
        self.reads.sort_unstable();
        self.flights.sort_unstable();
    }

    fn rename(&mut self, epochs: &[u8], stamps: &[u8]) {
        self.epoch = rank(self.epoch, epochs);
        self.voided = rank(self.voided, epochs);
        self.stamp = rank(self.stamp, stamps);
        if let Retry::Executed { epoch } = &mut self.retry {
            *epoch = rank(*epoch, epochs);
        }
        for read in &mut self.reads {
            (read.epoch, read.stamp) = (rank(read.epoch, epochs), rank(read.stamp, stamps));
        }
        for flight in &mut self.flights {
            (flight.epoch, flight.stamp) = (rank(flight.epoch, epochs), rank(flight.stamp, stamps));
        }
    }

    /// Nonces in use.
    pub(crate) fn nonces(&self, into: &mut Vec<u8>) {
        into.extend(self.flights.iter().filter_map(|flight| flight.generation).map(|token| token.nonce));
        into.extend(self.reads.iter().filter_map(Read::holds).map(|token| token.nonce));
    }

    pub(crate) fn renumber(&mut self, live: &[u8]) {
        self.flights.iter_mut().filter_map(|flight| flight.generation.as_mut()).for_each(|t| t.rename(live));
        for read in &mut self.reads {
            if let At::Entry { generation, .. } = &mut read.at {
                generation.rename(live);
            }
        }
    }
}

pub(crate) fn sorted(mut values: Vec<u8>) -> Vec<u8> {
    values.sort_unstable();
    values.dedup();
    values
}
