//! What each step does.

use super::{Action, Admission, At, Bearer, Flight, LIMIT, Lapse, Name, Question, Read, State, Ticket, Word};

impl Admission {
    /// `None` where there is nothing at that place.
    pub(super) fn step(self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Begin { bearer, hit } => {
                state.left.reads -= 1;
                let ticket = state.ticket(bearer);
                let (refusals, at) = (state.token(bearer).refusals, if hit { At::Hit } else { At::Miss });
                state.reads.push(Read { bearer, ticket, refusals, at });
            }
            Action::Go(place) => {
                let read = *state.reads.get(place)?;
                state.reads.remove(place);
                match read.at {
                    At::Hit if state.is_vouched(read.ticket) => state.serve(&read, read.ticket, false),
                    At::Hit => state.ask(read, None),
                    At::Miss => self.miss(state, read, false),
                    At::Waiting { flight, asked } => self.landed(state, read, flight, asked)?,
                    At::Asking { .. } => return None,
                }
            }
            Action::Hear(place, word) => {
                let read = *state.reads.get(place)?;
                state.reads.remove(place);
                let At::Asking { question, then } = read.at else { return None };
                self.hear(state, question, word);
                match (word, then) {
                    (Word::Yes, None) => state.serve(&read, read.ticket, true),
                    (Word::Yes, Some(flight)) => {
                        state.reads.push(Read { at: At::Waiting { flight, asked: true }, ..read });
                    }
                    // It is told what its own token was told.
                    _ => {}
                }
            }
            Action::Land(place, word) => {
                let flight = state.flights.get_mut(place)?;
                flight.landed = Some(word);
                let question = flight.leader;
                self.hear(state, question, word);
            }
            Action::Refuse(bearer, word) => self.refused(state, bearer, word),
            Action::Tick => {
                state.left.ticks -= 1;
                state.now += 1;
            }
        }
        Some(())
    }

    /// Joins or leads; whoever is not vouched for and leads nothing asks meanwhile.
    fn miss(self, state: &mut State, read: Read, alone: bool) {
        let name = read.ticket.name;
        let joined = state
            .flights
            .iter()
            .filter(|flight| flight.landed.is_none() && flight.alone == alone)
            .map(|flight| (flight.number, flight.leader.ticket.name))
            .find(|(_, leader)| !alone || *leader == name);
        let (flight, leader) = joined.unwrap_or_else(|| {
            let number = state.next_flight;
            state.next_flight += 1;
            let leader = state.question(read);
            state.flights.push(Flight { number, leader, alone, landed: None });
            (number, name)
        });
        let on_leaders_yes = self.lapse == Some(Lapse::LeadersYesForAll);
        if leader == name || on_leaders_yes || state.is_vouched(read.ticket) {
            state.reads.push(Read { at: At::Waiting { flight, asked: false }, ..read });
        } else {
            state.ask(read, Some(flight));
        }
    }

    /// The flight that this read waited for has landed.
    fn landed(self, state: &mut State, read: Read, flight: u8, asked: bool) -> Option<()> {
        let flight = *state.flights.iter().find(|other| other.number == flight)?;
        if flight.landed != Some(Word::Yes) {
            let own = flight.leader.ticket.name == read.ticket.name;
            if !own && self.lapse != Some(Lapse::RefusalForAll) {
                self.miss(state, read, true);
            } else if flight.leader.bearer != read.bearer {
                state.broken = Some("a caller is told what another's token was told");
            }
            return Some(());
        }
        let refusals = state.token(read.bearer).refusals;
        let read = Read { refusals, ..read };
        let early = asked && self.lapse == Some(Lapse::EarlyYesIsEnough);
        if early || self.lapse == Some(Lapse::LeadersYesForAll) {
            state.serve(&read, read.ticket, asked);
            return Some(());
        }
        let old = self.lapse == Some(Lapse::StandingAsOfTheBeginning);
        let ticket = if old { read.ticket } else { state.ticket(read.bearer) };
        if state.is_vouched(ticket) {
            state.serve(&read, ticket, false);
        } else {
            state.ask(Read { ticket, ..read }, None);
        }
        Some(())
    }

    /// What an answer says of its token, whoever still waits for it.
    fn hear(self, state: &mut State, question: Question, word: Word) {
        if word != Word::Yes {
            return self.refused(state, question.bearer, word);
        }
        let (now, ticket) = (state.now, question.ticket);
        let token = state.token_mut(question.bearer);
        token.cleared = token.cleared.max(question.refusals);
        token.yes_sent = token.yes_sent.max(Some(question.sent));
        let late = self.lapse == Some(Lapse::LateAnswerVouches);
        let name = token.record.filter(|_| late).unwrap_or(ticket.name);
        let from = if self.lapse == Some(Lapse::CountsFromTheAnswer) { now } else { ticket.taken };
        state.yes.push((name, from + LIMIT));
    }

    /// The upstream refused this token, whatever it was asked.
    fn refused(self, state: &mut State, bearer: Bearer, word: Word) {
        state.left.refusals -= 1;
        let another = if bearer == Bearer::One { Bearer::Other } else { Bearer::One };
        let before = state.standing(another);
        let token = state.token_mut(bearer);
        token.refusals += 1;
        match word {
            Word::Unauthorized if self.lapse != Some(Lapse::IgnoresUnauthorized) => token.record = None,
            Word::Forbidden if self.lapse != Some(Lapse::IgnoresForbidden) => {
                token.record.iter_mut().for_each(|record| record.forgotten += 1);
            }
            _ => {}
        }
        if word == Word::Unauthorized && self.lapse == Some(Lapse::ForgetsEverybody) {
            state.token_mut(another).record = None;
        }
        if state.standing(another) != before {
            state.broken = Some("an answer to one token changes another's standing");
        }
    }
}

