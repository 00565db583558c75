//! Writes an answer of our own, whose body is there.

use std::{future::poll_fn, pin::Pin};

use bytes::Buf as _;
use tokio_util::io::poll_write_buf;

use super::seated::{Line, Seated};
use crate::respond::text::Text;

/// Writes an answer; `None` where the connection is at its end.
pub(super) async fn write<S: Line>(stream: &mut Seated<S>, answer: Text, last: bool) -> Option<()> {
    let (head, body) = answer.whole(last);
    let mut rest = head.chain(body);
    while rest.has_remaining() {
        let written = poll_fn(|context| poll_write_buf(Pin::new(&mut *stream), context, &mut rest)).await;
        written.ok().filter(|written| *written > 0)?;
    }
    stream.sent().await.ok()
}
