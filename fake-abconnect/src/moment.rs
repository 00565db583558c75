//! Date-times as the upstream writes them: without an offset, with a fraction only where there is one.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{DateTime, date};
use jiff::tz::TimeZone;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A .NET `DateTime` without a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) DateTime);

impl Moment {
    /// Reads a date, a date-time, or a date-time with an offset, which is converted to UTC and forgotten.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        // The one with an offset first: a civil date-time would only ignore it.
        let with_offset = text.parse::<Timestamp>().map(|at| TimeZone::UTC.to_datetime(at));
        with_offset.or_else(|_| text.parse::<DateTime>()).ok().map(Self)
    }

    /// This moment, by the clock of this machine and in UTC.
    pub(crate) fn now() -> Self {
        Self(TimeZone::UTC.to_datetime(Timestamp::now()))
    }
}

impl Default for Moment {
    /// What .NET makes of a date that was not sent.
    fn default() -> Self {
        Self(date(1, 1, 1).at(0, 0, 0, 0))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("the value is not a date-time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_without_offset_and_with_only_the_fraction_they_have() {
        let written = |text: &str| Moment::parse(text).map(|moment| moment.to_string());
        assert_eq!(written("2026-09-01T00:00:00").as_deref(), Some("2026-09-01T00:00:00"));
        assert_eq!(written("2026-02-18T09:34:16.8560").as_deref(), Some("2026-02-18T09:34:16.856"));
        assert_eq!(written("2026-09-01T01:00:00+02:00").as_deref(), Some("2026-08-31T23:00:00"));
        assert_eq!(written("2026-09-01T01:00:00Z").as_deref(), Some("2026-09-01T01:00:00"));
        assert_eq!(written("2026-09-01").as_deref(), Some("2026-09-01T00:00:00"));
        assert_eq!(written("soon"), None);
        assert_eq!(Moment::default().to_string(), "0001-01-01T00:00:00");
    }
}
