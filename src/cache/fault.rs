//! How a store fails. A failure is never an error to a client: it is a miss.

use std::fmt;

/// Why the store did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    /// It is known to be away: nothing was sent.
    Open,
    /// There is none.
    Absent,
    /// No answer within the budget.
    Late,
    /// No connection, or one that broke.
    Connection,
    /// It answered with a refusal: full, read-only, no permission, another type.
    Refused,
    /// It is there and cannot serve yet: loading, or a replica without its master.
    Unready,
    /// The key is on another server of the Cluster than was thought.
    Moved,
    /// The entry is larger than an entry may be.
    TooLarge,
    /// No random bytes for a token, or text that is not JSON: our own failure.
    Internal,
}

impl Fault {
    /// It does not mend by itself: somebody should look.
    pub(super) fn is_lasting(self) -> bool {
        matches!(self, Self::Refused | Self::TooLarge | Self::Internal)
    }
}

impl Fault {
    /// In a word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Absent => "absent",
            Self::Late => "late",
            Self::Connection => "connection",
            Self::Refused => "refused",
            Self::Unready => "unready",
            Self::Moved => "moved",
            Self::TooLarge => "too-large",
            Self::Internal => "internal",
        }
    }

    /// In words.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Open => "known to be away",
            Self::Absent => "there is none",
            Self::Late => "no answer in time",
            Self::Connection => "no connection",
            Self::Refused => "refused (full, read-only, or without the right)",
            Self::Unready => "not ready",
            Self::Moved => "on another server now",
            Self::TooLarge => "entry too large",
            Self::Internal => "internal failure",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.text())
    }
}
