//! The body of an answer: bytes of our own, or the upstream's stream.

mod followed;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

pub use self::followed::Afterwards;
use self::followed::Followed;
use crate::upstream::{AnswerBody, BodyError};

/// Of an answer of our own, so much is handed over at a time: as long as some is left, its client is waited for.
const PIECE_BYTES: usize = 256 * 1024;

/// What a client gets.
#[derive(Debug)]
pub enum Body {
    /// Ours, whole; what was sent is taken off.
    Own(Bytes),
    /// The upstream's, as it comes.
    Passed(AnswerBody),
    /// The upstream's, with something to be done before the client sees its end.
    Followed(Box<Followed>),
}

impl Body {
    /// No body.
    #[must_use]
    pub const fn empty() -> Self {
        Self::Own(Bytes::new())
    }

    /// Does `work` when the upstream's body has ended or broken off and before that is passed on; where the client
    /// leaves, in a task of its own. A body that is already at its end is left as it is.
    #[must_use]
    pub fn followed_by(self, work: impl Future<Output = ()> + Send + 'static) -> Self {
        match self {
            Self::Passed(body) if !http_body::Body::is_end_stream(&body) => {
                Self::Followed(Box::new(Followed::new(body, Afterwards::of(work))))
            }
            body => body,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Own(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Own(bytes) => {
                let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Self::Passed(body) => Pin::new(body).poll_frame(context),
            Self::Followed(body) => body.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_empty(),
            Self::Passed(body) => body.is_end_stream(),
            Self::Followed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Passed(body) => body.size_hint(),
            Self::Followed(body) => body.size_hint(),
        }
    }
}
