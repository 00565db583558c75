//! Explores a model and says what came out: one line each, and a trace where one is wanted or unexpected.

use std::{fmt, process::ExitCode, time::Instant};

use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::{
    coherence::{self, Bounds, Coherence},
    vouches::{self, Admission, Limits},
};

/// What is to come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Explored whole, and nothing is broken.
    Holds,
    /// A promise is broken; `show` how.
    Breaks { show: bool },
}

/// Prints as it goes.
#[derive(Debug, Default)]
pub(crate) struct Report {
    states: usize,
    surprises: usize,
}

type Trace<M> = Path<<M as Model>::State, <M as Model>::Action>;

impl Report {
    pub(crate) fn head(&mut self, text: &str) {
        println!("\n{text}\n  {:<44} {:<46} {:>9} {:>7}", "model", "bounds", "states", "seconds");
    }

    pub(crate) fn coherence(&mut self, name: &str, model: Coherence, expect: Expect) {
        if let Some(trace) = self.explore(name, &model.bounds, model, expect) {
            let lines = steps(trace, coherence::tell::tell, |last| coherence::tell::outcome(model, last));
            print_trace(&lines);
        }
    }

    pub(crate) fn vouches(&mut self, name: &str, model: Admission, expect: Expect) {
        if let Some(trace) = self.explore(name, &model.limits, model, expect) {
            print_trace(&steps(trace, vouches::tell::tell, vouches::tell::outcome));
        }
    }

    /// How often something else came out than was expected.
    #[cfg(test)]
    pub(crate) fn surprises(&self) -> usize {
        self.surprises
    }

    pub(crate) fn end(self) -> ExitCode {
        println!("\n{} states", self.states);
        if self.surprises == 0 {
            println!("all as expected");
            return ExitCode::SUCCESS;
        }
        println!("{} NOT AS EXPECTED, see above", self.surprises);
        ExitCode::FAILURE
    }

    /// Gives the trace that is to be shown. It is a shortest one where a broken promise was expected: then one
    /// thread goes through the states in order of their distance.
    fn explore<M>(
        &mut self,
        name: &str,
        bounds: &impl fmt::Display,
        model: M,
        expect: Expect,
    ) -> Option<Trace<M>>
    where
        M: Model + Send + Sync + 'static,
        M::State: std::hash::Hash + Send + Sync + Clone + PartialEq + 'static,
        M::Action: Clone + PartialEq,
    {
        let began = Instant::now();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if expect == Expect::Holds { cores } else { 1 };
        let checker = model.checker().threads(threads).finish_when(HasDiscoveries::Any).spawn_bfs().join();
        let trace = checker.discoveries().into_values().next();
        let states = checker.unique_state_count();
        self.states += states;
        let (verdict, show) = match (expect, &trace) {
            (Expect::Holds, None) => ("holds", false),
            (Expect::Breaks { show }, Some(_)) => ("breaks", show),
            (Expect::Holds, Some(_)) => ("BROKEN", true),
            (Expect::Breaks { .. }, None) => ("NOT FOUND", false),
        };
        self.surprises += usize::from(matches!(verdict, "BROKEN" | "NOT FOUND"));
        let seconds = began.elapsed().as_secs_f64();
        println!("  {name:<44} {:<46} {states:>9} {seconds:>7.1} {verdict}", bounds.to_string());
        trace.filter(|_| show)
    }
}

fn steps<S, A: Copy>(
    trace: Path<S, A>,
    tell: impl Fn(&S, A, &S) -> String,
    outcome: impl Fn(&S) -> String,
) -> Vec<String> {
    let states = trace.into_vec();
    let mut lines = Vec::new();
    for (step, after) in states.iter().zip(states.iter().skip(1)) {
        if let (before, Some(action)) = step {
            lines.push(tell(before, *action, &after.0));
        }
    }
    lines.extend(states.last().map(|(last, _)| outcome(last)));
    lines
}

fn print_trace(lines: &[String]) {
    for (number, line) in (1..).zip(lines) {
        println!("      {number:>2}  {line}");
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = [
            (self.give_ups, "give-ups"),
            (self.restarts, "restarts"),
            (self.losses, "losses"),
            (self.deaths, "deaths"),
        ];
        write!(out, "reads {} writes {}", self.reads, self.writes)?;
        faults
            .iter()
            .filter(|(count, _)| *count > 0)
            .try_for_each(|(count, what)| write!(out, " {what} {count}"))
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reads, refusals, ticks } = self;
        write!(out, "reads {reads} refusals {refusals} ticks {ticks}")
    }
}
