//! The coherence protocol: one route with one key, an upstream that counts its writes, one store, two replicas.
//!
//! The promises are checked where an answer is given: a read notes when it begins which version it is promised
//! ([`Replica::promised`]) and may get that one or a newer one. What near would serve is checked in every state.

mod step;
pub(crate) mod tell;

use stateright::{Model, Property};

use crate::{
    mutants::{Gap, Mutant},
    replica::{At, Read, Replica, Retry, sorted},
    store::{Command, Entry, Keys, Push, Store, Token},
};

/// How often the upstream had committed.
pub(crate) type Version = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Who {
    A,
    B,
}

/// What is explored: how much may happen in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Bounds {
    pub(crate) reads: u8,
    pub(crate) writes: u8,
    /// Waits for the store that end before its reply does; the command may be executed later.
    pub(crate) give_ups: u8,
    /// Restarts of the server: empty, with old data, with its data.
    pub(crate) restarts: u8,
    /// Keys that go away.
    pub(crate) losses: u8,
    /// Tracking connections that die without a word.
    pub(crate) deaths: u8,
}

/// The protocol within some bounds; with one rule left out, or with an event that is not covered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Coherence {
    pub(crate) bounds: Bounds,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) gap: Option<Gap>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) committed: Version,
    pub(crate) store: Store,
    pub(crate) a: Replica,
    pub(crate) b: Replica,
    pub(crate) writes: Vec<Write>,
    /// The newest version covered by a `DEL` that the server has executed.
    pub(crate) executed: Version,
    /// Promise 3: the same, a second ago.
    pub(crate) aged: Version,
    /// Not promised, but asked for where a gap is to be shown: it counts once a second has passed.
    pub(crate) owed: Version,
    pub(crate) left: Bounds,
    pub(crate) broken: Option<Broken>,
}

/// A write on its way through a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Write {
    pub(crate) via: Who,
    /// 0: the upstream has not committed it.
    pub(crate) version: Version,
    pub(crate) at: Writing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Writing {
    /// With the upstream, which has not begun its answer.
    Sent,
    /// The store is asked to drop the generation, before the answer's first byte or (`last`) its last.
    Voiding { last: bool, epoch: u8, covers: Version },
    /// The answer is coming.
    Answering,
    /// Its answer has ended; the upstream may still commit it.
    Forgotten,
}

/// A read that got less than it was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Broken {
    pub(crate) who: Who,
    pub(crate) got: Version,
    pub(crate) promised: Version,
    pub(crate) from: &'static str,
}

/// One step. Numbers are places in the state's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Begin(Who),
    BeginWithoutStore(Who),
    Advance(Who, usize),
    GiveUp(Who, usize),
    Fetch(Who, usize),
    FetchOld(Who, usize),
    Land(Who, usize),
    SendAndCommit(Who),
    SendAndHead(Who),
    Commit(usize),
    Head(usize),
    Whole(usize),
    Fail(usize),
    Execute(usize),
    GiveUpVoid(usize),
    End(usize),
    Retry(Who),
    Late(usize),
    Deliver(Who),
    Ping(Who),
    Reconnect(Who),
    Die(Who),
    Second,
    LoseGeneration,
    LoseEntry,
    RestartEmpty,
    RestartOld,
    RestartSame,
    Failover,
    Kill(Who),
    WritePast,
}

impl State {
    pub(crate) fn at(&self, who: Who) -> &Replica {
        match who {
            Who::A => &self.a,
            Who::B => &self.b,
        }
    }

    pub(crate) fn at_mut(&mut self, who: Who) -> &mut Replica {
        match who {
            Who::A => &mut self.a,
            Who::B => &mut self.b,
        }
    }

    /// What near would serve against a promise.
    pub(crate) fn broken_near(&self, mutant: Option<Mutant>) -> Option<Broken> {
        [Who::A, Who::B].into_iter().find_map(|who| {
            let (got, promised) = (self.at(who).servable_near(mutant)?, self.at(who).promised.with_store);
            (got < promised).then_some(Broken { who, got, promised, from: "near" })
        })
    }

