//! What time it is, as a parameter: freshness, `keep` and expiry ask this and nothing else.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// A source of wall-clock time. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(SystemTime::now))
    }

    /// Any other clock: for tests that cross midnight or step back.
    pub fn from_fn(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// This moment.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        (self.0)()
    }

    /// Milliseconds since 1970-01-01T00:00:00Z; 0 for a clock set before that.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        let since = (self.0)().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// The calendar day in `zone`.
    #[must_use]
    pub fn today(&self, zone: &TimeZone) -> Date {
        let now = Timestamp::try_from((self.0)()).unwrap_or_default();
        zone.to_datetime(now).date()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Clock")
    }
}
