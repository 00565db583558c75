//! How the log is written: only the environment says it.

use std::{any::Any, io::IsTerminal as _};

use tracing_subscriber::EnvFilter;

use super::options::{Environment, variable};
use crate::{
    config::report::Report,
    telemetry::log::{self, Filter},
};

/// What to log, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// `CATPROXY_LOG`, a filter such as `info,catproxy::fill=debug`; the default is left to the log.
    pub filter: Option<Filter>,
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
        let filter = variable(environment, "CATPROXY_LOG")?.map(|text| Filter::parse(&text)).transpose();
        let filter = filter.map_err(|unfiltered| {
            let help =
                "error, warn, info, debug, trace or off, or such as info,catproxy::fill=debug,access=info";
            Report::of(format!("CATPROXY_LOG is no filter: {unfiltered}"), Some(help.to_owned()))
        })?;
        Ok(Self { filter, format })
    }

    /// Sends the log to the standard error from here on.
    pub fn begin(&self) {
        let filter = self.filter.clone().unwrap_or_default();
        let log = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(filter.directives()))
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal());
        // A second log in one process is refused: the first one stays.
        match self.format {
            LogFormat::People => {
                let log = log.with_target(false).with_filter_reloading();
                let handle = log.reload_handle();
                if log.try_init().is_ok() {
                    log::begun(filter, move |directives| handle.reload(EnvFilter::new(directives)).is_ok());
                }
            }
            LogFormat::Json => {
                let log = log.json().with_filter_reloading();
                let handle = log.reload_handle();
                if log.try_init().is_ok() {
                    log::begun(filter, move |directives| handle.reload(EnvFilter::new(directives)).is_ok());
                }
            }
        }
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!("a defect: panicked at {place}: {}", printable(panic.payload()));
        }));
    }
}

/// A panic's text as far as it was written by its author. What was put together while running may hold what a client
/// sent: a slice of a string that fails has the string in its text.
fn printable(payload: &dyn Any) -> &str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("(its text may hold a secret)")
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn the_text_of_a_panic_is_its_authors_or_not_printed() {
        let token = String::from("Bearer sécret");
        let written = catch_unwind(|| panic!("no such thing")).expect_err("a panic");
        let put_together = catch_unwind(|| token.split_at(9).0.len()).expect_err("a panic");
        assert_eq!(printable(&*written), "no such thing");
        assert!(put_together.downcast_ref::<String>().is_some_and(|text| text.contains("sécret")));
        assert_eq!(printable(&*put_together), "(its text may hold a secret)");
    }
}
