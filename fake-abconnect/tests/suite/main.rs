//! The stand-in as its clients see it: over the wire.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "clippy.toml allows these within test functions; the functions they share are tests too"
)]

mod client;
mod forwarding;
mod misbehaviour;
mod reads;
mod strictness;
mod writes;