    /// States that differ in nothing that matters become one.
    fn normalise(&mut self, mutant: Option<Mutant>) {
        // A token that is not in the store and that no read holds is not read again, nor one that a disk holds:
        // it is another server's. An entry under it is as good as none.
        let (standing, on_disk) = (self.store.keys.generation, self.store.on_disk.generation);
        let (a, b) = (&self.a.reads, &self.b.reads);
        let held: Vec<Token> = a.iter().chain(b).filter_map(Read::holds).collect();
        let alive = |token: Token| {
            standing == Some(token)
                || held.contains(&token)
                || (mutant == Some(Mutant::ForeignGeneration) && on_disk == Some(token))
        };
        let watched =
            self.left.reads > 0 || a.iter().chain(b).any(|read| !matches!(read.at, At::Keep { .. }));
        let unchecked = mutant == Some(Mutant::NoGenerationCheck);
        let matters = |token: Token| watched && (unchecked || alive(token));
        self.store.keys.entry = self.store.keys.entry.filter(|(token, _)| matters(*token));
        let executed = self.executed;
        self.store.late.retain(|command| match command {
            // It could still do what the loss of a generation does; `losses` are explored for that.
            Command::Delete { covers } => *covers > executed,
            Command::Put { entry: (token, _) } => matters(*token),
        });
        self.a.prune(alive, watched, mutant);
        self.b.prune(alive, watched, mutant);
        if !watched && self.a.is_settled() && self.b.is_settled() {
            // Nothing is left that could go wrong: all such states are one.
            let (store, left) = (Store::new(Keys::default()), Bounds::default());
            (self.a, self.b, self.store) = (Replica::new(None), Replica::new(None), store);
            (self.committed, self.executed, self.aged, self.owed, self.left) = (0, 0, 0, 0, left);
            self.writes.clear();
        }
        self.a.normalise(voiding(&mut self.writes, Who::A));
        self.b.normalise(voiding(&mut self.writes, Who::B));
        self.writes.sort_unstable();
        self.store.late.sort_unstable();
        let mut nonces = Vec::with_capacity(8);
        self.store.nonces(&mut nonces);
        self.a.nonces(&mut nonces);
        self.b.nonces(&mut nonces);
        let live = sorted(nonces);
        self.store.renumber(&live);
        self.a.renumber(&live);
        self.b.renumber(&live);
    }
}

/// The epochs that writes through this replica wait for.
fn voiding(writes: &mut [Write], who: Who) -> impl Iterator<Item = &mut u8> {
    writes.iter_mut().filter(move |write| write.via == who).filter_map(|write| match &mut write.at {
        Writing::Voiding { epoch, .. } => Some(epoch),
        _ => None,
    })
}

impl Coherence {
    fn start(self, keys: Keys, near: Option<Version>) -> State {
        State {
            committed: 0,
            store: Store::new(keys),
            a: Replica::new(near),
            b: Replica::new(near),
            writes: Vec::new(),
            executed: 0,
            aged: 0,
            owed: 0,
            left: self.bounds,
            broken: None,
        }
    }

    fn replica_actions(self, state: &State, who: Who, actions: &mut Vec<Action>) {
        let replica = state.at(who);
        if state.left.reads > 0 {
            actions.push(Action::Begin(who));
            if state.left.give_ups > 0 && !replica.is_void() {
                actions.push(Action::BeginWithoutStore(who));
            }
        }
        for (place, read) in replica.reads.iter().enumerate() {
            actions.push(Action::Advance(who, place));
            if state.left.give_ups > 0 && matches!(read.at, At::Entry { .. } | At::Replace) {
                actions.push(Action::GiveUp(who, place));
            }
        }
        for (place, flight) in replica.flights.iter().enumerate() {
            if flight.fetched.is_some() {
                actions.push(Action::Land(who, place));
                continue;
            }
            actions.push(Action::Fetch(who, place));
            if self.gap == Some(Gap::UpstreamCache) && state.committed > 0 {
                actions.push(Action::FetchOld(who, place));
            }
        }
        // The first write goes through A: the replicas are alike.
        let may_write = who == Who::A || state.left.writes < self.bounds.writes;
        if state.left.writes > 0 && may_write && self.gap != Some(Gap::Past) {
            actions.extend([Action::SendAndCommit(who), Action::SendAndHead(who)]);
        }
        if replica.owes || replica.retry != Retry::Idle {
            actions.push(Action::Retry(who));
        }
        let link = &replica.link;
        if !link.queue.is_empty() {
            actions.push(Action::Deliver(who));
        }
        if link.dead {
            actions.push(Action::Reconnect(who));
        } else {
            // Another PING than the last answered one matters only where it was sent after another `DEL`.
            if !link.awaits_pong() && replica.lease.is_none_or(|base| base < state.executed) {
                actions.push(Action::Ping(who));
            }
            if state.left.deaths > 0 {
                actions.push(Action::Die(who));
            }
        }
    }

