//! The proxy's behaviour, a sentence each: in front of the stand-in upstream, on a real redis-server.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod admin;
mod authority;
mod bad_answers;
mod busy;
mod directives;
mod drain;
mod faults;
mod foreign;
mod forwarding;
mod hits;
mod hostile;
mod http;
mod jwks;
mod line;
mod near;
mod process;
mod reads;
mod reload;
mod restart;
mod secrets;
mod secure;
mod session;
mod stale;
mod store;
mod support;
mod time;
mod tokens;
mod too_large;
#[cfg(feature = "otel")]
mod traces;
mod watched;
mod ways;
mod writes;
