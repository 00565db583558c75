//! A step in words, for a trace.

use super::{Action, At, Bearer, State, Word};

/// What happened from `before`, in one line.
pub(crate) fn tell(before: &State, action: Action, after: &State) -> String {
    match action {
        Action::Begin { bearer, hit } => {
            let entry = if hit { "an entry" } else { "no entry" };
            format!("a read with {} begins; there is {entry}", name(bearer))
        }
        Action::Go(place) => match before.reads.get(place).map(|read| (read.bearer, read.at)) {
            Some((bearer, at)) => go(bearer, at, after.reads.len() < before.reads.len()),
            None => String::new(),
        },
        Action::Hear(place, word) => match before.reads.get(place).map(|read| (read.bearer, read.at)) {
            Some((bearer, At::Asking { then, .. })) => {
                let next = match (word, then) {
                    (Word::Yes, None) => "the read is served",
                    (Word::Yes, Some(_)) => "the read waits for its flight",
                    _ => "the read is told so",
                };
                format!("the answer to {}'s question is here: {}; {next}", name(bearer), said(word))
            }
            _ => String::new(),
        },
        Action::Land(place, word) => before.flights.get(place).map_or_else(String::new, |flight| {
            format!("{}'s fill ends; it was told: {}", name(flight.leader.bearer), said(word))
        }),
        Action::Refuse(bearer, word) => {
            format!("another request with {} was passed on and is answered with {}", name(bearer), said(word))
        }
        Action::Tick => "a vouch's time passes".to_owned(),
    }
}

/// What was broken in the last state of a trace.
pub(crate) fn outcome(last: &State) -> String {
    format!("=> {}", last.broken.unwrap_or("nothing is broken"))
}

fn go(bearer: Bearer, at: At, ends: bool) -> String {
    let name = name(bearer);
    match (at, ends) {
        (At::Hit, true) => format!("{name} is vouched for: its read is served"),
        (At::Hit, false) => format!("{name} is not vouched for: it asks"),
        (At::Miss, _) => {
            format!("{name}'s read joins or leads a flight, and asks where nobody vouches for it")
        }
        (_, true) => format!("{name}'s read waited for a flight that landed: it is answered"),
        (_, false) => {
            format!("{name}'s read waited for a flight that landed: it must ask or fill for itself")
        }
    }
}

fn name(bearer: Bearer) -> &'static str {
    match bearer {
        Bearer::One => "token 1",
        Bearer::Other => "token 2",
    }
}

fn said(word: Word) -> &'static str {
    match word {
        Word::Yes => "yes",
        Word::Unauthorized => "401",
        Word::Forbidden => "403",
    }
}
