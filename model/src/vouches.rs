//! The vouches: who is given a shared entry, on which word of the upstream's. Two tokens, one route, one key.
//!
//! Whether there is an entry is left open: each read may hit or miss. So is what the upstream answers: it may change
//! its mind about a token at any time, and the proxy knows only what it has heard, and what it sent after that.

mod step;
pub(crate) mod tell;

use stateright::{Model, Property};

use crate::{replica::sorted, store::rank};

/// Ticks for which a yes counts.
pub(crate) const LIMIT: u8 = 1;

/// A rule of the vouches that is left out. Each must be seen to break one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lapse {
    /// A 401 does not end the token's vouches.
    IgnoresUnauthorized,
    /// A 403 does not end those of the route.
    IgnoresForbidden,
    /// A 401 ends everybody's.
    ForgetsEverybody,
    /// A yes is remembered under the name that the token has when it comes.
    LateAnswerVouches,
    /// A yes counts from when it came.
    CountsFromTheAnswer,
    /// Who joined a flight is served on its leader's yes.
    LeadersYesForAll,
    /// Who was vouched for when he joined is not looked up again when the flight lands.
    StandingAsOfTheBeginning,
    /// Who asked while the flight flew is not looked up again when it lands.
    EarlyYesIsEnough,
    /// A refusal of the leader goes to all who wait.
    RefusalForAll,
}

