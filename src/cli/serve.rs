//! `catproxy serve`: runs until it is told to stop.

use std::{
    convert::Infallible,
    io::{self, Write as _},
    net::{SocketAddr, TcpListener},
    process::ExitCode,
};

use super::{
    check, descriptors,
    logging::Logging,
    options::{Environment, Options},
    service::{self, Stage},
    signals::{Hangups, Stops},
};
use crate::{
    clock::Clock,
    config::{
        Admin, Config, Tls,
        report::{Report, Warning},
    },
    server::{self, Server, StartError, Stopped, reload::Reload},
    telemetry::Chain,
};

/// The exit code of a stop that had to cut off what took too long.
const CUT_OFF: u8 = 3;

/// Loads the configuration and serves it; returns when a signal stopped it, or where it cannot begin.
pub(super) fn run(options: &Options, environment: Environment<'_>) -> ExitCode {
    let loaded = Logging::load(environment)
        .and_then(|logging| Ok((logging, options.load(environment)?, service::passed(environment)?)));
    let (logging, (config, warnings), passed) = match loaded {
        Ok(loaded) => loaded,
        Err(report) => return check::refuse(report, environment),
    };
    logging.begin();
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    descriptors::raise(&config);
    ended(server::block_on(serve(config, passed, options, environment)))
}

async fn serve(
    mut config: Config,
    passed: Option<TcpListener>,
    options: &Options,
    environment: Environment<'_>,
) -> Result<Stopped, StartError> {
    let server = match passed {
        Some(listener) => Server::take(&config, Clock::system(), listener).await?,
        None => Server::bind(&config, Clock::system()).await?,
    };
    let (stops, hangups) = (Stops::listen(), Hangups::listen());
    let begun = Begun { listens: config.listen, admin: config.admin.clone(), tls: config.tls.clone() };
    config.listen = server.address();
    if let (Some(admin), Some(address)) = (&mut config.admin, server.admin_address()) {
        admin.listen = address;
    }
    let summary = config.summary();
    tracing::info!("{summary}");
    // From here on what comes waits in the door, at the worst.
    service::tell(Stage::Ready(&summary));
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

/// What only a start takes over.
struct Begun {
    listens: SocketAddr,
    admin: Option<Admin>,
    /// Other files are taken over, but not whether there are any.
    tls: Option<Tls>,
}

/// Reads the configuration anew at each hangup and puts it in office; where that cannot be, the one before stays.
async fn reload_at(
    mut hangups: Hangups,
    reload: Reload,
    mut begun: Begun,
    load: impl Fn() -> Result<(Config, Vec<Warning>), Report>,
) -> Infallible {
    loop {
        hangups.next().await;
        service::tell(Stage::Reloading);
        let outcome = exchange(&reload, &mut begun, &load).await;
        service::tell(Stage::Ready(&outcome));
    }
}

/// What came of it, as a line without secrets.
async fn exchange(
    reload: &Reload,
    begun: &mut Begun,
    load: impl Fn() -> Result<(Config, Vec<Warning>), Report>,
) -> String {
    const NOT: &str = "not reloaded; what ran before goes on";
    let (mut config, warnings) = match load() {
        Ok(loaded) => loaded,
        Err(report) => {
            tracing::error!("{NOT}. What is wrong:\n{report}");
            return format!("{NOT}; the log says why");
        }
    };
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if config.listen != begun.listens {
        tracing::warn!("`listen` is another one now; that takes a restart");
        config.listen = begun.listens;
    }
    if config.admin != begun.admin {
        tracing::warn!("the admin listener, or its token, is another one now; that takes a restart");
        config.admin.clone_from(&begun.admin);
    }
    if config.tls.is_some() != begun.tls.is_some() {
        tracing::warn!("clients are to speak TLS now, or not any more; that takes a restart");
        config.tls.clone_from(&begun.tls);
    }
    match reload.exchange(&config).await {
        Ok(()) => {
            begun.tls.clone_from(&config.tls);
            let summary = config.summary();
            tracing::info!("reloaded: {summary}");
            summary
        }
        Err(error) => {
            tracing::error!("{NOT}: {}", Chain(&error));
            format!("{NOT}; the log says why")
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
