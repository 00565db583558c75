//! How a request ended, in the words of the metrics.

use crate::classify::Reason;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// From a copy in this process.
    HitNear,
    /// From the store.
    HitStore,
    /// From an entry, after the upstream was asked about the token.
    HitAsked,
    /// A newer one was wanted, but this one was filled a moment ago.
    HitRefreshBounded,
    /// Past its ttl, and being filled anew.
    HitWhileRevalidate,
    /// Past its ttl, and not to be filled anew.
    HitIfError,
    /// Filled: there was nothing.
    FillMiss,
    /// Filled: what there was is past its ttl.
    FillStale,
    /// Filled: the request wanted a newer one.
    FillRequest,
    /// Filled: the upstream counts another total for the token.
    FillTotal,
    /// Filled: the token was to be heard for itself.
    FillQuestion,
    /// Filled: a fill that begins later was wanted, but two were under way.
    FillRefreshBounded,
    /// Filled, and not stored: the store is away.
    FillStoreAway,
    /// A fill was answered with an error of the upstream's.
    FailedAnswered,
    /// A fill was not answered, or not usably.
    FailedUnanswered,
    /// By a mistake of ours.
    FailedInternal,
    /// Only a cached answer was wanted.
    NotCached,
    /// No proxy should pass it.
    Refused,
    /// Passed on.
    Forwarded(Reason),
}

/// All but those that are passed on.
const OWN: [Outcome; 18] = [
    Outcome::HitNear,
    Outcome::HitStore,
    Outcome::HitAsked,
    Outcome::HitRefreshBounded,
    Outcome::HitWhileRevalidate,
    Outcome::HitIfError,
    Outcome::FillMiss,
    Outcome::FillStale,
    Outcome::FillRequest,
    Outcome::FillTotal,
    Outcome::FillQuestion,
    Outcome::FillRefreshBounded,
    Outcome::FillStoreAway,
    Outcome::FailedAnswered,
    Outcome::FailedUnanswered,
    Outcome::FailedInternal,
    Outcome::NotCached,
    Outcome::Refused,
];

/// What outcomes have in common, for which times are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From an entry.
    Hit,
    /// The upstream was asked for a collection.
    Fill,
    /// Passed on.
    Forward,
}

impl Outcome {
    /// So many there are.
    pub(super) const COUNT: usize = OWN.len() + Reason::ALL.len();

    /// All of them, each at its place.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        OWN.into_iter().chain(Reason::ALL.into_iter().map(Self::Forwarded))
    }

    /// Below [`Outcome::COUNT`], and of no other one.
    pub(super) fn place(self) -> usize {
        match self {
            Self::Forwarded(reason) => OWN.len() + reason as usize,
            own => OWN.iter().position(|one| *one == own).unwrap_or(0),
        }
    }

    /// Of a page that was answered: whether from an entry; `None` where no page was.
    pub(super) fn is_hit(self) -> Option<bool> {
        match self {
            Self::FailedAnswered | Self::FailedUnanswered | Self::FailedInternal => None,
            own => own.kind().filter(|kind| *kind != Kind::Forward).map(|kind| kind == Kind::Hit),
        }
    }

    /// `None`: it took no time to speak of.
    pub(super) fn kind(self) -> Option<Kind> {
        match self {
            Self::HitNear
            | Self::HitStore
            | Self::HitAsked
            | Self::HitRefreshBounded
            | Self::HitWhileRevalidate
            | Self::HitIfError => Some(Kind::Hit),
            Self::FillMiss
            | Self::FillStale
            | Self::FillRequest
            | Self::FillTotal
            | Self::FillQuestion
            | Self::FillRefreshBounded
            | Self::FillStoreAway
            | Self::FailedAnswered
            | Self::FailedUnanswered
            | Self::FailedInternal => Some(Kind::Fill),
            Self::NotCached | Self::Refused => None,
            Self::Forwarded(_) => Some(Kind::Forward),
        }
    }

    /// What it is, and why.
    #[must_use]
    pub fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::HitNear => ("hit", "near"),
            Self::HitStore => ("hit", "store"),
            Self::HitAsked => ("hit", "asked"),
            Self::HitRefreshBounded => ("hit", "refresh-bounded"),
            Self::HitWhileRevalidate => ("hit", "stale-while-revalidate"),
            Self::HitIfError => ("hit", "stale-if-error"),
            Self::FillMiss => ("fill", "miss"),
            Self::FillStale => ("fill", "stale"),
            Self::FillRequest => ("fill", "request"),
            Self::FillTotal => ("fill", "total"),
            Self::FillQuestion => ("fill", "question"),
            Self::FillRefreshBounded => ("fill", "refresh-bounded"),
            Self::FillStoreAway => ("fill", "store-away"),
            Self::FailedAnswered => ("failed", "answered"),
            Self::FailedUnanswered => ("failed", "unanswered"),
            Self::FailedInternal => ("failed", "internal"),
            Self::NotCached => ("not-cached", "only-if-cached"),
            Self::Refused => ("refused", "guard"),
            Self::Forwarded(reason) => ("forwarded", reason.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_a_place_and_labels_of_its_own() {
        let mut labels: Vec<_> = Outcome::all().map(Outcome::labels).collect();
        for (place, outcome) in Outcome::all().enumerate() {
            assert_eq!(outcome.place(), place, "{outcome:?}");
        }
        assert_eq!(labels.len(), Outcome::COUNT);
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Outcome::COUNT);
    }
}
