//! What is no configured list or item goes up and comes back byte for byte. A sentence each, most of them on
//! raw sockets: what matters is what stood on the wire.

mod bodies;
mod connections;
mod door;
mod fields;
mod large;
mod second;
mod spelling;
mod targets;
pub(crate) mod tls;
mod upgrades;
mod uploads;
pub(crate) mod wire;