    fn write_actions(self, state: &State, actions: &mut Vec<Action>) {
        for (place, write) in state.writes.iter().enumerate() {
            let committed = write.version > 0;
            if !committed {
                actions.push(Action::Commit(place));
            }
            match write.at {
                Writing::Sent => {
                    actions.extend([Action::Head(place), Action::Whole(place)]);
                    if self.mutant == Some(Mutant::FailureNotVoided) {
                        actions.push(Action::Fail(place));
                    }
                }
                Writing::Voiding { .. } => {
                    actions.push(Action::Execute(place));
                    if state.left.give_ups > 0 {
                        actions.push(Action::GiveUpVoid(place));
                    }
                }
                Writing::Answering if committed || self.gap == Some(Gap::LateCommit) => {
                    actions.push(Action::End(place));
                }
                Writing::Answering | Writing::Forgotten => {}
            }
        }
    }

    fn store_actions(self, state: &State, actions: &mut Vec<Action>) {
        actions.extend((0..state.store.late.len()).map(Action::Late));
        if state.executed.max(state.owed) > state.aged {
            actions.push(Action::Second);
        }
        if state.left.losses > 0 {
            if state.store.keys.generation.is_some() {
                actions.push(Action::LoseGeneration);
            }
            if state.store.keys.entry.is_some() {
                actions.push(Action::LoseEntry);
            }
        }
        if state.left.restarts > 0 {
            if self.gap == Some(Gap::SplitBrain) {
                actions.push(Action::Failover);
            } else {
                actions.extend([Action::RestartEmpty, Action::RestartSame]);
                if state.store.on_disk != Keys::default() {
                    actions.push(Action::RestartOld);
                }
            }
        }
        match self.gap {
            Some(Gap::Killed) if state.writes.iter().any(|write| write.version > 0) => {
                actions.push(Action::Kill(Who::A));
            }
            Some(Gap::StartedAnew) if state.a.is_void() && state.writes.is_empty() => {
                actions.push(Action::Kill(Who::A))
            }
            Some(Gap::Past) if state.left.writes > 0 => actions.push(Action::WritePast),
            _ => {}
        }
    }
}

impl Model for Coherence {
    type State = State;
    type Action = Action;

    /// Everything warm, or nothing there yet.
    fn init_states(&self) -> Vec<State> {
        let token = Token { run: 0, nonce: 0 };
        let entry: Entry = (token, 0);
        let warm = Keys { generation: Some(token), entry: Some(entry) };
        vec![self.start(warm, Some(0)), self.start(Keys::default(), None)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        for who in [Who::A, Who::B] {
            self.replica_actions(state, who, actions);
        }
        self.write_actions(state, actions);
        self.store_actions(state, actions);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        self.step(&mut state, action)?;
        state.normalise(self.mutant);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("promised", |model: &Self, state: &State| {
            state.broken.is_none() && state.broken_near(model.mutant).is_none()
        })]
    }
}

impl State {
    /// The generation's key goes away: all who track this server will hear of it.
    fn drop_generation(&mut self, covers: Version) {
        let was_there = self.store.keys.generation.take().is_some();
        let run = self.store.run;
        for who in [Who::A, Who::B] {
            let replica = self.at_mut(who);
            if replica.link.dead || replica.link.run != run {
                continue;
            }
            if was_there {
                replica.link.queue.push(Push::Gone { covers });
                continue;
            }
            // Nothing is pushed. What this `DEL` covers is known once all is applied that was pushed before.
            let last = replica.link.queue.iter_mut().rev().find_map(|push| match push {
                Push::Gone { covers } => Some(covers),
                Push::Pong { .. } => None,
            });
            let known = last.unwrap_or(&mut replica.promised.with_store);
            *known = covers.max(*known);
        }
        self.executed = self.executed.max(covers);
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Delete { covers } => self.drop_generation(covers),
            Command::Put { entry } => self.store.keys.entry = Some(entry),
        }
    }
}
