//! How the log is written: only the environment says it.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::options::{Environment, variable};
use crate::config::report::Report;

/// What is logged where nothing is said.
const DEFAULT_FILTER: &str = "info";

/// What to log, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// `CATPROXY_LOG`, a filter such as `info,catproxy::fill=debug`; the default is left to the log.
    pub filter: Option<String>,
    /// `CATPROXY_LOG_FORMAT`.
    pub format: LogFormat,
}

/// For whom the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    People,
    /// JSON, a line each.
    Json,
}

impl Logging {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// A variable is not UTF-8 or names no format.
    pub fn load(environment: Environment<'_>) -> Result<Self, Report> {
        let format = match variable(environment, "CATPROXY_LOG_FORMAT")?.as_deref() {
            None | Some("people") => LogFormat::People,
            Some("json") => LogFormat::Json,
            Some(other) => {
                let title = format!("CATPROXY_LOG_FORMAT is no format: {other:?}");
                return Err(Report::of(title, Some("the formats are people and json".to_owned())));
            }
        };
        let filter = variable(environment, "CATPROXY_LOG")?;
        if let Some(part) =
            filter.as_deref().and_then(|filter| filter.split(',').find(|part| !is_directive(part)))
        {
            let title = format!("CATPROXY_LOG is no filter: {part:?}");
            let help = "error, warn, info, debug, trace or off, or such as info,catproxy::fill=debug";
            return Err(Report::of(title, Some(help.to_owned())));
        }
        Ok(Self { filter, format })
    }

    /// Sends the log to the standard error from here on.
    pub fn begin(&self) {
        let filter = EnvFilter::new(self.filter.as_deref().unwrap_or(DEFAULT_FILTER));
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal());
        // A second log in one process is refused: the first one stays.
        let _ = match self.format {
            LogFormat::People => log.with_target(false).try_init(),
            LogFormat::Json => log.json().try_init(),
        };
    }
}

/// From here on a panic is a line in the log: where it was and, where its text stands in the source, that. A text made
/// at run time may hold what a client or a server has sent, and is left out.
pub(super) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let text =
            panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(its text is not shown)");
        tracing::error!("a mistake in catproxy: panic at {place}: {text}");
    }));
}

/// A level, or a module and its level. The library takes any word for a module, and then logs nothing else.
fn is_directive(part: &str) -> bool {
    let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
    level.trim().parse::<LevelFilter>().is_ok()
}