impl State {
    /// Names the token's standing now; makes its record where there is none.
    fn ticket(&mut self, bearer: Bearer) -> Ticket {
        let fresh = Name { number: self.next, forgotten: 0 };
        let record = &mut self.token_mut(bearer).record;
        let name = *record.get_or_insert(fresh);
        self.next += u8::from(name == fresh);
        Ticket { name, taken: self.now }
    }

    /// Sent now, with the read's ticket.
    fn question(&self, read: Read) -> Question {
        let Read { bearer, ticket, .. } = read;
        Question { bearer, ticket, sent: self.now, refusals: self.token(bearer).refusals }
    }

    fn ask(&mut self, read: Read, then: Option<u8>) {
        let question = self.question(read);
        self.reads.push(Read { at: At::Asking { question, then }, ..read });
    }

    fn is_vouched(&self, ticket: Ticket) -> bool {
        self.yes.iter().any(|(name, until)| *name == ticket.name && *until > ticket.taken)
    }

    fn standing(&self, bearer: Bearer) -> Option<(Name, bool)> {
        let name = self.token(bearer).record?;
        Some((name, self.is_vouched(Ticket { name, taken: self.now })))
    }

    /// Cached bytes go to this caller; `asked`: on a yes to its own question, or else on a remembered one that
    /// was found with `ticket`.
    fn serve(&mut self, read: &Read, ticket: Ticket, asked: bool) {
        let token = self.token(read.bearer);
        let (cleared, yes_sent) = (token.cleared, token.yes_sent);
        if cleared < read.refusals {
            self.broken = Some(
                "cached bytes go to a caller whose token was refused, and no question since was answered with yes",
            );
        } else if yes_sent.is_none() {
            self.broken = Some("cached bytes go to a caller whose token the upstream has never accepted");
        } else if !asked && yes_sent.is_none_or(|sent| sent + LIMIT <= ticket.taken) {
            self.broken = Some("cached bytes go out on a vouch that is over");
        }
    }
}
