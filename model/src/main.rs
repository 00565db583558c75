//! What the cache promises after a write, and whom it gives an entry, as models that are explored whole.
//!
//! A model is the protocol without everything else: its state is small, its steps are those that other steps may
//! come between, and the checker goes through every order of them within some bounds. `make model` runs it.
//!
//! **Modelled** ([`coherence`]): an upstream that counts its writes and may begin an answer before it commits; a
//! store whose commands are executed in steps of their own, late or never, that loses keys and restarts empty, with
//! old data or with its data; two replicas with own epochs, voiding and its repetition, reads in several commands,
//! flights, puts, near copies with a stamp, tracking connections with pushes and PONGs in order, and leases.
//! ([`vouches`]): tickets, questions, fills as questions, joiners, and an upstream that changes its mind.
//!
//! **Promised**, after a write's answer has ended: (1) every read that begins later through the same replica gives
//! that write or a newer one; (2) so does one through another replica that begins after the push was applied there;
//! (3) and, whatever became of the push, one that begins a second after the store has executed the `DEL`. A `DEL` that
//! finds no generation is pushed to nobody: (2) then holds for reads that near or the store answers, and for
//! the rest (3).
//!
//! **Abstracted away**: keys (one route with one key), contents, ttl and expiry (a key may go away at any time),
//! the breaker (a store that is not asked is one that does not answer), admission (it has a model of its own), pages.
//! Time is only order: "a second passes" ends what began before the `DEL` that it is counted from – leases, and the
//! joining of flights without a generation. Pushes for puts and new generations are left out: they only drop
//! copies. A read takes a near copy or not. Steps that nothing can tell from one are one: a read begins with its
//! first command, a `SET NX` and the `GET` behind it, a `DEL` and its reply. One server at a time, but for the
//! trace of a split brain. A token that nobody can read any more takes its entries and puts with it, and a `DEL` that is
//! executed late after a later one does what the loss of a generation does. States are known by a hash of 64 bits.
//!
//! **Two rules for flights without a generation**, where nothing in the store tells what began before a write through
//! another replica: one is joined only under the stamp that its leader noted, and only in its first second. Without
//! them (`JoinsUnstoredAcrossPush`, `JoinsUnstoredForever`) promises 2 and 3 are broken.
//!
//! **Bounds**: the rows of the table. The first write goes through A, since the replicas are alike.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program whose output is a table")]

mod coherence;
mod mutants;
mod replica;
mod run;
mod store;
mod vouches;

use std::process::ExitCode;

use self::{
    coherence::{Bounds, Coherence},
    mutants::{Gap, Mutant},
    run::{Expect, Report},
    vouches::{Admission, Lapse, Limits},
};

/// Explored whole by `make model`.
const WHOLE: [Bounds; 9] = [
    bounds(3, 1, 0, 0, 0, 0),
    bounds(2, 2, 0, 0, 0, 0),
    bounds(2, 1, 2, 0, 0, 0),
    bounds(1, 2, 2, 0, 0, 0),
    bounds(2, 1, 1, 0, 0, 1),
    bounds(2, 1, 0, 1, 0, 0),
    bounds(1, 1, 1, 1, 0, 1),
    bounds(1, 2, 1, 0, 0, 1),
    bounds(2, 1, 0, 0, 1, 1),
];
/// With `--deep`, too: four minutes and some GB more.
const DEEP: [Bounds; 3] = [bounds(3, 1, 1, 0, 0, 0), bounds(2, 2, 0, 0, 0, 1), bounds(1, 2, 0, 1, 0, 0)];

const VOUCHES: [Limits; 2] =
    [Limits { reads: 3, refusals: 2, ticks: 1 }, Limits { reads: 2, refusals: 3, ticks: 2 }];

const fn bounds(reads: u8, writes: u8, give_ups: u8, restarts: u8, losses: u8, deaths: u8) -> Bounds {
    Bounds { reads, writes, give_ups, restarts, losses, deaths }
}

