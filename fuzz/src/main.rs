//! Gives what libFuzzer makes up to the check that `FUZZ_TARGET` names.

#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

use std::sync::OnceLock;

static CHECK: OnceLock<checks::Check> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let check = CHECK.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET");
        checks::ALL.iter().find(|(known, _)| *known == name).expect("a target of that name").1
    });
    check(bytes);
});
