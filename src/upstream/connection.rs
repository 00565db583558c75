//! A connection to the upstream, worked on by whoever waits for something on it: no task of its own stands between the
//! upstream and the client, but where something goes on there while nobody waits.

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
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
    spelled::{Spelled, Speller},
    spelling::Head,
};

/// Bytes of an answer's head, and of a read: a large body passes in large pieces. (Fields may be a hundred, hyper's own
/// bound: to set another one costs each answer a thousand instructions.)
const BUFFER_BYTES: usize = 512 * 1024;

/// What comes of a request: an answer's head, or the request where nothing of it was written.
type Sent = Result<Response<Incoming>, Box<TrySendError<Request<RequestBody>>>>;

/// An open connection, which takes one request at a time. Dropped, it is closed.
pub(super) struct Connection {
    sender: http1::SendRequest<RequestBody>,
    speller: Speller,
    /// Reads and writes; `None` once it has ended, or goes on by itself.
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Connection {
    /// Speaks HTTP/1.1 on this stream.
    pub(super) async fn over<S>(stream: S) -> Result<Self, UpstreamError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (stream, speller) = Spelled::over(stream);
        let (sender, work) = http1::Builder::new()
            // Of answers. That of requests costs less as we do it.
            .preserve_header_case(true)
            .max_buf_size(BUFFER_BYTES)
            .handshake(TokioIo::new(Rationed { stream, read: 0 }))
            .await
            .map_err(UpstreamError::Broken)?;
        // Its errors reach whoever waits for an answer on it.
        let work = async { drop(work.with_upgrades().await) };
        Ok(Self { sender, speller, work: Some(Box::pin(work)) })
    }

    /// Sends a request and waits for its answer's head.
    pub(super) fn send(&mut self, request: Request<RequestBody>) -> impl Future<Output = Sent> {
        let spelling = request.body().spelling().cloned();
        self.speller.spell(spelling.map(|spelling| Head::of(spelling, request.headers())));
        // Nor does the runtime's budget end its asking.
        let answer = unconstrained(self.sender.try_send_request(request));
        let work = &mut self.work;
        // Beside the request, which is large and need not be moved as often.
        async move {
            let mut answer = pin!(answer);
            poll_fn(|context| {
                go_on(work, context);
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
        if self.work.is_none() {
            return Pin::new(answer).poll_frame(context);
        }
        // Asked first: that says that there is room for a piece.
        if let Poll::Ready(piece) = Pin::new(&mut *answer).poll_frame(&mut unwoken()) {
            return Poll::Ready(piece);
        }
        go_on(&mut self.work, context);
        Pin::new(answer).poll_frame(&mut unwoken())
    }

    /// Whether it takes another request, as far as can be known now.
    pub(super) fn is_ready(&mut self) -> bool {
        go_on(&mut self.work, &mut unwoken());
        self.is_free()
    }

    /// Whether it took another request when it was worked on last.
    pub(super) fn is_free(&self) -> bool {
        self.work.is_some() && self.sender.is_ready() && self.speller.is_clear()
    }

    /// Goes on by itself, whoever waits or not: for what is still to be sent, or for who takes its stream after an
    /// upgrade. It takes no other request then.
    pub(super) fn go_on_alone(&mut self) {
        if let Some(work) = self.work.take() {
            tokio::spawn(work);
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

fn go_on(work: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>, context: &mut Context<'_>) {
    if work.as_mut().is_some_and(|work| work.as_mut().poll(context).is_ready()) {
        *work = None;
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Connection").finish_non_exhaustive()
    }
}
