//! What each step does.

use super::{Action, Broken, Coherence, State, Version, Who, Write, Writing};
use crate::{
    mutants::{Gap, Mutant},
    replica::{At, Read, Replica, Retry},
    store::{Command, Keys, Link, Push, Token},
};

impl Coherence {
    /// `None` where there is nothing at that place.
    pub(super) fn step(self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Begin(who) => self.begin(state, who, true),
            Action::BeginWithoutStore(who) => self.begin(state, who, false),
            Action::Advance(who, place) => self.advance(state, who, place)?,
            Action::GiveUp(who, place) => self.give_up(state, who, place),
            Action::Fetch(who, place) => {
                let version = state.committed;
                state.at_mut(who).flights.get_mut(place)?.fetched = Some(version);
            }
            Action::FetchOld(who, place) => {
                let version = state.committed.checked_sub(1)?;
                let flight = state.at_mut(who).flights.get_mut(place)?;
                flight.fetched = Some(version);
                let promised = flight.promised;
                serve(state, who, version, promised, "a flight");
            }
            Action::Land(who, place) => self.land(state, who, place)?,
            Action::SendAndCommit(via) => {
                state.left.writes -= 1;
                state.committed += 1;
                state.writes.push(Write { via, version: state.committed, at: Writing::Sent });
            }
            Action::SendAndHead(via) => {
                state.left.writes -= 1;
                let mut write = Write { via, version: 0, at: Writing::Sent };
                self.void(state, &mut write, false);
                state.writes.push(write);
            }
            Action::Commit(place) => self.commit(state, place)?,
            Action::Head(place) => self.write(state, place, |state, write| self.void(state, write, false))?,
            Action::Whole(place) | Action::End(place) => self.end(state, place)?,
            Action::Fail(place) => {
                let write = state.writes.remove(place);
                finish(state, write);
            }
            Action::Execute(place) => {
                let Writing::Voiding { covers, .. } = state.writes.get(place)?.at else { return None };
                state.drop_generation(covers);
                self.voided(state, place, true)?;
            }
            Action::GiveUpVoid(place) => {
                state.left.give_ups -= 1;
                if let Writing::Voiding { covers, .. } = state.writes.get(place)?.at {
                    state.store.late.push(Command::Delete { covers });
                }
                self.voided(state, place, false)?;
            }
            Action::Retry(who) => self.retry(state, who),
            Action::Late(place) => {
                let command = state.store.late.remove(place);
                state.execute(command);
            }
            Action::Deliver(who) => self.deliver(state, who),
            Action::Ping(who) => {
                let base = state.executed;
                state.at_mut(who).link.queue.push(Push::Pong { base });
            }
            Action::Reconnect(who) => self.reconnect(state, who),
            Action::Die(who) => {
                state.left.deaths -= 1;
                state.at_mut(who).link.dead = true;
            }
            Action::Second => {
                state.aged = state.executed.max(state.owed);
                let aged = state.aged;
                state.a.age(aged, self.mutant);
                state.b.age(aged, self.mutant);
            }
            Action::LoseGeneration => {
                state.left.losses -= 1;
                state.drop_generation(0);
            }
            Action::LoseEntry => {
                state.left.losses -= 1;
                state.store.keys.entry = None;
            }
            Action::RestartEmpty => self.restart(state, Keys::default()),
            Action::RestartOld => self.restart(state, state.store.on_disk),
            Action::RestartSame | Action::Failover => self.restart(state, state.store.keys),
            Action::Kill(who) => kill(state, who),
            Action::WritePast => {
                state.left.writes -= 1;
                state.committed += 1;
                state.owed = state.committed;
            }
        }
        Some(())
    }

    /// A read begins: the generation is read, and made where there is none.
    fn begin(self, state: &mut State, who: Who, store: bool) {
        state.left.reads -= 1;
        let run = state.store.run;
        let replica = state.at_mut(who);
        let (promised, epoch, stamp) = (replica.promised, replica.epoch, replica.stamp);
        let void = replica.is_void();
        let read = |at| Read { promised, epoch, stamp, at };
        if void || !store {
            state.left.give_ups -= u8::from(!void);
            return self.fly(state, who, read(At::Failed), None);
        }
        if let Some(generation) = self.valid(state.store.keys.generation, run) {
            state.at_mut(who).reads.push(read(At::Entry { generation, run }));
        } else if state.store.keys.generation.is_some() {
            state.at_mut(who).reads.push(read(At::Replace));
        } else {
            self.establish(state, who, read(At::Replace));
        }
    }

    fn establish(self, state: &mut State, who: Who, read: Read) {
        state.store.establish();
        let found = self.valid(state.store.keys.generation, state.store.run);
        self.fly(state, who, read, found);
    }

    fn valid(self, token: Option<Token>, run: u8) -> Option<Token> {
        token.filter(|token| token.run == run || self.mutant == Some(Mutant::ForeignGeneration))
    }

    /// The next command of a read is executed, or its replies come.
    fn advance(self, state: &mut State, who: Who, place: usize) -> Option<()> {
        let read = *state.at(who).reads.get(place)?;
        state.at_mut(who).reads.remove(place);
        match read.at {
            At::Entry { generation, run } => {
                let ignores = self.mutant == Some(Mutant::NoGenerationCheck);
                match state.store.keys.entry.filter(|(token, _)| *token == generation || ignores) {
                    Some((_, version)) => {
                        serve(state, who, version, read.promised.with_store, "the store");
                        state.at_mut(who).reads.push(Read { at: At::Keep { version, run }, ..read });
                    }
                    None => self.fly(state, who, read, Some(generation)),
                }
            }
            At::Keep { version, run } => state.at_mut(who).keep_near(version, read.stamp, run, self.mutant),
            At::Replace => {
                state.drop_generation(0);
                self.establish(state, who, read);
            }
            At::Failed => self.fly(state, who, read, None),
        }
        Some(())
    }

    /// The budget is spent. What was sent may be executed later.
    fn give_up(self, state: &mut State, who: Who, place: usize) {
        state.left.give_ups -= 1;
        let read = state.at_mut(who).reads.remove(place);
        if read.at == At::Replace {
            state.store.late.push(Command::Delete { covers: 0 });
        }
        self.fly(state, who, read, None);
    }

    fn fly(self, state: &mut State, who: Who, read: Read, generation: Option<Token>) {
        let (base, promised) = (state.executed, read.promised);
        let due = if generation.is_some() { promised.with_store } else { promised.always };
        if let Some(version) = state.at_mut(who).fly(&read, generation, base, self.mutant) {
            serve(state, who, version, due, "a flight that began before");
        }
        if self.gap != Some(Gap::UpstreamCache) {
            state.at_mut(who).flights.iter_mut().for_each(|flight| flight.promised = 0);
        }
    }

    fn land(self, state: &mut State, who: Who, place: usize) -> Option<()> {
        let replica = state.at_mut(who);
        let flight = *replica.flights.get(place)?;
        replica.flights.remove(place);
        let version = flight.fetched?;
        let current = flight.epoch == replica.epoch || self.mutant == Some(Mutant::PutsAcrossOwnWrite);
        if let Some(mut token) = flight.generation.filter(|_| current) {
            replica.keep_near(version, flight.stamp, token.run, self.mutant);
            if self.mutant == Some(Mutant::PutsUnderPresentGeneration) {
                state.store.establish();
                token = state.store.keys.generation.unwrap_or(token);
            }
            state.store.late.push(Command::Put { entry: (token, version) });
        }
        Some(())
    }

    fn write(self, state: &mut State, place: usize, act: impl Fn(&mut State, &mut Write)) -> Option<()> {
        let mut write = *state.writes.get(place)?;
        act(state, &mut write);
        *state.writes.get_mut(place)? = write;
        Some(())
    }

    fn commit(self, state: &mut State, place: usize) -> Option<()> {
        state.committed += 1;
        let version = state.committed;
        let write = state.writes.get_mut(place)?;
        write.version = version;
        if write.at == Writing::Forgotten {
            state.writes.remove(place);
            state.owed = version;
        }
        Some(())
    }

    /// The upstream's answer has ended.
    fn end(self, state: &mut State, place: usize) -> Option<()> {
        let write = *state.writes.get(place)?;
        if write.at == Writing::Answering && self.mutant == Some(Mutant::VoidsOnlyBeforeFirstByte) {
            state.writes.remove(place);
            finish(state, write);
            return Some(());
        }
        self.write(state, place, |state, write| self.void(state, write, true))
    }

    /// Here at once; the store is asked.
    fn void(self, state: &mut State, write: &mut Write, last: bool) {
        let replica = state.at_mut(write.via);
        let epoch = replica.begin_void(self.mutant);
        if last {
            replica.covers = replica.covers.max(write.version);
        }
        write.at = Writing::Voiding { last, epoch, covers: replica.covers };
    }

    /// The store has acknowledged, or was not waited for any longer.
    fn voided(self, state: &mut State, place: usize, acknowledged: bool) -> Option<()> {
        let write = state.writes.get_mut(place)?;
        let Writing::Voiding { last, epoch, .. } = write.at else { return None };
        write.at = Writing::Answering;
        let write = *write;
        let replica = state.at_mut(write.via);
        if acknowledged || self.mutant == Some(Mutant::AnswersUnacknowledged) {
            replica.acknowledged(epoch);
        } else {
            replica.owes = true;
        }
        if last {
            if write.version == 0 {
                state.writes.get_mut(place)?.at = Writing::Forgotten;
                return Some(());
            }
            state.writes.remove(place);
            if !acknowledged && self.gap == Some(Gap::StoreUnreachable) {
                state.owed = write.version;
            }
            finish(state, write);
        }
        Some(())
    }

    fn retry(self, state: &mut State, who: Who) {
        let replica = state.at_mut(who);
        match replica.retry {
            Retry::Idle => {
                replica.retry = Retry::Executed { epoch: replica.epoch };
                let covers = replica.covers;
                state.drop_generation(covers);
            }
            Retry::Executed { epoch } => {
                let later = self.mutant == Some(Mutant::RetryNamesLaterEpoch);
                replica.acknowledged(if later { replica.epoch } else { epoch });
                replica.retry = Retry::Idle;
                replica.owes = replica.is_void();
            }
        }
    }

    fn deliver(self, state: &mut State, who: Who) {
        let (aged, executed) = (state.aged, state.executed);
        let replica = state.at_mut(who);
        if replica.link.queue.is_empty() {
            return;
        }
        match replica.link.queue.remove(0) {
            Push::Gone { covers } => {
                replica.bump_stamp();
                replica.promised.raise(covers);
            }
            Push::Pong { base } => {
                let base = if self.mutant == Some(Mutant::LeaseFromPong) { executed } else { base };
                replica.lease = Some(base).filter(|base| *base >= aged).max(replica.lease);
            }
        }
    }

    fn reconnect(self, state: &mut State, who: Who) {
        let (run, executed) = (state.store.run, state.executed);
        let replica = state.at_mut(who);
        replica.link = Link::to(run);
        replica.lease = None;
        if self.mutant != Some(Mutant::ReconnectKeepsNear) {
            replica.bump_stamp();
        }
        // What was deleted before is no longer there to be read.
        replica.promised.raise(executed);
    }

    /// Another server process, with these keys. All connections break; in a failover the old process lives on, and
    /// tracking connections to it do.
    fn restart(self, state: &mut State, keys: Keys) {
        state.left.restarts -= 1;
        state.store.run += 1;
        state.store.keys = keys;
        state.store.late.clear();
        let tracked = self.gap == Some(Gap::SplitBrain);
        for replica in [&mut state.a, &mut state.b] {
            replica.link.dead = !tracked;
            for read in &mut replica.reads {
                if matches!(read.at, At::Entry { .. }) {
                    read.at = At::Failed;
                }
            }
        }
        while let Some(place) =
            state.writes.iter().position(|write| matches!(write.at, Writing::Voiding { .. }))
        {
            if self.voided(state, place, false).is_none() {
                return;
            }
        }
    }
}

/// A read ends.
fn serve(state: &mut State, who: Who, got: Version, promised: Version, from: &'static str) {
    if got < promised {
        state.broken = Some(Broken { who, got, promised, from });
    }
}

/// The client has the whole answer to its write.
fn finish(state: &mut State, write: Write) {
    let replica = state.at_mut(write.via);
    replica.promised.raise(write.version);
}

/// A replica's process ends and another one takes its place.
fn kill(state: &mut State, who: Who) {
    let mut fresh = Replica::new(None);
    fresh.link = Link::to(state.store.run);
    fresh.lease = None;
    fresh.promised = state.at(who).promised;
    let unanswered = state.writes.iter().filter(|write| write.via == who).map(|write| write.version).max();
    state.owed = state.owed.max(unanswered.unwrap_or(0));
    state.writes.retain(|write| write.via != who);
    *state.at_mut(who) = fresh;
}
