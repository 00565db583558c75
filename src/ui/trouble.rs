//! What went wrong, in words for a person.

use http::StatusCode;

/// Why a panel has nothing to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The token is no longer good.
    SignedOut,
    /// The token is good, and has no right to this.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// No answer.
    Away,
    /// None in time.
    Slow,
    /// An error of the upstream's own.
    Failed(u16),
    /// Not what the API is known to answer.
    Unreadable,
}

impl Trouble {
    pub(super) fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::SignedOut,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::BAD_GATEWAY => Self::Away,
            StatusCode::GATEWAY_TIMEOUT => Self::Slow,
            other => Self::Failed(other.as_u16()),
        }
    }

    /// A few words.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::SignedOut => "You are signed out",
            Self::Forbidden => "No right to see this",
            Self::NotFound => "Not found",
            Self::Away => "ABConnect cannot be reached",
            Self::Slow => "ABConnect takes too long",
            Self::Failed(_) => "ABConnect reports an error",
            Self::Unreadable => "An unexpected answer",
        }
    }

    /// What it means, and what to do.
    pub(super) fn text(self) -> String {
        match self {
            Self::SignedOut => "Your session has ended. Sign in again to go on where you were.".to_owned(),
            Self::Forbidden => {
                "ABConnect does not let this account see it. Ask whoever manages your account.".to_owned()
            }
            Self::NotFound => "It may have been deleted, or the address is mistyped.".to_owned(),
            Self::Away => "The connection failed or broke off. It may be back in a moment.".to_owned(),
            Self::Slow => "There was no answer in time. It may be busy; try again in a moment.".to_owned(),
            Self::Failed(status) => format!("It answered with error {status}. Try again in a moment."),
            Self::Unreadable => "What ABConnect answered could not be understood.".to_owned(),
        }
    }

    /// Trying again may help.
    pub(super) fn can_retry(self) -> bool {
        !matches!(self, Self::SignedOut | Self::Forbidden | Self::NotFound)
    }
}
