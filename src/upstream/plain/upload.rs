//! A request with a body of a known length: the body passes piece by piece, each written before the next one is read, and
//! the answer is listened for all the while.

use std::{
    fmt,
    future::poll_fn,
    io, mem,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite as _},
    sync::OwnedSemaphorePermit,
};

use super::{
    super::{FRESH, Upstream, UpstreamError, broken::Broken, line::Line, pool::Pool},
    PlainAnswer, PlainBody,
    buffer::{self, Buffer},
    coming::{Came, Coming},
    head::AnswerHead,
    poll_read,
};
use crate::deadline::{Deadline, Elapsed, Pace, Patience};

/// After so much others have their turn, however much there is; a small piece counts as so much of it.
const TURN_BYTES: usize = 512 * 1024;
const SMALL_PIECE: usize = TURN_BYTES / 32;
/// Of a request's head; there is room for a piece behind it.
const HEAD_BYTES: usize = buffer::BYTES / 2;

/// A head and the body behind it, on their way from a client to the upstream.
#[derive(Debug)]
pub struct Upload {
    /// So many bytes are still to be read.
    left: u64,
    /// `None` while there is nothing in it.
    buffer: Option<Buffer>,
    /// What was read and is still to be written.
    data: Range<usize>,
    /// That is the head, behind which something of the body may go along.
    is_head: bool,
    /// Nothing of it has been written.
    untouched: bool,
    /// All of it is on its way, or was thrown away.
    over: bool,
    /// The upstream takes no more of it; the rest is thrown away, so that its client can hear why.
    in_vain: bool,
    /// How long either side may pause.
    limit: Duration,
    client: Patience,
    upstream: Patience,
    /// Since others had their turn.
    moved: usize,
}

/// Why an upload does not go on.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Its client is late or has broken off.
    Client(UpstreamError),
    /// The upstream takes no more of it.
    Upstream(UpstreamError),
}

impl Upload {
    /// Of this head and a body of so many bytes. Neither side may pause for longer than `limit`, nor the client be slower
    /// than at its pace. `None`: the head is too long.
    #[must_use]
    pub fn new(head: &[u8], length: u64, limit: Duration, pace: Pace) -> Option<Self> {
        (head.len() <= HEAD_BYTES).then(|| Self {
            left: length,
            buffer: None,
            data: 0..0,
            is_head: false,
            untouched: true,
            over: false,
            in_vain: false,
            limit,
            client: Patience::new(limit, pace),
            upstream: Patience::new(limit, Pace::of(0)),
            moved: 0,
        })
    }

    /// There is somebody to write to: from here on it has a buffer.
    fn begin(&mut self, head: &[u8]) {
        // One that found a connection closed has it still.
        if !self.data.is_empty() {
            return;
        }
        let buffer = self.buffer.insert(Buffer::lent());
        if let Some(room) = buffer.get_mut(..head.len()) {
            room.copy_from_slice(head);
        }
        (self.data, self.is_head) = (0..head.len(), true);
    }

