//! A connection to the upstream, worked on by whoever waits for something on it: no task of its own stands between the
//! upstream and the client, but where something goes on there while nobody waits.

use std::{
    fmt,
    future::{Future, poll_fn},
    io, mem,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body::{Body, Frame};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::unconstrained,
};

use super::{
    UpstreamError,
    body::RequestBody,
    broken::Broken,
    line::Line,
    spelled::{Spelled, Speller},
    spelling::Head,
};

/// Bytes of an answer's head, and of a read: a large body passes in large pieces. (Fields may be a hundred, hyper's own
/// bound: to set another one costs each answer a thousand instructions.)
const BUFFER_BYTES: usize = 512 * 1024;

/// What comes of a request: an answer's head, or the request where nothing of it was written.
type Sent = Result<Response<Incoming>, Box<TrySendError<Request<RequestBody>>>>;

/// A connection on which hyper speaks, for one request. Dropped, it is closed.
pub(super) struct Connection {
    sender: http1::SendRequest<RequestBody>,
    speller: Speller,
    work: Work,
}

/// Who reads and writes. Errors reach whoever waits for an answer.
enum Work {
    /// Gives the stream back when nothing more is to be done.
    Returning(Box<http1::Connection<TokioIo<Rationed<Spelled<Line>>>, RequestBody>>),
    /// Hands the stream to whoever takes it after a change of protocol.
    Upgrading(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// It has ended, or goes on by itself.
    Gone,
}

impl Connection {
    /// Speaks HTTP/1.1 on this stream.
    pub(super) async fn over(line: Line) -> Result<Self, UpstreamError> {
        let (stream, speller) = Spelled::over(line);
        let (sender, work) = http1::Builder::new()
            // Of answers. That of requests costs less as we do it.
            .preserve_header_case(true)
            .max_buf_size(BUFFER_BYTES)
            .handshake(TokioIo::new(Rationed { stream, read: 0 }))
            .await
            .map_err(Broken::from)?;
        Ok(Self { sender, speller, work: Work::Returning(Box::new(work)) })
    }

    /// Sends a request and waits for its answer's head.
    pub(super) fn send(&mut self, request: Request<RequestBody>) -> impl Future<Output = Sent> {
        let spelling = request.body().spelling().cloned();
        self.speller.spell(spelling.map(|spelling| Head::of(spelling, request.headers())));
        if request.headers().contains_key(header::UPGRADE) {
            self.work.upgrade();
        }
        // Nor does the runtime's budget end its asking.
        let answer = unconstrained(self.sender.try_send_request(request));
        let work = &mut self.work;
        // Beside the request, which is large and need not be moved as often.
        async move {
            let mut answer = pin!(answer);
            poll_fn(|context| {
                work.go_on(context);
                answer.as_mut().poll(&mut unwoken()).map_err(Box::new)
            })
            .await
        }
    }

    /// The next piece of an answer that came on it.
    pub(super) fn poll_answer(
        &mut self,
        answer: &mut Incoming,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if matches!(self.work, Work::Gone) {
            return Pin::new(answer).poll_frame(context);
        }
        // Asked first: that says that there is room for a piece.
        if let Poll::Ready(piece) = Pin::new(&mut *answer).poll_frame(&mut unwoken()) {
            return Poll::Ready(piece);
        }
        self.work.go_on(context);
        Pin::new(answer).poll_frame(&mut unwoken())
    }

    /// The stream, where it takes another request as far as can be known now.
    pub(super) fn into_line(mut self) -> Option<Line> {
        // Mostly it is free as soon as its answer has ended.
        if !self.sender.is_ready() {
            self.work.go_on(&mut unwoken());
        }
        let Work::Returning(work) = self.work else { return None };
        if !(self.sender.is_ready() && self.speller.is_clear()) {
            return None;
        }
        let parts = work.into_parts();
        // What has come already answers nothing that was asked.
        parts.read_buf.is_empty().then(|| parts.io.into_inner().stream.into_inner())
    }

    /// Goes on by itself, whoever waits or not: for what is still to be sent, or for who takes its stream after an
    /// upgrade. It takes no other request then.
    pub(super) fn go_on_alone(&mut self) {
        match mem::replace(&mut self.work, Work::Gone) {
            Work::Returning(work) => drop(tokio::spawn(async { drop(work.await) })),
            Work::Upgrading(work) => drop(tokio::spawn(work)),
            Work::Gone => {}
        }
    }
}

impl Work {
    /// Its stream may be another's after the answer.
    fn upgrade(&mut self) {
        *self = match mem::replace(self, Self::Gone) {
            Self::Returning(work) => Self::Upgrading(Box::pin(async { drop(work.with_upgrades().await) })),
            other => other,
        };
    }

    fn go_on(&mut self, context: &mut Context<'_>) {
        let ended = match self {
            Self::Returning(work) => Pin::new(work).poll(context).is_ready(),
            Self::Upgrading(work) => work.as_mut().poll(context).is_ready(),
            Self::Gone => false,
        };
        if ended {
            *self = Self::Gone;
        }
    }
}

/// A stream of which no more than [`BUFFER_BYTES`] is read at a time: then others have their turn, however much there is
/// and whatever is made of it.
struct Rationed<S> {
    stream: S,
    /// Since it was last waited for, or others had their turn.
    read: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rationed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read >= BUFFER_BYTES {
            self.read = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.read = if read.is_ready() { self.read + buffer.filled().len() - before } else { 0 };
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rationed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Whatever is asked with this is asked again after the work has gone on, which is all that it waits for.
fn unwoken() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Connection").finish_non_exhaustive()
    }
}
