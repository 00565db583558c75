//! `catproxy serve`: runs until it is told to stop.

use std::{
    convert::Infallible,
    io::{self, Write as _},
    net::SocketAddr,
    process::ExitCode,
};

use super::{
    check, descriptors,
    logging::Logging,
    options::{Environment, Options},
    signals::{Hangups, Stops},
};
use crate::{
    clock::Clock,
    config::{
        Admin, Config,
        report::{Report, Warning},
    },
    server::{self, Server, StartError, Stopped, reload::Reload},
    telemetry::Chain,
};

/// The exit code of a stop that had to cut off what took too long.
const CUT_OFF: u8 = 3;

/// Loads the configuration and serves it; returns when a signal stopped it, or where it cannot begin.
pub(super) fn run(options: &Options, environment: Environment<'_>) -> ExitCode {
    let loaded = Logging::load(environment).and_then(|logging| Ok((logging, options.load(environment)?)));
    let (logging, (config, warnings)) = match loaded {
        Ok(loaded) => loaded,
        Err(report) => return check::refuse(report, environment),
    };
    logging.begin();
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    descriptors::raise(&config);
    ended(server::block_on(serve(config, options, environment)))
}

async fn serve(
    mut config: Config,
    options: &Options,
    environment: Environment<'_>,
) -> Result<Stopped, StartError> {
    let server = Server::bind(&config, Clock::system()).await?;
    let (stops, hangups) = (Stops::listen(), Hangups::listen());
    let begun = (config.listen, config.admin.clone());
    config.listen = server.address();
    if let (Some(admin), Some(address)) = (&mut config.admin, server.admin_address()) {
        admin.listen = address;
    }
    tracing::info!("{}", config.summary());
    let reloading = reload_at(hangups, server.reload(), begun, || options.load(environment));
    Ok(until_stopped(server, &stops, reloading).await)
}

/// Runs a server, and this beside it, until the process was told to stop and that was done, or it was told so twice.
pub(super) async fn until_stopped(
    server: Server,
    stops: &Stops,
    beside: impl Future<Output = Infallible>,
) -> Stopped {
    let (once, twice) = (stops.told(1), stops.told(2));
    tokio::select! {
        stopped = server.run(once) => stopped,
        () = twice => Stopped::CutOff,
        never = beside => match never {},
    }
}

/// Reads the configuration anew at each hangup and puts it in office; where that cannot be, the one before stays.
async fn reload_at(
    mut hangups: Hangups,
    reload: Reload,
    (listens, admin): (SocketAddr, Option<Admin>),
    load: impl Fn() -> Result<(Config, Vec<Warning>), Report>,
) -> Infallible {
    loop {
        hangups.next().await;
        let (mut config, warnings) = match load() {
            Ok(loaded) => loaded,
            Err(report) => {
                tracing::error!("not reloaded; what ran before goes on. What is wrong:\n{report}");
                continue;
            }
        };
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        if config.listen != listens {
            tracing::warn!("`listen` is another one now; that takes a restart");
            config.listen = listens;
        }
        if config.admin != admin {
            tracing::warn!("the admin listener, or its token, is another one now; that takes a restart");
            config.admin.clone_from(&admin);
        }
        match reload.exchange(&config).await {
            Ok(()) => tracing::info!("reloaded: {}", config.summary()),
            Err(error) => tracing::error!("not reloaded; what ran before goes on: {}", Chain(&error)),
        }
    }
}

/// Says how it went.
pub(super) fn ended(outcome: Result<Stopped, StartError>) -> ExitCode {
    match outcome {
        Ok(Stopped::Drained) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Ok(Stopped::CutOff) => {
            tracing::warn!("some requests took too long and were cut off");
            ExitCode::from(CUT_OFF)
        }
        Err(error) => {
            // Not through the log, whose filter may say nothing. Where nobody can read it, the exit code tells.
            let _ = writeln!(io::stderr().lock(), "error: {}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}
