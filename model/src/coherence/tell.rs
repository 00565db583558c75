//! A step in words, for a trace.

use super::{Action, State, Write, Writing};
use crate::{
    replica::{At, Retry},
    store::Push,
};

/// What happened from `before` to `after`, in one line.
pub(crate) fn tell(before: &State, action: Action, after: &State) -> String {
    let generation =
        || after.store.keys.generation.map_or_else(|| "none".to_owned(), |token| token.to_string());
    match action {
        Action::Begin(who) => {
            let replica = before.at(who);
            let found = match before.store.keys.generation {
                _ if replica.is_void() => "the route is void there: a flight that stores nothing".to_owned(),
                None => format!("no generation; SET NX: {}; joins or leads a flight", generation()),
                Some(token) if token.run == before.store.run => format!("the generation is {token}"),
                Some(token) => format!("the generation is {token}, another server's"),
            };
            let due = replica.promised.with_store;
            format!("a read begins through {who}, which is promised v{due}: {found}")
        }
        Action::BeginWithoutStore(who) => {
            let promised = before.at(who).promised.always;
            format!(
                "a read begins through {who}, which is promised v{promised}; the store does not answer it: a flight that stores nothing"
            )
        }
        Action::Advance(who, place) => {
            let at = before.at(who).reads.get(place).map(|read| read.at);
            format!("{who}'s read: {}", at.map_or_else(String::new, |at| advance(at, before, &generation())))
        }
        Action::GiveUp(who, _) => {
            format!("{who}'s read waits for the store no longer: a flight that stores nothing")
        }
        Action::Fetch(who, _) => {
            format!("{who}'s flight asks the upstream, which answers v{}", before.committed)
        }
        Action::FetchOld(who, _) => {
            let old = before.committed.saturating_sub(1);
            format!("{who}'s flight asks the upstream, which answers v{old} from a cache of its own")
        }
        Action::Land(who, place) => {
            let flight = before.at(who).flights.get(place);
            let version = flight.and_then(|flight| flight.fetched).unwrap_or(0);
            let sent = after.store.late.len() > before.store.late.len();
            let put = if sent { " and sends the entry to the store" } else { ", which is not stored" };
            format!("{who}'s flight lands with v{version}{put}")
        }
        Action::SendAndCommit(who) => {
            format!("a write is sent through {who}; the upstream commits it as v{}", after.committed)
        }
        Action::SendAndHead(who) => {
            format!(
                "a write is sent through {who}; the upstream begins its answer and has not committed; {who} sends DEL"
            )
        }
        Action::Commit(_) => format!("the upstream commits the write as v{}", after.committed),
        Action::Head(place) => {
            writing(before, place, "the upstream's answer begins; DEL is sent before its first byte goes on")
        }
        Action::Whole(place) => {
            writing(before, place, "the upstream's answer is here, whole; DEL is sent before it goes on")
        }
        Action::End(place) => {
            writing(before, place, "the upstream's answer ends; DEL is sent before its last byte goes on")
        }
        Action::Fail(place) => writing(before, place, "the upstream answers 5xx, which goes to the client"),
        Action::Execute(place) => {
            writing(before, place, &format!("the store executes that DEL and says so{}", then(before, place)))
        }
        Action::GiveUpVoid(place) => {
            writing(before, place, &format!("it waits for the store no longer{}", then(before, place)))
        }
        Action::Retry(who) => match before.at(who).retry {
            Retry::Idle => format!("{who} sends DEL again; the store executes it"),
            Retry::Executed { .. } => format!("the reply to {who}'s repeated DEL is here"),
        },
        Action::Late(place) => {
            let command = before.store.late.get(place).map(|command| command.tell());
            format!("the store executes the {}", command.unwrap_or_default())
        }
        Action::Deliver(who) => match before.at(who).link.queue.first() {
            Some(Push::Gone { .. }) => format!("the push reaches {who}: near is dropped"),
            _ => format!("the PONG reaches {who}: its lease goes on"),
        },
        Action::Ping(who) => format!("{who} sends a PING on its tracking connection; the server answers"),
        Action::Reconnect(who) => format!("{who} opens a new tracking connection"),
        Action::Die(who) => format!("{who}'s tracking connection dies silently"),
        Action::Second => "a second passes".to_owned(),
        Action::LoseGeneration => "the store loses the generation".to_owned(),
        Action::LoseEntry => "the store loses the entry".to_owned(),
        Action::RestartEmpty => "the store restarts, empty".to_owned(),
        Action::RestartOld => "the store restarts with old data".to_owned(),
        Action::RestartSame => "the store restarts with its data".to_owned(),
        Action::Failover => "another server takes over with the same data; the old one lives on".to_owned(),
        Action::Kill(who) => format!("{who} is killed and started anew"),
        Action::WritePast => format!("a write past the proxy: the upstream commits v{}", after.committed),
    }
}

/// What was broken in the last state of a trace.
pub(crate) fn outcome(model: super::Coherence, last: &State) -> String {
    let Some(broken) = last.broken.or_else(|| last.broken_near(model.mutant)) else {
        return "nothing is broken".to_owned();
    };
    let super::Broken { who, got, promised, from } = broken;
    format!("=> a read through {who} is answered from {from} with v{got}, where v{promised} was due")
}

fn advance(at: At, before: &State, generation: &str) -> String {
    match at {
        At::Entry { .. } => match before.store.keys.entry {
            Some((token, version)) => format!("GET of the entry: v{version} under {token}"),
            None => "GET of the entry: none; joins or leads a flight".to_owned(),
        },
        At::Keep { version, .. } => format!("it has its answer; v{version} is kept near"),
        At::Replace => {
            format!("DEL of another server's generation, SET NX: {generation}; joins or leads a flight")
        }
        At::Failed => "its connection broke: a flight that stores nothing".to_owned(),
    }
}

fn writing(before: &State, place: usize, what: &str) -> String {
    before.writes.get(place).map_or_else(String::new, |Write { via, .. }| format!("{via}'s write: {what}"))
}

fn then(before: &State, place: usize) -> &'static str {
    match before.writes.get(place).map(|write| write.at) {
        Some(Writing::Voiding { last: true, .. }) => "; the client has the whole answer",
        _ => "; the answer's first bytes go on",
    }
}