    /// Whether all of it has been read from its client.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.left == 0
    }

    /// Whether it is over: nothing of it is to be moved any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the upstream takes no more of it.
    #[must_use]
    pub fn is_in_vain(&self) -> bool {
        self.in_vain
    }

    /// The upstream takes no more of it.
    pub fn give_up(&mut self) {
        self.in_vain = true;
        self.data = 0..0;
        self.buffer = None;
    }

    /// Reads what is still to come and throws it away; ready when that is over.
    ///
    /// # Errors
    /// [`UpstreamError::ClientLate`] and [`UpstreamError::ClientBroken`].
    pub fn poll_rest(
        &mut self,
        client: &mut (impl AsyncRead + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<Result<(), UpstreamError>> {
        while self.left > 0 {
            ready!(self.poll_turn(context));
            self.data = 0..0;
            ready!(self.poll_fill(client, context))?;
        }
        self.give_up();
        self.over = true;
        Poll::Ready(Ok(()))
    }

    /// Moves it on; ready when all of it is on its way.
    pub(super) fn poll(
        &mut self,
        client: &mut (impl AsyncRead + Unpin),
        line: &mut Line,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Stopped>> {
        loop {
            ready!(self.poll_turn(context));
            let is_head = mem::take(&mut self.is_head);
            if self.left > 0 && (self.data.is_empty() || is_head) {
                let read = self.poll_fill(client, context).map_err(Stopped::Client)?;
                if read.is_pending() && self.data.is_empty() {
                    // What was taken may wait still where there is TLS.
                    let _ = self.poll_flush(line, context)?;
                    return Poll::Pending;
                }
            }
            if self.data.is_empty() {
                self.buffer = None;
                ready!(self.poll_flush(line, context))?;
                self.over = true;
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_write(line, context))?;
        }
    }

    /// Ready while it has its turn.
    fn poll_turn(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.moved < TURN_BYTES {
            return Poll::Ready(());
        }
        self.moved = 0;
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads a piece behind what is there. Its client is waited for where nothing is.
    fn poll_fill(
        &mut self,
        client: &mut (impl AsyncRead + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<Result<(), UpstreamError>> {
        let buffer = self.buffer.get_or_insert_with(Buffer::lent);
        let room = buffer.get_mut(self.data.end..).unwrap_or_default();
        let most = usize::try_from(self.left).map_or(room.len(), |left| left.min(room.len()));
        match poll_read(client, context, room.get_mut(..most).unwrap_or_default()) {
            Poll::Ready(Ok(bytes @ 1..)) => {
                self.client.moved(bytes as u64);
                self.data.end += bytes;
                self.left = self.left.saturating_sub(bytes as u64);
                self.moved += bytes.max(SMALL_PIECE);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(_) => Poll::Ready(Err(UpstreamError::ClientBroken)),
            Poll::Pending if !self.data.is_empty() => Poll::Pending,
            Poll::Pending => {
                (self.buffer, self.moved) = (None, 0);
                self.client.poll_spent(context).map(|_| Err(UpstreamError::ClientLate))
            }
        }
    }

    /// Writes what was read.
    fn poll_write(&mut self, line: &mut Line, context: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        while let Some(piece) = self.buffer.as_ref().and_then(|buffer| buffer.get(self.data.clone()))
            && !piece.is_empty()
        {
            let written = Pin::new(&mut *line).poll_write(context, piece);
            // Within TLS some of it may have gone before the rest failed.
            self.untouched &= written.is_pending() || matches!(line, Line::Left(_));
            let bytes = ready!(self.poll_taken(written, context))?;
            if bytes == 0 {
                return Poll::Ready(Err(Stopped::Upstream(Broken::Short.into())));
            }
            self.upstream.moved(bytes as u64);
            self.untouched = false;
            self.data.start += bytes;
        }
        self.data = 0..0;
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, line: &mut Line, context: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        let flushed = Pin::new(line).poll_flush(context);
        ready!(self.poll_taken(flushed, context))?;
        self.upstream.moved(0);
        Poll::Ready(Ok(()))
    }

    /// What the upstream has taken; it is waited for.
    fn poll_taken<T>(
        &mut self,
        taken: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<T, Stopped>> {
        let error = match taken {
            Poll::Ready(Ok(taken)) => return Poll::Ready(Ok(taken)),
            Poll::Ready(Err(error)) => Broken::Stream(error).into(),
            Poll::Pending => {
                self.moved = 0;
                ready!(self.upstream.poll_spent(context));
                UpstreamError::Late(self.limit)
            }
        };
        Poll::Ready(Err(Stopped::Upstream(error)))
    }
}

/// A request that was sent as far as the upstream takes it, or has an answer already.
pub struct Sent<H> {
    line: Line,
    coming: Coming,
    /// The head of an answer that has come early.
    came: Option<(Came, H)>,
    /// Its answer has come before all of it was sent, or not all of it will be.
    early: bool,
    place: Option<OwnedSemaphorePermit>,
    pool: Pool,
    head_timeout: Duration,
    body_timeout: Duration,
}

impl<H> Sent<H> {
    /// Waits for the answer's head, of which `make` makes something. Dropping the wait closes the connection.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn answer(self, make: impl Fn(&AnswerHead<'_>) -> H) -> Result<PlainAnswer<H>, UpstreamError> {
        let Self { mut line, mut coming, came, early, place, pool, head_timeout, body_timeout } = self;
        let (came, head) = match came {
            Some(came) => came,
            None => {
                let head = Deadline::after(head_timeout).within(coming.head(&mut line, &make)).await;
                head.map_err(|Elapsed| UpstreamError::Late(head_timeout))??
            }
        };
        let status = came.follows.status;
        let body = PlainBody::of(came, early, line, body_timeout, pool, place);
        Ok(PlainAnswer { status, head, body })
    }
}

impl<H> fmt::Debug for Sent<H> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Sent").field("early", &self.early).finish_non_exhaustive()
    }
}

impl Upstream {
    /// Sends an upload, whose head this is and whose body `client` sends; returns when all of it is on its way, the upstream
    /// takes no more of it, or the head of an answer has come, of which `make` makes something. Dropping the wait closes the
    /// connection.
    ///
    /// # Errors
    /// Why there will be no answer.
    pub async fn upload<H>(
        &self,
        head: &[u8],
        upload: &mut Upload,
        client: &mut (impl AsyncRead + Unpin),
        make: impl Fn(&AnswerHead<'_>) -> H,
    ) -> Result<Sent<H>, UpstreamError> {
        let mut place = Some(self.place().await?);
        if let Some(line) = self.pool.take(FRESH) {
            upload.begin(head);
            match self.upload_on(line, upload, client, &make, &mut place).await {
                // It was closed before.
                Err(UpstreamError::Broken(_)) if upload.untouched => {}
                sent => return sent,
            }
        }
        let line = Box::pin(self.dial_line()).await?;
        upload.begin(head);
        self.upload_on(line, upload, client, &make, &mut place).await
    }

    /// Takes the place along.
    async fn upload_on<H>(
        &self,
        mut line: Line,
        upload: &mut Upload,
        client: &mut (impl AsyncRead + Unpin),
        make: &impl Fn(&AnswerHead<'_>) -> H,
        place: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<Sent<H>, UpstreamError> {
        let mut coming = Coming::default();
        let came = poll_fn(|context| match upload.poll(client, &mut line, context) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(None)),
            // Before it closed, the upstream may have said why.
            Poll::Ready(Err(Stopped::Upstream(UpstreamError::Broken(_)))) if !upload.untouched => {
                upload.give_up();
                Poll::Ready(Ok(None))
            }
            Poll::Ready(Err(Stopped::Client(error) | Stopped::Upstream(error))) => Poll::Ready(Err(error)),
            Poll::Pending => coming.poll_head(&mut line, make, context).map_ok(Some),
        })
        .await?;
        Ok(Sent {
            line,
            coming,
            early: came.is_some() || upload.in_vain,
            came,
            place: place.take(),
            pool: self.pool.clone(),
            head_timeout: self.limits.head_timeout,
            body_timeout: self.limits.body_timeout,
        })
    }
}
