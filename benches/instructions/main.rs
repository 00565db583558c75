//! `make instructions`: what the steps of a request cost, in instructions, which are the same on a busy machine as on an
//! idle one. `scripts/instructions` runs each case under valgrind's callgrind and compares with what was recorded.
//!
//! With the name of a case it is prepared, then done a fixed number of times within [`measured`]: that function alone,
//! and only on its thread, is what callgrind counts. Without a name each case is done once, which shows that it runs.
//! Either way it is said which cases there were and how often each is done.
//!
//! What is random or of this moment is not in the counts: the data and the proxy's clock are always of the same day, the
//! stand-in upstream has threads of its own and is asked only beforehand, memory comes from an allocator that does the
//! same each time, and everything was done some times before it is measured.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

mod allocator;
mod stage;
mod steps;

use std::process::ExitCode;

use catproxy::classify::{Class, Reason};

use crate::{
    allocator::Again,
    stage::{LOTS, SELLERS, catalogs},
    steps::{
        Step, classify, cut, forward_over_http, hit, hit_over_http, keep_and_cut, project, upload_over_http,
    },
};

#[global_allocator]
static ALLOCATOR: Again = Again;

/// How often a case is done before it is measured: connections, pages and memory are there then.
const BEFORE: usize = 50;

/// What is measured: its name, how often it is done, and how it is prepared for so many times.
type Case = (&'static str, usize, fn(usize) -> Step);

const CASES: [Case; 11] = [
    ("classify-sellers", 5000, |_| classify(SELLERS, |class| matches!(class, Class::Read(_)))),
    ("classify-catalogs", 5000, |_| classify(&catalogs(42), |class| matches!(class, Class::Read(_)))),
    ("classify-forward", 5000, |_| classify(LOTS, |class| matches!(class, Class::Forward(Reason::NoRoute)))),
    ("project-sellers", 10, |_| project()),
    ("page-sellers", 2000, |_| cut()),
    ("page-catalogs", 200, |_| keep_and_cut()),
    ("hit-sellers", 2000, |times| hit(times, false)),
    ("hit-unchanged", 2000, |times| hit(times, true)),
    ("hit-http", 2000, |_| hit_over_http()),
    ("forward-http", 1000, |_| forward_over_http()),
    ("upload-http", 1000, |_| upload_over_http()),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [name] = wanted.as_slice() else {
        // As `cargo test --all-targets` calls it.
        for (name, times, prepare) in CASES {
            check(name, prepare(1)(1), 1);
            println!("{name} {times}");
        }
        return ExitCode::SUCCESS;
    };
    let Some((_, times, prepare)) = CASES.iter().find(|(case, ..)| case == name) else {
        println!("no case {name}: without a name all are listed");
        return ExitCode::FAILURE;
    };
    let mut step = prepare(BEFORE + times);
    check(name, step(BEFORE), BEFORE);
    check(name, measured(&mut step, *times), *times);
    println!("{name} {times}");
    ExitCode::SUCCESS
}

fn check(name: &str, right: usize, times: usize) {
    assert_eq!(right, times, "{name} did not always end as it should");
}

/// What callgrind counts, found by its name.
#[inline(never)]
fn measured(step: &mut Step, times: usize) -> usize {
    step(times)
}
