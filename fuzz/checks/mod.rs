//! What must hold whatever comes in. Each check takes any bytes and panics where something does not hold; `make fuzz` makes
//! the bytes up, and tests/fuzzed.rs runs each check on its seeds, among them everything that was once found.

mod answer;
mod classify;
mod config;
mod entry;
mod head;
mod memory;
mod projection;
mod query;
mod ui;

/// Takes any bytes, and panics where they show a defect.
pub type Check = fn(&[u8]);

/// All of them, by the names of their folders of seeds.
pub const ALL: [(&str, Check); 8] = [
    ("classify", classify::check),
    ("query", query::check),
    ("entry", entry::check),
    ("projection", projection::check),
    ("config", config::check),
    ("head", head::check),
    ("answer", answer::check),
    ("ui", ui::check),
];
