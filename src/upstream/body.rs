//! Bodies on their way: streamed piece by piece, never gathered, each under a deadline between two pieces.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{broken::Broken, spelling::Spelling};
use crate::deadline::{Pace, Patience, Spent};

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The sender stopped, broke off, or sent what is no HTTP.
    #[error("the body broke off")]
    Broken(#[source] Broken),
    /// Nothing came for too long.
    #[error("nothing of the body came within {0:?}")]
    Idle(Duration),
    /// It came piece by piece, but too slowly.
    #[error("the body came too slowly")]
    Slow,
}

impl From<Spent> for BodyError {
    fn from(spent: Spent) -> Self {
        match spent {
            Spent::Idle(limit) => Self::Idle(limit),
            Spent::Slow => Self::Slow,
        }
    }
}

/// A body whose sender is waited for with [`Patience`].
#[derive(Debug)]
pub(super) struct Timed<B> {
    pub(super) inner: B,
    patience: Patience,
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Timed<B> {
    pub(super) fn new(inner: B, limit: Duration, pace: Pace) -> Self {
        Self { inner, patience: Patience::new(limit, pace) }
    }

    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            self.patience.moved(data.map_or(0, |bytes| bytes.len() as u64));
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| BodyError::Broken(error.into()))));
        }
        self.patience.poll_spent(context).map(|spent| Some(Err(spent.into())))
    }
}

/// What was wrong with a client's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientFault {
    /// It paused for too long.
    Late,
    /// It broke off, or was no HTTP.
    Broken,
}

/// Whether nothing comes after this frame. Who has read the trailers need not ask for more.
pub(super) fn is_last(frame: &Frame<Bytes>, body: &impl Body) -> bool {
    frame.is_trailers() || body.is_end_stream()
}

/// How far a request's body has got; shared with whoever waits for the answer.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<Mutex<Stage>>);

#[derive(Debug)]
struct Stage {
    /// When the last piece was handed over.
    last: Instant,
    next: Next,
}

/// What a request's body waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The upstream, to take another piece.
    Upstream,
    /// The client, to send another piece.
    Client,
    /// Nothing: all of it was handed over.
    End,
    /// Nothing: it will not be whole.
    Never(ClientFault),
}

impl Progress {
    fn new(next: Next) -> Self {
        Self(Arc::new(Mutex::new(Stage { last: Instant::now(), next })))
    }

    /// The connection is there: from here on the upstream may be late.
    pub(super) fn begin(&self) {
        self.lock().last = Instant::now();
    }

    /// By when the upstream must have answered, or taken another piece; `None` while it is not its turn.
    pub(super) fn due(&self, head: Duration, body: Duration) -> Option<Instant> {
        let stage = self.lock();
        match stage.next {
            Next::End => Some(stage.last + head),
            Next::Upstream => Some(stage.last + body),
            Next::Client | Next::Never(_) => None,
        }
    }

    /// Nothing of it is still to be sent.
    pub(super) fn has_ended(&self) -> bool {
        self.lock().next == Next::End
    }

    /// Why it will not be whole.
    pub(super) fn fault(&self) -> Option<ClientFault> {
        match self.lock().next {
            Next::Never(fault) => Some(fault),
            Next::Upstream | Next::Client | Next::End => None,
        }
    }

    fn note(&self, next: Next) {
        let mut stage = self.lock();
        if next != Next::Client {
            stage.last = Instant::now();
        }
        stage.next = next;
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a request to the upstream, and what goes with it.
#[derive(Debug)]
pub struct RequestBody {
    source: Source,
    /// `None` where there is nothing that could go on.
    progress: Option<Progress>,
    /// Of the head that is before it. Not among the request's extensions, where nothing else is: to make a map of one costs
    /// each request a thousand instructions.
    spelling: Option<Arc<Spelling>>,
}

/// Where a request's body comes from.
enum Source {
    /// There is none, or nothing of it is left.
    Nothing,
    /// This program made it. It may hold a password and is not printed.
    Own(Bytes),
    /// A client is sending it.
    Client(Box<Timed<Incoming>>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Own(_) => "Own",
            Self::Client(_) => "Client",
        })
    }
}

