//! What a request's `Cache-Control` asks of a cached answer (RFC 9111 section 5.2.1).
//!
//! `max-stale` is not heard: how stale an answer may be is the operator's to say.

use std::time::Duration;

use http::{HeaderMap, header};

use super::Reason;

/// What a cached answer must be to serve a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Not older than this: `max-age`, or nothing at all with `no-cache`. `None`: as old as its route allows.
    pub max_age: Option<Duration>,
    /// Still fresh for so long.
    pub min_fresh: Duration,
    /// There or not: the upstream is not to be asked.
    pub only_if_cached: bool,
}

impl Demand {
    /// Reads all `Cache-Control` fields. Directives that are not known here are left alone; of two, the
    /// stricter counts, and an argument that does not read is the strictest.
    ///
    /// # Errors
    /// What no cached answer can satisfy: the reason to forward the request.
    pub(super) fn read(fields: &HeaderMap) -> Result<Self, Reason> {
        let mut demand = Self::default();
        for line in fields.get_all(header::CACHE_CONTROL) {
            // A field that is no text holds no directive that could be told; what is in it may be any.
            let line = line.to_str().map_err(|_| Reason::NoStore)?;
            for directive in line.split(',') {
                demand.add(directive)?;
            }
        }
        Ok(demand)
    }

    /// Whether an entry of this age, fresh for so long, is what was asked for.
    #[must_use]
    pub fn accepts(&self, age: Duration, fresh: Duration) -> bool {
        self.max_age.is_none_or(|max| age <= max) && fresh >= self.min_fresh
    }

    /// Nothing in particular is asked: an entry past its ttl may do, where its route allows it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, directive: &str) -> Result<(), Reason> {
        let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
        let seconds = argument.trim_ascii().trim_matches('"').parse().map(Duration::from_secs);
        match name.trim_ascii().to_ascii_lowercase().as_str() {
            "no-store" => return Err(Reason::NoStore),
            // What is cached is cut down to a few fields.
            "no-transform" => return Err(Reason::NoTransform),
            "no-cache" => self.max_age = Some(Duration::ZERO),
            "max-age" => {
                let max_age = seconds.unwrap_or(Duration::ZERO);
                self.max_age = Some(self.max_age.map_or(max_age, |known| known.min(max_age)));
            }
            "min-fresh" => self.min_fresh = self.min_fresh.max(seconds.unwrap_or(Duration::MAX)),
            "only-if-cached" => self.only_if_cached = true,
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Demand, Reason> {
        Demand::read(&lines.iter().map(|line| (header::CACHE_CONTROL, line.parse().unwrap())).collect())
    }

    #[test]
    fn directives_are_read_in_any_case_from_all_lines_and_the_stricter_counts() {
        let seconds = Duration::from_secs;
        let max_age = |max| Demand { max_age: Some(max), ..Demand::default() };
        for (lines, demand) in [
            (&[][..], Demand::default()),
            (&["", "private, max-stale=60, foo=\"a\""], Demand::default()),
            (&["No-Cache"], max_age(seconds(0))),
            (&["no-cache", "max-age=60"], max_age(seconds(0))),
            (&["max-age=60 , MAX-AGE=\"30\""], max_age(seconds(30))),
            (&["max-age=-1"], max_age(seconds(0))),
            (&["max-age"], max_age(seconds(0))),
            (&["min-fresh=5,min-fresh=3"], Demand { min_fresh: seconds(5), ..Demand::default() }),
            (&["min-fresh=x"], Demand { min_fresh: Duration::MAX, ..Demand::default() }),
            (&["only-if-cached"], Demand { only_if_cached: true, ..Demand::default() }),
        ] {
            assert_eq!(read(lines), Ok(demand), "{lines:?}");
        }
        assert_eq!(read(&["max-age=3", "no-STORE"]), Err(Reason::NoStore));
        assert_eq!(read(&["no-transform"]), Err(Reason::NoTransform));
    }

    #[test]
    fn an_age_and_what_is_left_are_held_against_the_demand() {
        let seconds = Duration::from_secs;
        assert!(read(&["max-age=60"]).unwrap().accepts(seconds(60), seconds(1)));
        assert!(!read(&["max-age=60"]).unwrap().accepts(seconds(61), seconds(1)));
        assert!(read(&["min-fresh=60"]).unwrap().accepts(seconds(9), seconds(60)));
        assert!(!read(&["min-fresh=60"]).unwrap().accepts(seconds(9), seconds(59)));
        assert!(!read(&["no-cache"]).unwrap().accepts(Duration::from_millis(1), seconds(60)));
    }
}
