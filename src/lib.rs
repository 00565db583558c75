//! catproxy: a caching reverse proxy for the ABConnect Catalog API.
//!
//! The modules in the order in which a request meets them:
//!
//! ```text
//! server → guard → proxy → classify ─┬─ forward ──────────────────────→ upstream
//!                                    └─ admit → cache → fill → page → respond
//! ```
//!
//! Decisions are pure (`classify`, `project`, `page`, `cache::entry`); what acts is at the edge.

#![forbid(unsafe_code)]

pub mod cli;
pub mod server;

pub mod admin;
pub mod guard;

pub mod ui;

pub mod proxy;

pub mod classify;

pub mod admit;

pub mod cache;

pub mod fill;

pub mod project;

pub mod page;

pub mod respond;

pub mod forward;

pub mod body;
pub mod upstream;

pub mod aside;
pub mod bounded;
pub mod clock;
pub mod config;
pub mod deadline;
pub mod dial;
pub mod home;
pub mod supervise;
pub mod telemetry;
pub mod trace;