impl RequestBody {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self { source: Source::Nothing, progress: None, spelling: None }
    }

    /// A body that is there already.
    #[must_use]
    pub fn own(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            return Self::empty();
        }
        Self { source: Source::Own(bytes), progress: Some(Progress::new(Next::Upstream)), spelling: None }
    }

    /// The client's body, which must not pause for longer than `limit` nor come more slowly than at this pace.
    #[must_use]
    pub fn of_client(body: Incoming, limit: Duration, pace: Pace) -> Self {
        if body.is_end_stream() {
            return Self::empty();
        }
        Self {
            source: Source::Client(Box::new(Timed::new(body, limit, pace))),
            progress: Some(Progress::new(Next::Upstream)),
            spelling: None,
        }
    }

    /// Behind a head whose fields are spelled so.
    #[must_use]
    pub fn behind(self, spelling: Option<Arc<Spelling>>) -> Self {
        Self { spelling, ..self }
    }

    /// How the fields of its request's head are spelled, where that is known.
    pub(super) fn spelling(&self) -> Option<&Arc<Spelling>> {
        self.spelling.as_ref()
    }

    /// True where there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.source, Source::Nothing)
    }

    /// The same body once more, where that can be had.
    pub(super) fn again(&self) -> Option<Self> {
        let again = match &self.source {
            Source::Nothing => Self::empty(),
            Source::Own(bytes) => Self::own(bytes.clone()),
            Source::Client(_) => return None,
        };
        Some(again.behind(self.spelling.clone()))
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.clone().unwrap_or_else(|| Progress::new(Next::End))
    }
}

fn note(progress: &Option<Progress>, next: Next) {
    if let Some(progress) = progress {
        progress.note(next);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let client = match &mut this.source {
            Source::Nothing => return Poll::Ready(None),
            Source::Own(bytes) => {
                let frame = Frame::data(std::mem::take(bytes));
                this.source = Source::Nothing;
                note(&this.progress, Next::End);
                return Poll::Ready(Some(Ok(frame)));
            }
            Source::Client(client) => client,
        };
        let frame = client.poll(context);
        note(
            &this.progress,
            match &frame {
                Poll::Pending => Next::Client,
                Poll::Ready(Some(Ok(frame))) if !is_last(frame, &client.inner) => Next::Upstream,
                Poll::Ready(Some(Ok(_)) | None) => Next::End,
                Poll::Ready(Some(Err(BodyError::Idle(_) | BodyError::Slow))) => {
                    Next::Never(ClientFault::Late)
                }
                Poll::Ready(Some(Err(BodyError::Broken(_)))) => Next::Never(ClientFault::Broken),
            },
        );
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Nothing => true,
            Source::Own(_) => false,
            Source::Client(client) => client.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Nothing => SizeHint::with_exact(0),
            Source::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Client(client) => client.inner.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_body_of_our_own_is_one_piece_of_known_size_and_not_printed() {
        let mut body = RequestBody::own(Bytes::from_static(b"password=x"));
        let progress = body.progress();
        assert!(!body.is_empty() && !body.is_end_stream() && !progress.has_ended());
        assert_eq!(body.size_hint().exact(), Some(10));
        assert!(!format!("{body:?}").contains("password"), "{body:?}");
        let frame = body.frame().await.expect("a piece").expect("whole");
        assert_eq!(frame.into_data().ok().as_deref(), Some(b"password=x".as_slice()));
        assert!(progress.has_ended() && body.is_end_stream());
        assert!(body.frame().await.is_none());
        assert!(RequestBody::own(Bytes::new()).is_empty());
    }
}
