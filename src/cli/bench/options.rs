//! The options of `bench`, and what they and the environment give together.

use std::{convert::Infallible, path::PathBuf, time::Duration};

use clap::Args;

use crate::{
    cli::options::{Environment, variable},
    config::{
        Config,
        check::{self, Origin, Overrides, Setting},
        profile::Profile,
        report::Report,
        secret::Secret,
    },
};

/// What stands below the options' list.
pub const HELP: &str = "\
Example: catproxy bench --url http://127.0.0.1:8080 --user sam --require 3
         CATPROXY_BENCH_TOKEN=$TOKEN catproxy bench --json

Environment: CATPROXY_BENCH_TOKEN in place of --token; CATPROXY_BENCH_PASSWORD, else the
password is asked for; CATPROXY_UI_CLIENT_ID and CATPROXY_UI_CLIENT_SECRET, as whom the
identity server is asked; NO_COLOR for output in ASCII and without colours.

Cold reads make the proxy ask the API: 20 fills with the usual numbers. A read that is not
what it should be, by its Cache-Status, is counted and discarded.

JSON: url, page_size, require, passed, calls_saved (at least), and lists, each with list,
keys (how many lists these are), ratio, cold, new_token and warm; each of these three with
reads, discarded and, where there are reads, min_us, p50_us, p90_us, p99_us, max_us,
reads_per_second and bytes (of an answer).

Exits with 0; with 1 where nothing could be measured, or less than --require was.";

/// A cold read's answer may take as long as a fill of the proxy behind a slow API.
const PATIENCE: Duration = Duration::from_secs(120);
/// The connection is kept, however long an answer takes.
const KEPT: Duration = Duration::from_secs(3600);

/// The options of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// Where the proxy is
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// PEM file of the certificate authorities of proxy and identity server, in place of the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// By whom the proxy is asked; others can read a command line, so better [env: CATPROXY_BENCH_TOKEN]
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    pub token: Option<Secret<String>>,
    /// A token that has read nothing yet, for one read; may be repeated
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    pub other_token: Vec<Secret<String>>,
    /// Ask the identity server for tokens of this user
    #[arg(long, value_name = "NAME", conflicts_with_all = ["token", "other_token"])]
    pub user: Option<String>,
    /// The identity server [default: that of ABConnect] [env: CATPROXY_UI_IDENTITY_URL]
    #[arg(long, value_name = "URL")]
    pub identity_url: Option<String>,
    /// Of so many sellers, the first in the list, the catalogs are read; no more than --samples
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub sellers: u32,
    /// Cold reads of each list, one a second where it is the same, and reads by new tokens
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub samples: u32,
    /// Warm reads of each list
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub warm_samples: u32,
    /// Items of a page; a read is one request, of the first page
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub page_size: u32,
    /// Write one JSON object in place of tables
    #[arg(long)]
    pub json: bool,
    /// Exit with 1 where the median warm read of a list is not so many times as fast as the cold one
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    pub require: Option<f64>,
}

impl Bench {
    /// The configuration of which the proxy is the upstream: with it this program speaks to the proxy as the proxy does
    /// to the API.
    pub(super) fn load(&self, environment: Environment<'_>) -> Result<Config, Report> {
        let flag = |name, value: &String| Setting { value: value.clone(), origin: Origin::Flag(name) };
        let outside = |name: &'static str| {
            let setting = |value| Setting { value, origin: Origin::Environment(name) };
            variable(environment, name).map(|value| value.map(setting))
        };
        let identity = match &self.identity_url {
            Some(url) => Some(flag("--identity-url", url)),
            None => outside("CATPROXY_UI_IDENTITY_URL")?,
        };
        let overrides = Overrides {
            upstream: Some(flag("--url", &self.url)),
            ui_identity: identity,
            ui_client_id: outside("CATPROXY_UI_CLIENT_ID")?,
            ui_client_secret: outside("CATPROXY_UI_CLIENT_SECRET")?,
            ..Overrides::default()
        };
        let (mut config, _) = check::load(Profile::Panels.source(), overrides)?;
        config.upstream.ca_file.clone_from(&self.ca_file);
        config.upstream.head_timeout = PATIENCE;
        config.upstream.idle_timeout = KEPT;
        config.upstream.http2 = false;
        config.upstream.idle_connections = 1;
        if let Some(ui) = &mut config.ui {
            ui.identity.ca_file.clone_from(&self.ca_file);
        }
        Ok(config)
    }
}

fn secret(text: &str) -> Result<Secret<String>, Infallible> {
    Ok(Secret::new(text.to_owned()))
}

fn ratio(text: &str) -> Result<f64, &'static str> {
    let ratio = text.parse().ok().filter(|ratio: &f64| ratio.is_finite() && *ratio > 0.0);
    ratio.ok_or("a number above 0, such as 3 or 2.5")
}
