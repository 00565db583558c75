//! What is logged: the filter of this process's one log, which can be changed while it runs.

use std::sync::{OnceLock, PoisonError, RwLock};

/// What is logged where nothing is said.
const DEFAULT: &str = "info";
/// Whose lines, one for each request, are only written where the filter names them.
const ACCESS: &str = "access";

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Puts a filter in office.
type Change = Box<dyn Fn(&str) -> bool + Send + Sync>;

static LOG: OnceLock<(Change, RwLock<Filter>)> = OnceLock::new();

/// What to log: a level, and others for modules, with commas between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(String);

/// Why a filter is not in office.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfiltered {
    /// It is none.
    #[error("{0:?} is no level and no module with one, such as debug or info,access=info")]
    Part(String),
    /// There is no log, or somebody else's.
    #[error("this process has no log of catproxy's")]
    NoLog,
}

impl Default for Filter {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// The first part that is none.
    pub fn parse(text: &str) -> Result<Self, Unfiltered> {
        match text.split(',').find(|part| !is_directive(part)) {
            Some(part) => Err(Unfiltered::Part(part.to_owned())),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// As the log takes it: without a word on the access lines there are none.
    #[must_use]
    pub fn directives(&self) -> String {
        let names_access = |part: &str| part.split('=').next() == Some(ACCESS);
        if self.0.split(',').any(names_access) { self.0.clone() } else { format!("{},{ACCESS}=off", self.0) }
    }
}

/// A level, or a module with one. The library takes more: any word for a module, then to log nothing else, and nothing or a
/// number for a level.
fn is_directive(part: &str) -> bool {
    let (module, level) = part.rsplit_once('=').map_or((None, part), |(module, level)| (Some(module), level));
    let of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let is_name = |word: &str| !word.is_empty() && word.bytes().all(of_name);
    LEVELS.contains(&level) && module.is_none_or(|module| module.split("::").all(is_name))
}

/// The log has begun with this filter, and takes others by `change`, which says whether it did. A second log is not known.
pub fn begun(filter: Filter, change: impl Fn(&str) -> bool + Send + Sync + 'static) {
    // The first one stays, as it does with the library.
    let _ = LOG.set((Box::new(change), RwLock::new(filter)));
}

/// The filter in office; `None`: there is no log.
#[must_use]
pub fn filter() -> Option<Filter> {
    LOG.get().map(|(_, filter)| filter.read().unwrap_or_else(PoisonError::into_inner).clone())
}

/// Puts another filter in office, until the process ends.
///
/// # Errors
/// Where there is no log that takes it.
pub fn change(filter: Filter) -> Result<(), Unfiltered> {
    let (change, present) = LOG.get().ok_or(Unfiltered::NoLog)?;
    let mut present = present.write().unwrap_or_else(PoisonError::into_inner);
    if !change(&filter.directives()) {
        return Err(Unfiltered::NoLog);
    }
    tracing::info!(filter = filter.text(), before = present.text(), "another log filter");
    *present = filter;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_access_lines_where_the_filter_names_them_and_nowhere_else() {
        for (text, directives) in [
            ("info", "info,access=off"),
            ("debug,catproxy::fill=trace", "debug,catproxy::fill=trace,access=off"),
            ("info,access=info", "info,access=info"),
            ("info,accessible=info", "info,accessible=info,access=off"),
        ] {
            assert_eq!(Filter::parse(text).unwrap().directives(), directives);
        }
        assert_eq!(Filter::parse("info,loud"), Err(Unfiltered::Part("loud".to_owned())));
        for text in [
            "",
            "info,",
            "warn, access=info",
            "3",
            "INFO",
            "info,=debug",
            "info,a:b=debug",
            "[span]=info",
            "info,catproxy",
        ] {
            assert!(Filter::parse(text).is_err(), "{text}");
        }
    }
}
