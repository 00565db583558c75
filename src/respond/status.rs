//! Where an answer came from, and why: the value of `Cache-Status` (RFC 9211). No keys in it.

use std::{fmt, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode};

use super::made::Made;
use crate::{classify::Reason, telemetry::outcome::Outcome};

/// The field.
pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Where an answer came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// From an entry.
    Hit {
        /// Its age.
        age: Duration,
        /// The age up to which it is fresh.
        ttl: Duration,
        /// What else there is to say.
        detail: Option<HitDetail>,
    },
    /// Filled for this request, or for one that came at the same time.
    Filled {
        /// Why an entry did not serve.
        because: Because,
        /// Another request's fill.
        collapsed: bool,
        /// It is in the store now.
        stored: bool,
        /// What else there is to say.
        detail: Option<FillDetail>,
    },
    /// A fill was tried and failed.
    Failed {
        /// Why an entry did not serve.
        because: Because,
        /// The upstream's status, where it answered.
        status: Option<StatusCode>,
    },
    /// Only a cached answer was wanted, and there is none.
    NotCached,
    /// Passed on untouched.
    Bypass(Reason),
}

/// How an entry came to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HitDetail {
    /// It is a copy in this process: the store was not asked.
    Near,
    /// The upstream was asked first whether the token may read.
    Asked,
    /// A newer one was wanted, but it was filled a moment ago.
    RefreshBounded,
    /// It is past its ttl, and is being filled anew.
    WhileRevalidate,
    /// It is past its ttl, and could not be filled anew.
    IfError,
}

/// How a fill came to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillDetail {
    /// The upstream counts another total for this token than the entry has.
    Total,
    /// There was an entry, but this token was to be heard for itself.
    Question,
    /// A fill that begins later was wanted, but two were under way.
    RefreshBounded,
    /// Nothing could be stored: the store is away.
    StoreAway,
}

/// Why an entry did not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// There was none that is valid.
    Miss,
    /// It was past its ttl.
    Stale,
    /// It was not what the request, or its token, takes.
    Request,
}

thread_local! {
    static HITS: Made<(i64, Option<HitDetail>)> = const { Made::new() };
    static BYPASSES: Made<Reason> = const { Made::new() };
}

/// What is left of a life, in seconds. Negative where it is over (RFC 9211 section 2.4); a second begun counts as over.
fn left(age: Duration, ttl: Duration) -> i64 {
    let milliseconds = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    milliseconds(ttl).saturating_sub(milliseconds(age)).div_euclid(1000)
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("catproxy; ")?;
        match self {
            Self::Hit { age, ttl, detail } => {
                write!(out, "hit; ttl={}", left(*age, *ttl))?;
                detail.map_or(Ok(()), |detail| write!(out, "; detail={detail}"))
            }
            Self::Filled { because, collapsed, stored, detail } => {
                write!(out, "fwd={because}")?;
                out.write_str(if *collapsed { "; collapsed" } else { "" })?;
                out.write_str(if *stored { "; stored" } else { "" })?;
                detail.map_or(Ok(()), |detail| write!(out, "; detail={detail}"))
            }
            Self::Failed { because, status: Some(status) } => {
                write!(out, "fwd={because}; fwd-status={}", status.as_u16())
            }
            Self::Failed { because, status: None } => write!(out, "fwd={because}; detail=unanswered"),
            Self::NotCached => out.write_str("detail=only-if-cached"),
            Self::Bypass(reason) => write!(out, "fwd=bypass; detail={reason}"),
        }
    }
}

impl fmt::Display for HitDetail {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Near => "near",
            Self::Asked => "asked",
            Self::RefreshBounded => "refresh-bounded",
            Self::WhileRevalidate => "stale-while-revalidate",
            Self::IfError => "stale-if-error",
        })
    }
}

impl fmt::Display for FillDetail {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Total => "total",
            Self::Question => "question",
            Self::RefreshBounded => "refresh-bounded",
            Self::StoreAway => "store-away",
        })
    }
}

impl fmt::Display for Because {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Miss => "miss",
            Self::Stale => "stale",
            Self::Request => "request",
        })
    }
}

impl CacheStatus {
    /// In the words of the metrics.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Hit { detail, .. } => match detail {
                None => Outcome::HitStore,
                Some(HitDetail::Near) => Outcome::HitNear,
                Some(HitDetail::Asked) => Outcome::HitAsked,
                Some(HitDetail::RefreshBounded) => Outcome::HitRefreshBounded,
                Some(HitDetail::WhileRevalidate) => Outcome::HitWhileRevalidate,
                Some(HitDetail::IfError) => Outcome::HitIfError,
            },
            Self::Filled { detail: Some(detail), .. } => match detail {
                FillDetail::Total => Outcome::FillTotal,
                FillDetail::Question => Outcome::FillQuestion,
                FillDetail::RefreshBounded => Outcome::FillRefreshBounded,
                FillDetail::StoreAway => Outcome::FillStoreAway,
            },
            Self::Filled { because, detail: None, .. } => match because {
                Because::Miss => Outcome::FillMiss,
                Because::Stale => Outcome::FillStale,
                Because::Request => Outcome::FillRequest,
            },
            Self::Failed { status: Some(_), .. } => Outcome::FailedAnswered,
            Self::Failed { status: None, .. } => Outcome::FailedUnanswered,
            Self::NotCached => Outcome::NotCached,
            Self::Bypass(reason) => Outcome::Forwarded(*reason),
        }
    }

    /// As a field's value.
    #[must_use]
    pub fn value(&self) -> HeaderValue {
        self.with_value(HeaderValue::clone)
    }

    /// Has its [value](Self::value) used.
    pub(super) fn with_value<T>(&self, used: impl FnOnce(&HeaderValue) -> T) -> T {
        let written =
            || HeaderValue::from_str(&self.to_string()).unwrap_or(HeaderValue::from_static("catproxy"));
        match self {
            Self::Hit { age, ttl, detail } => {
                let left = left(*age, *ttl);
                HITS.with(|hits| hits.with((left, *detail), left.cast_unsigned(), written, used))
            }
            Self::Bypass(reason) => BYPASSES.with(|made| made.with(*reason, *reason as u64, written, used)),
            _ => used(&written()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_hits_life_counts_down_and_below_nothing() {
        let ttl = Duration::from_secs(10);
        let text = |age| CacheStatus::Hit { age: Duration::from_millis(age), ttl, detail: None }.to_string();
        for (age, left) in [(0, 10), (1, 9), (9_000, 1), (9_001, 0), (10_000, 0), (10_001, -1), (15_000, -5)]
        {
            assert_eq!(text(age), format!("catproxy; hit; ttl={left}"), "{age} ms");
        }
    }
}
