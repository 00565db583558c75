//! Why a read is not answered from an entry, and what becomes of it.

use crate::{classify::Reason, fill::FillError};

/// Why a read is not answered from an entry.
pub(super) enum Declined {
    /// The upstream's own answer to the client's own request is the right one.
    Forward(Reason),
    /// There is no entry, and this is what the client is told.
    Failed(FillError),
    /// There is no entry, and the client wants nothing else.
    NotCached,
}

impl From<FillError> for Declined {
    fn from(error: FillError) -> Self {
        match error {
            FillError::TooLarge(_) => Self::Forward(Reason::TooLarge),
            FillError::Busy => Self::Forward(Reason::Busy),
            FillError::Unfit(_) | FillError::Contradiction(_) => Self::Forward(Reason::Unfit),
            failed => Self::Failed(failed),
        }
    }
}
