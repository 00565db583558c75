//! How many files the process may have open, connections among them: as many as the system allows it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Beside connections: the log, the listening socket, Redis, what the runtime needs.
const OTHERS: u64 = 64;

/// Raises the limit as far as may be, and warns where the configured connections, each with one to the upstream, do not
/// fit into it.
pub(super) fn raise(config: &Config) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let Some(limit) = (if raised.is_ok() { maximum } else { current }) else { return };
    let fit = limit.saturating_sub(OTHERS) / 2;
    if fit < config.clients.connections as u64 {
        tracing::warn!(
            "the system allows {limit} open files: that is enough for some {fit} connections (clients.connections is {}); \
             see `ulimit -n`",
            config.clients.connections
        );
    }
}