fn main() -> ExitCode {
    let deep = std::env::args().any(|argument| argument == "--deep");
    let mut report = Report::default();

    report.head("what is promised holds");
    for bounds in WHOLE.into_iter().chain(DEEP.into_iter().filter(|_| deep)) {
        let model = Coherence { bounds, ..Coherence::default() };
        report.coherence("coherence", model, Expect::Holds);
    }
    for limits in VOUCHES {
        report.vouches("vouches", Admission { limits, lapse: None }, Expect::Holds);
    }

    report.head("each rule left out breaks a promise");
    for mutant in Mutant::BREAKING {
        let model = Coherence { bounds: enough(mutant), mutant: Some(mutant), gap: None };
        report.coherence(&format!("{mutant:?}"), model, Expect::Breaks { show: false });
    }
    for lapse in Lapse::ALL {
        let limits = Limits { reads: 2, refusals: 2, ticks: 2 };
        report.vouches(
            &format!("{lapse:?}"),
            Admission { limits, lapse: Some(lapse) },
            Expect::Breaks { show: false },
        );
    }

    report.head("rules that are spare while there is one server at a time");
    for mutant in Mutant::SPARE {
        let model = Coherence { bounds: enough(mutant), mutant: Some(mutant), gap: None };
        report.coherence(&format!("{mutant:?}"), model, Expect::Holds);
    }

    report.head("not promised: the shortest way there");
    for gap in Gap::ALL {
        let model = Coherence { bounds: reach(gap), mutant: None, gap: Some(gap) };
        report.coherence(gap.what(), model, Expect::Breaks { show: true });
    }
    report.end()
}

/// Bounds within which the rule is needed. Each lies within one of [`WHOLE`], where with the rule all holds.
fn enough(mutant: Mutant) -> Bounds {
    match mutant {
        Mutant::JoinsAcrossOwnWrite | Mutant::AnswersUnacknowledged => bounds(2, 1, 1, 0, 0, 0),
        Mutant::JoinsUnstoredAcrossPush | Mutant::JoinsUnstoredForever | Mutant::RetryNamesLaterEpoch => {
            bounds(2, 1, 2, 0, 0, 0)
        }
        Mutant::PutsAcrossOwnWrite => bounds(2, 1, 2, 0, 0, 0),
        Mutant::ForeignGeneration => bounds(2, 1, 0, 1, 0, 0),
        Mutant::NearAcrossServers => bounds(1, 1, 1, 1, 0, 1),
        Mutant::ReconnectKeepsNear | Mutant::LeaseFromPong => bounds(2, 1, 0, 0, 0, 1),
        _ => bounds(2, 1, 0, 0, 0, 0),
    }
}

/// Bounds within which the gap is reached.
fn reach(gap: Gap) -> Bounds {
    match gap {
        Gap::StoreUnreachable | Gap::StartedAnew => bounds(2, 1, 1, 0, 0, 0),
        Gap::SplitBrain => bounds(1, 1, 0, 1, 0, 0),
        Gap::Killed | Gap::Past | Gap::UpstreamCache | Gap::LateCommit => bounds(2, 1, 0, 0, 0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_bounds_hold_and_every_gap_is_found() {
        let mut report = Report::default();
        let smallest = Coherence { bounds: bounds(1, 1, 0, 0, 0, 0), ..Coherence::default() };
        report.coherence("smallest", smallest, Expect::Holds);
        let limits = Limits { reads: 1, refusals: 1, ticks: 1 };
        report.vouches("smallest", Admission { limits, lapse: None }, Expect::Holds);
        for gap in Gap::ALL {
            let model = Coherence { bounds: reach(gap), mutant: None, gap: Some(gap) };
            report.coherence(gap.what(), model, Expect::Breaks { show: false });
        }
        assert_eq!(report.surprises(), 0);
    }

    #[test]
    fn what_is_not_as_expected_is_counted() {
        let mut report = Report::default();
        let broken = Coherence {
            bounds: bounds(1, 1, 0, 0, 0, 0),
            mutant: Some(Mutant::OwnWriteKeepsNear),
            ..Coherence::default()
        };
        report.coherence("broken", broken, Expect::Holds);
        let whole = Coherence { mutant: None, ..broken };
        report.coherence("whole", whole, Expect::Breaks { show: false });
        assert_eq!(report.surprises(), 2);
    }
}
