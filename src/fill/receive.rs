//! Receives a body. Where connections are served it is only gathered, a part at a time; decoding it, and whatever is made
//! of it, is done elsewhere. So a body costs no connection more than handing it on, and never lies in memory whole.

use std::{
    io::{self, Write},
    mem,
};

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt as _;

use super::{FillError, decode::Decoder, unfit};
use crate::{
    aside::aside,
    upstream::{AnswerBody, BodyError, UpstreamError},
};

/// So much of a body is handed on at a time: more than most pages have, so that one is worth one way elsewhere.
const PART_BYTES: usize = 1024 * 1024;
/// A smaller piece is copied to those before it: it may hold on to a buffer that is larger than itself.
const COPIED_BYTES: usize = 16 * 1024;
/// A body of so many bytes that is not coded is worth no way elsewhere: that costs more than it does.
const SMALL_BYTES: usize = 16 * 1024;

/// What is made of a body.
pub(super) trait Take: Send + 'static {
    /// What it becomes.
    type Taken: Send + 'static;

    /// Takes the next bytes, decoded.
    fn take(&mut self, bytes: &[u8]) -> Result<(), FillError>;

    /// There are no more.
    fn end(self) -> Result<Self::Taken, FillError>;
}

/// How large a body may be, before and after decoding, and what it is otherwise.
pub(super) struct Bound {
    pub(super) bytes: usize,
    pub(super) beyond: FillError,
}

/// Receives the whole body.
pub(super) async fn receive<T: Take>(
    answer: Response<AnswerBody>,
    taker: T,
    bound: Bound,
) -> Result<T::Taken, FillError> {
    let (head, mut body) = answer.into_parts();
    let (mut left, beyond) = (bound.bytes, bound.beyond.clone());
    let decoder = Decoder::of(&head.headers, Bounded { taker, bound });
    let mut decoder = decoder.ok_or_else(|| unfit(&"a page in a coding that was not asked for"))?;
    let mut part = Part::default();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(failure)?.into_data() else { continue };
        left = left.checked_sub(piece.len()).ok_or_else(|| beyond.clone())?;
        part.add(piece);
        if part.is_full() {
            let full = mem::take(&mut part);
            decoder = elsewhere(move || full.through(decoder)).await?;
        }
    }
    let is_small = decoder.is_identity() && part.bytes <= SMALL_BYTES;
    let end = move || part.through(decoder)?.end().map_err(refused)?.taker.end();
    if is_small { end() } else { elsewhere(end).await }
}

/// Does work that takes long where it stalls no connection.
pub(super) async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FillError> + Send + 'static,
) -> Result<T, FillError> {
    aside(work).await.unwrap_or_else(|| Err(unfit(&"the projection failed")))
}

/// A part of a body, in the pieces in which it came.
#[derive(Default)]
struct Part {
    pieces: Vec<Bytes>,
    /// Small ones, behind these.
    copied: Vec<u8>,
    bytes: usize,
}

impl Part {
    fn add(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        if piece.len() < COPIED_BYTES {
            self.copied.extend_from_slice(&piece);
        } else {
            self.end_copy();
            self.pieces.push(piece);
        }
    }

    fn end_copy(&mut self) {
        if !self.copied.is_empty() {
            self.pieces.push(mem::take(&mut self.copied).into());
        }
    }

    fn is_full(&self) -> bool {
        self.bytes >= PART_BYTES
    }

    fn through<T: Take>(
        mut self,
        mut decoder: Decoder<Bounded<T>>,
    ) -> Result<Decoder<Bounded<T>>, FillError> {
        self.end_copy();
        for piece in self.pieces {
            decoder.decode(&piece).map_err(refused)?;
        }
        Ok(decoder)
    }
}

/// Hands decoded bytes to their taker, up to a bound.
struct Bounded<T> {
    taker: T,
    bound: Bound,
}

impl<T: Take> Write for Bounded<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.bound.bytes.checked_sub(bytes.len());
        self.bound.bytes = left.ok_or_else(|| io::Error::other(self.bound.beyond.clone()))?;
        self.taker.take(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pause is a late upstream; anything else is an answer that broke off.
fn failure(error: BodyError) -> FillError {
    match error {
        BodyError::Idle(limit) => FillError::Upstream(UpstreamError::Late(limit).into()),
        BodyError::Broken(_) | BodyError::Slow => FillError::Truncated,
    }
}

/// What the taker said; or the body does not decode, as if it had broken off.
fn refused(error: io::Error) -> FillError {
    error.downcast().unwrap_or(FillError::Truncated)
}
