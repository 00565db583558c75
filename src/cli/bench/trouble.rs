//! Why there is nothing to tell, for the person who asked. No secret is in it, nor a word of a server's but what
//! catproxy says in `Cache-Status`.

use std::time::Duration;

use http::StatusCode;

use super::{lists::List, samples::Kind};
use crate::{
    config::report::Report,
    server::StartError,
    ui::identity::IdentityError,
    upstream::{BodyError, Broken, UpstreamError, UpstreamUnusable},
};

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{0}")]
    Options(Report),
    #[error("no histogram")]
    Histogram(#[from] hdrhistogram::CreationError),
    #[error("this cannot be spoken to")]
    Unusable(#[from] UpstreamUnusable),
    #[error("no proxy at {url}")]
    Away {
        url: String,
        #[source]
        source: std::io::Error,
    },
    #[error("no answer from {url} within {limit:?}")]
    Late { url: String, limit: Duration },
    #[error("{url} broke off")]
    Broken {
        url: String,
        #[source]
        source: Broken,
    },
    #[error("what {url} answers is of no use")]
    Unfit { url: String },
    #[error("the token is not accepted (401): too old, or of another API")]
    NotAccepted,
    #[error("the token may not read the {0} (403)")]
    Forbidden(List),
    #[error("{url} answers {status} to a read of the {list}")]
    Status { url: String, list: List, status: StatusCode },
    #[error("{url} is not catproxy: its answer has no `Cache-Status: catproxy`")]
    NotCatproxy { url: String },
    #[error("what {url} answers is no list of sellers")]
    NoList { url: String },
    #[error("there are no sellers for this token, so there is nothing to measure")]
    NoSellers,
    #[error(
        "all {count} {kind} reads of the {list} had to be discarded; the last one's `Cache-Status`: {last}"
    )]
    Discarded { list: List, kind: Kind, count: u64, last: String },
    #[error("whose token? Set CATPROXY_BENCH_TOKEN, or give --user")]
    Nobody,
    #[error("the token fits into no request: it is empty, or holds other than visible ASCII characters")]
    Token,
    #[error(
        "CATPROXY_UI_CLIENT_ID and CATPROXY_UI_CLIENT_SECRET are not both set: the identity server is asked as that client"
    )]
    NoClient,
    #[error("CATPROXY_BENCH_PASSWORD is not set, and there is no terminal to ask for the password")]
    NoPassword,
    #[error("no token for this user")]
    Identity(#[from] IdentityError),
}

impl Trouble {
    /// Why there is no answer's head.
    pub(super) fn of_head(url: &str, error: UpstreamError) -> Self {
        let url = url.to_owned();
        match error {
            UpstreamError::Connect(source) => Self::Away { url, source },
            UpstreamError::ConnectLate(limit)
            | UpstreamError::Crowded(limit)
            | UpstreamError::Late(limit) => Self::Late { url, limit },
            UpstreamError::Broken(source) => Self::Broken { url, source },
            UpstreamError::Unfit(_) | UpstreamError::ClientLate | UpstreamError::ClientBroken => {
                Self::Unfit { url }
            }
        }
    }

    /// Why an answer's body is not whole.
    pub(super) fn of_body(url: &str, error: BodyError) -> Self {
        let url = url.to_owned();
        match error {
            BodyError::Broken(source) => Self::Broken { url, source },
            BodyError::Idle(limit) => Self::Late { url, limit },
            BodyError::Slow => Self::Unfit { url },
        }
    }
}
