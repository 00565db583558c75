//! What a service manager such as systemd hands over, and what it is told: the listening socket of `sd_listen_fds(3)`,
//! and by `sd_notify(3)` how far the program is. Where none has started it, nothing of either.

use std::net::TcpListener;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use super::options::{Environment, variable};
use crate::config::report::Report;

/// The socket that was passed to this process, if one was.
///
/// # Errors
/// Several were, or what was passed is no socket on which clients of TCP come in.
pub(super) fn passed(environment: Environment<'_>) -> Result<Option<TcpListener>, Report> {
    // Variables that were meant for the parent of this process say nothing of its own descriptors. The library takes a
    // process that is not named for the one that is meant.
    let meant = variable(environment, "LISTEN_PID")?;
    if meant != Some(std::process::id().to_string()) {
        return Ok(None);
    }
    let mut passed = ListenFd::from_env();
    let unfit = |title: String| {
        let help = "one ListenStream= with a port is what it takes, and Accept=no; `[admin]` opens its own";
        Report::of(title, Some(help.to_owned()))
    };
    if passed.len() > 1 {
        return Err(unfit(format!("{} sockets were passed by LISTEN_FDS", passed.len())));
    }
    let unusable = |fault| unfit(format!("the socket that was passed by LISTEN_FDS is not usable: {fault}"));
    let Some(listener) = passed.take_tcp_listener(0).map_err(|error| unusable(error.to_string()))? else {
        return Ok(None);
    };
    match socket2::SockRef::from(&listener).is_listener() {
        Ok(true) => Ok(Some(listener)),
        Ok(false) => Err(unusable("nobody can connect to it".to_owned())),
        Err(error) => Err(unusable(error.to_string())),
    }
}

/// How far the program is.
#[derive(Clone, Copy)]
pub(super) enum Stage<'s> {
    /// Clients are answered, as this says.
    Ready(&'s str),
    /// The configuration is read again; it is ready after that, whatever came of it.
    Reloading,
    /// What is in flight is finished.
    Stopping,
}

/// Tells the service manager, where one has asked for it.
pub(super) fn tell(stage: Stage<'_>) {
    let told = match stage {
        Stage::Ready(status) => sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)]),
        // The moment says which of several calls to reload is answered.
        Stage::Reloading => NotifyState::monotonic_usec_now()
            .and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now])),
        Stage::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
    };
    if let Err(error) = told {
        tracing::warn!("the service manager cannot be told how far it is (NOTIFY_SOCKET): {error}");
    }
}
