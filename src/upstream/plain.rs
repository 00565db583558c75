//! Plain requests and their answers as bytes: a GET without a body, or an upload whose length is known. What passes them
//! on unread by hyper on either side. The deadlines, and what is sent again, are those of all requests.

mod body;
mod buffer;
mod coming;
mod framing;
mod head;
mod upload;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWriteExt as _, ReadBuf},
    sync::OwnedSemaphorePermit,
};

use self::coming::Coming;
pub use self::{
    body::PlainBody,
    head::AnswerHead,
    upload::{Sent, Upload},
};
use super::{Upstream, UpstreamError, broken::Broken, connect::Offer, http2::Http2, line::Line};
use crate::deadline::{Deadline, Elapsed};

/// An answer whose head has come, and what was made of that.
#[derive(Debug)]
pub struct PlainAnswer<H> {
    /// What it is.
    pub status: StatusCode,
    /// What was made of its head.
    pub head: H,
    /// Still to come.
    pub body: PlainBody,
}

impl Upstream {
    /// Whether plain requests can be [asked](Self::ask) and [uploaded](Self::upload): where the upstream speaks HTTP/1, as
    /// far as is known.
    #[must_use]
    pub fn takes_plain(&self) -> bool {
        self.http2.as_ref().is_none_or(Http2::is_first)
    }

    /// Sends a GET without a body, whose head this is, and waits for the answer's head, of which `make` makes something.
    /// Dropping the wait closes the connection.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask<H>(
        &self,
        request: &[u8],
        make: impl Fn(&AnswerHead<'_>) -> H,
    ) -> Result<PlainAnswer<H>, UpstreamError> {
        let mut place = Some(self.place().await?);
        if let Some(line) = self.pool.take(Duration::MAX) {
            match self.ask_on(line, request, &make, &mut place).await {
                // It has waited for too long, perhaps; a GET may be sent again.
                Err(UpstreamError::Broken(_)) => {}
                answered => return answered,
            }
        }
        let line = Box::pin(self.dial_line()).await?;
        self.ask_on(line, request, &make, &mut place).await
    }

    /// A connection on which HTTP/1 is spoken.
    async fn dial_line(&self) -> Result<Line, UpstreamError> {
        let limit = self.limits.connect_timeout;
        match Deadline::after(limit).within(self.connector.line(Offer::First)).await {
            Ok(connected) => connected.inspect_err(|_| {
                // It speaks HTTP/2 alone by now, perhaps: whoever comes next is to offer that as well.
                self.http2.iter().for_each(Http2::forget_first);
            }),
            Err(Elapsed) => Err(UpstreamError::ConnectLate(limit)),
        }
    }

    /// Takes the place for the answer's body.
    async fn ask_on<H>(
        &self,
        mut line: Line,
        request: &[u8],
        make: &impl Fn(&AnswerHead<'_>) -> H,
        place: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<PlainAnswer<H>, UpstreamError> {
        let limit = self.limits.head_timeout;
        let answer = async {
            line.write_all(request).await.map_err(Broken::Stream)?;
            line.flush().await.map_err(Broken::Stream)?;
            Coming::default().head(&mut line, make).await
        };
        let Ok(answer) = Deadline::after(limit).within(answer).await else {
            return Err(UpstreamError::Late(limit));
        };
        let (came, head) = answer?;
        let status = came.follows.status;
        let (limit, pool) = (self.limits.body_timeout, self.pool.clone());
        let body = PlainBody::of(came, false, line, limit, pool, place.take());
        Ok(PlainAnswer { status, head, body })
    }
}

/// Reads what there is, into this room. 0: nothing more is to come.
fn poll_read(
    stream: &mut (impl AsyncRead + Unpin),
    context: &mut Context<'_>,
    room: &mut [u8],
) -> Poll<std::io::Result<usize>> {
    let mut room = ReadBuf::new(room);
    ready!(Pin::new(stream).poll_read(context, &mut room))?;
    Poll::Ready(Ok(room.filled().len()))
}
