//! What an attacker sends: whatever it is, the upstream gets one well-formed request or none, and others are served.

mod attacks;
mod corpus;
pub(crate) mod frames;
mod recording;
mod second;
