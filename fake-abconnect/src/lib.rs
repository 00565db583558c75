//! A stand-in for the ABConnect Catalog API and its identity server: for demos, tests and benchmarks.
//!
//! It answers every request of both generations of the API from made-up data that writes really change, is as strict
//! as the real one, and misbehaves on demand. It is reached over HTTP/1.1 only, as a real upstream would be; beside
//! that, a test that runs it in its own process can turn its knobs, hold its answers and read the calls it received.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use fake_abconnect::{FakeAbconnect, Matching, Options, Rule};
//!
//! let upstream = FakeAbconnect::start(Options::default())?;
//! let _authorization = format!("Bearer {}", upstream.token("demo"));
//! // The second page fails once.
//! let second_page = Matching::path("/api/Seller").query("PageNumber=2");
//! upstream.rule(Rule { on: second_page, status: Some(503), times: Some(1), ..Rule::default() });
//! // No answer about catalogs until the gate is opened.
//! let gate = upstream.gate(Matching::path("/api/Catalog"));
//! assert!(upstream.calls().is_empty());
//! gate.open();
//! upstream.stop().await;
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! What it deliberately is not: TLS, HTTP/2, a database, or fit for a network with anybody hostile in it. The key it
//! signs tokens with is published.

#![forbid(unsafe_code)]

// The life of a connection and of a request, outside in.
mod running;
mod server;
mod tap;

mod head;

mod stand;

mod identity;
mod jwt;
mod test_key;

mod api;
mod page;
mod pages;
mod query;
mod routes;

mod data;
mod moment;

mod body;
mod compress;
mod json;
mod plain;
mod problem;
mod respond;

// What a test holds in its hands.
mod calls;
mod gate;
mod knobs;
mod matching;
mod options;

mod locks;

pub use body::byte_at;
pub use calls::Call;
pub use gate::Gate;
pub use knobs::{Close, Knobs, Rule, WrongJson};
pub use matching::Matching;
pub use options::{Access, Generation, Options, User};
pub use running::{FakeAbconnect, Running};