impl Lapse {
    pub(crate) const ALL: [Self; 9] = [
        Self::IgnoresUnauthorized,
        Self::IgnoresForbidden,
        Self::ForgetsEverybody,
        Self::LateAnswerVouches,
        Self::CountsFromTheAnswer,
        Self::LeadersYesForAll,
        Self::StandingAsOfTheBeginning,
        Self::EarlyYesIsEnough,
        Self::RefusalForAll,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Bearer {
    One,
    Other,
}

/// How much may happen in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Limits {
    pub(crate) reads: u8,
    /// Refusals that are heard.
    pub(crate) refusals: u8,
    /// Times that a vouch's time passes.
    pub(crate) ticks: u8,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Admission {
    pub(crate) limits: Limits,
    pub(crate) lapse: Option<Lapse>,
}

/// What the upstream says to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Word {
    Yes,
    Unauthorized,
    Forbidden,
}

/// Under what a yes is remembered: the number of the token's record, and how often the route was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) number: u8,
    pub(crate) forgotten: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ticket {
    pub(crate) name: Name,
    pub(crate) taken: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token {
    /// The proxy's record; a 401 drops it.
    pub(crate) record: Option<Name>,
    /// Refusals heard so far.
    pub(crate) refusals: u8,
    /// So many of them had been heard when a question was sent that was answered with yes.
    pub(crate) cleared: u8,
    /// When the last question was sent that was answered with yes.
    pub(crate) yes_sent: Option<u8>,
}

/// A question on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Question {
    pub(crate) bearer: Bearer,
    pub(crate) ticket: Ticket,
    pub(crate) sent: u8,
    /// Refusals of the token heard when it was sent.
    pub(crate) refusals: u8,
}

/// A fill. It is the leader's question, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Flight {
    pub(crate) number: u8,
    pub(crate) leader: Question,
    /// For callers with the leader's name alone.
    pub(crate) alone: bool,
    /// What its leader was told.
    pub(crate) landed: Option<Word>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Read {
    pub(crate) bearer: Bearer,
    pub(crate) ticket: Ticket,
    /// Refusals heard before it began or, where it waited for a flight, before that landed.
    pub(crate) refusals: u8,
    pub(crate) at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum At {
    /// There is an entry.
    Hit,
    /// There is none.
    Miss,
    /// Its own question is on its way; then it waits for this flight, or is served.
    Asking {
        question: Question,
        then: Option<u8>,
    },
    Waiting {
        flight: u8,
        asked: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) now: u8,
    pub(crate) one: Token,
    pub(crate) other: Token,
    pub(crate) next: u8,
    pub(crate) next_flight: u8,
    /// Remembered: under which name, until when.
    pub(crate) yes: Vec<(Name, u8)>,
    pub(crate) flights: Vec<Flight>,
    pub(crate) reads: Vec<Read>,
    pub(crate) left: Limits,
    pub(crate) broken: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Begin {
        bearer: Bearer,
        hit: bool,
    },
    /// The read does what it can do next.
    Go(usize),
    /// The answer to a read's question is here.
    Hear(usize, Word),
    /// A fill ends; the leader was told this.
    Land(usize, Word),
    /// A request that was only passed on is refused.
    Refuse(Bearer, Word),
    Tick,
}

impl State {
    fn new(left: Limits) -> Self {
        let token = Token { record: None, refusals: 0, cleared: 0, yes_sent: None };
        Self {
            now: 0,
            one: token,
            other: token,
            next: 0,
            next_flight: 0,
            yes: Vec::new(),
            flights: Vec::new(),
            reads: Vec::new(),
            left,
            broken: None,
        }
    }

    pub(crate) fn token(&self, bearer: Bearer) -> &Token {
        match bearer {
            Bearer::One => &self.one,
            Bearer::Other => &self.other,
        }
    }

    pub(crate) fn token_mut(&mut self, bearer: Bearer) -> &mut Token {
        match bearer {
            Bearer::One => &mut self.one,
            Bearer::Other => &mut self.other,
        }
    }

    /// Names and numbers that nobody knows any more go; the rest keep their order.
    fn normalise(&mut self) {
        if self.left.reads == 0 && self.reads.is_empty() {
            // Nothing is left that could go wrong: all such states are one.
            *self = Self { broken: self.broken, ..Self::new(Limits::default()) };
            return;
        }
        let waited: Vec<u8> = self.reads.iter().filter_map(|read| read.at.flight()).collect();
        self.flights.retain(|flight| flight.landed.is_none() || waited.contains(&flight.number));
        let known: Vec<Name> = [self.one.record, self.other.record]
            .into_iter()
            .flatten()
            .chain(self.reads.iter().map(|read| read.ticket.name))
            .chain(self.flights.iter().map(|flight| flight.leader.ticket.name))
            .collect();
        let oldest = self.reads.iter().map(|read| read.ticket.taken).min().unwrap_or(self.now).min(self.now);
        self.yes.retain(|(name, until)| known.contains(name) && *until > oldest);
        self.yes.sort_unstable();
        self.yes.dedup();
        let numbers = sorted(known.iter().map(|name| name.number).collect());
        let flights = sorted(self.flights.iter().map(|flight| flight.number).collect());
        self.rename(&numbers, &flights);
        for bearer in [Bearer::One, Bearer::Other] {
            self.rank_refusals(bearer);
        }
        self.reads.sort_unstable();
    }

    fn rename(&mut self, numbers: &[u8], flights: &[u8]) {
        let rename = |name: &mut Name| name.number = rank(name.number, numbers);
        self.one.record.iter_mut().for_each(rename);
        self.other.record.iter_mut().for_each(rename);
        self.yes.iter_mut().for_each(|(name, _)| rename(name));
        for flight in &mut self.flights {
            flight.number = rank(flight.number, flights);
            rename(&mut flight.leader.ticket.name);
        }
        for read in &mut self.reads {
            rename(&mut read.ticket.name);
            match &mut read.at {
                At::Waiting { flight, .. } => *flight = rank(*flight, flights),
                At::Asking { question, then } => {
                    rename(&mut question.ticket.name);
                    then.iter_mut().for_each(|flight| *flight = rank(*flight, flights));
                }
                At::Hit | At::Miss => {}
            }
        }
        self.next = rank(self.next, numbers);
        self.next_flight = rank(self.next_flight, flights);
    }

    /// Of the counts of a token's refusals only the order matters.
    fn rank_refusals(&mut self, bearer: Bearer) {
        let token = match bearer {
            Bearer::One => &mut self.one,
            Bearer::Other => &mut self.other,
        };
        let mut counts = vec![&mut token.refusals, &mut token.cleared];
        for flight in self.flights.iter_mut().filter(|flight| flight.leader.bearer == bearer) {
            counts.push(&mut flight.leader.refusals);
        }
        for read in self.reads.iter_mut().filter(|read| read.bearer == bearer) {
            counts.push(&mut read.refusals);
            if let At::Asking { question, .. } = &mut read.at {
                counts.push(&mut question.refusals);
            }
        }
        let order = sorted(counts.iter().map(|count| **count).collect());
        counts.into_iter().for_each(|count| *count = rank(*count, &order));
    }
}

impl At {
    fn flight(self) -> Option<u8> {
        match self {
            Self::Waiting { flight, .. } => Some(flight),
            Self::Asking { then, .. } => then,
            Self::Hit | Self::Miss => None,
        }
    }
}

impl Model for Admission {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.limits)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        let words: &[Word] = match state.left.refusals {
            0 => &[Word::Yes],
            _ => &[Word::Yes, Word::Unauthorized, Word::Forbidden],
        };
        for bearer in [Bearer::One, Bearer::Other] {
            // The first read is token 1's: the tokens are alike.
            if state.left.reads > 0 && (bearer == Bearer::One || state.left.reads < self.limits.reads) {
                actions.extend([true, false].map(|hit| Action::Begin { bearer, hit }));
            }
            let refusals = words.iter().filter(|word| **word != Word::Yes);
            actions.extend(refusals.map(|word| Action::Refuse(bearer, *word)));
        }
        for (place, read) in state.reads.iter().enumerate() {
            match read.at {
                At::Asking { .. } => actions.extend(words.iter().map(|word| Action::Hear(place, *word))),
                At::Waiting { flight, .. } => {
                    if state.flights.iter().any(|other| other.number == flight && other.landed.is_some()) {
                        actions.push(Action::Go(place));
                    }
                }
                At::Hit | At::Miss => actions.push(Action::Go(place)),
            }
        }
        for (place, _) in state.flights.iter().enumerate().filter(|(_, flight)| flight.landed.is_none()) {
            actions.extend(words.iter().map(|word| Action::Land(place, *word)));
        }
        if state.left.ticks > 0 {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        self.step(&mut state, action)?;
        state.normalise();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("promised", |_: &Self, state: &State| state.broken.is_none())]
    }
}
