//! Writes an answer of our own, whose body is there.

use std::{fmt::Write as _, future::poll_fn, pin::Pin};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{Response, StatusCode, response::Parts};
use tokio_util::io::poll_write_buf;

use super::seated::{Line, Seated};
use crate::body::Body;

/// Room for the head of an answer.
const HEAD_BYTES: usize = 512;

/// Writes an answer, whose length is said; `None` where the connection is at its end.
pub(super) async fn write<S: Line>(stream: &mut Seated<S>, answer: Response<Body>, last: bool) -> Option<()> {
    let (parts, body) = answer.into_parts();
    let Body::Own(body) = body else { return None };
    let mut rest = head_of(&parts, &body, last).chain(body);
    while rest.has_remaining() {
        let written = poll_fn(|context| poll_write_buf(Pin::new(&mut *stream), context, &mut rest)).await;
        written.ok().filter(|written| *written > 0)?;
    }
    stream.sent().await.ok()
}

fn head_of(parts: &Parts, body: &Bytes, last: bool) -> BytesMut {
    let mut head = BytesMut::with_capacity(HEAD_BYTES);
    head.put_slice(b"HTTP/1.1 ");
    head.put_slice(parts.status.as_str().as_bytes());
    head.put_slice(b" ");
    head.put_slice(parts.status.canonical_reason().unwrap_or_default().as_bytes());
    head.put_slice(b"\r\n");
    for (name, value) in &parts.headers {
        head.put_slice(name.as_str().as_bytes());
        head.put_slice(b": ");
        head.put_slice(value.as_bytes());
        head.put_slice(b"\r\n");
    }
    if last {
        head.put_slice(b"connection: close\r\n");
    }
    // A 304 has none, and no length but the one that its 200 would have had (RFC 9110 section 8.6).
    if parts.status != StatusCode::NOT_MODIFIED {
        // What is written into memory does not fail.
        let _ = write!(head, "content-length: {}\r\n", body.len());
    }
    head.put_slice(b"\r\n");
    head
}
