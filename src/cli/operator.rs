//! `catproxy status` and `catproxy purge`: speak with the admin listener of a proxy that runs.

mod client;
mod shown;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Args;
use http::StatusCode;
use serde_json::json;

use self::client::{Client, Trouble};
use super::{check, options::Environment};
use crate::{server, telemetry::Chain};

/// Where the admin listener is.
#[derive(Args, Clone, Debug)]
pub struct Listener {
    /// The admin listener's base; its token is taken from CATPROXY_ADMIN_TOKEN [env: CATPROXY_ADMIN_URL] [default:
    /// http://127.0.0.1:9180]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// The options of `status`.
#[derive(Args, Debug)]
pub struct Status {
    /// Where to ask.
    #[command(flatten)]
    pub listener: Listener,
    /// Write the answer as it comes, one JSON object
    #[arg(long)]
    pub json: bool,
}

/// The options of `purge`.
#[derive(Args, Debug)]
#[group(required = true, multiple = false, args = ["route", "key", "all"])]
pub struct Purge {
    /// Where to ask.
    #[command(flatten)]
    pub listener: Listener,
    /// All collections of this route, by its name in the configuration
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// One collection, by its key in the store
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Everything
    #[arg(long)]
    pub all: bool,
}

/// Shows how the proxy is; fails where it takes no requests, or cannot be asked.
pub(super) fn status(status: &Status, environment: Environment<'_>) -> ExitCode {
    asked(&status.listener, environment, async |client| {
        let text = client.get("/status").await?;
        let seen = shown::Status::read(&text).ok_or_else(|| client.unfit())?;
        let told = if status.json { text.trim_end().to_owned() } else { seen.told(client.url()) };
        Ok((told, seen.ready))
    })
}

/// Empties what is asked for; fails where that was not done.
pub(super) fn purge(purge: &Purge, environment: Environment<'_>) -> ExitCode {
    let order = match (&purge.route, &purge.key) {
        (Some(route), _) => json!({ "route": route }),
        (None, Some(key)) => json!({ "key": key }),
        (None, None) => json!({ "all": true }),
    };
    asked(&purge.listener, environment, async |client| {
        let text = client.post("/purge", order.to_string()).await?;
        // What the store has not acknowledged is done, here.
        Ok((shown::purged(&text).ok_or_else(|| client.unfit())?, true))
    })
}

/// Asks, and says what came of it, if need be what is wrong.
fn asked(
    listener: &Listener,
    environment: Environment<'_>,
    ask: impl AsyncFnOnce(&Client) -> Result<(String, bool), Trouble>,
) -> ExitCode {
    let client = match Client::of(listener, environment) {
        Ok(client) => client,
        Err(report) => return check::refuse(report, environment),
    };
    let outcome = server::block_on(async { ask(&client?).await });
    let (written, well) = match &outcome {
        Ok((told, well)) => (writeln!(io::stdout().lock(), "{told}"), *well),
        Err(trouble) => (writeln!(io::stderr().lock(), "error: {}", Chain(trouble)), false),
    };
    if well && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A status that is no success, with what the listener says of it.
fn refused(status: StatusCode, text: &str) -> String {
    let detail = serde_json::from_str::<serde_json::Value>(text).ok();
    let detail = detail.as_ref().and_then(|problem| problem.get("detail")?.as_str());
    detail.map_or_else(|| status.to_string(), str::to_owned)
}
