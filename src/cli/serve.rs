//! `catproxy serve`: runs until it is told to stop.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use tokio::signal::unix::{SignalKind, signal};

use super::{
    check,
    logging::Logging,
    options::{Environment, Options},
};
use crate::{
    clock::Clock,
    config::Config,
    server::{self, Server, StartError, Stopped},
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
    ended(server::block_on(serve(config)))
}

async fn serve(mut config: Config) -> Result<Stopped, StartError> {
    let server = Server::bind(&config, Clock::system()).await?;
    let stop = told_to_stop();
    config.listen = server.address();
    tracing::info!("{}", config.summary());
    Ok(server.run(stop).await)
}

/// Ends when the process is sent SIGTERM or SIGINT; from the call on, neither ends the process by itself.
pub(super) fn told_to_stop() -> impl Future<Output = ()> {
    let handlers = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = handlers else {
            // Without handlers the signals end the process by themselves.
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: finishing what is in flight");
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
