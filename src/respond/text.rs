//! Answers of our own as HTTP/1.1 has them, for who writes them without hyper.

use std::fmt::Write as _;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::body::Body;

/// Room for most heads.
const HEAD_BYTES: usize = 512;

/// An answer whose body is there.
pub struct Text {
    status: StatusCode,
    /// But for how long the body is, and what comes of the connection.
    head: BytesMut,
    body: Bytes,
}

impl Text {
    /// An answer that says nothing of itself yet.
    pub(super) fn new(status: StatusCode, body: Bytes) -> Self {
        let mut head = BytesMut::with_capacity(HEAD_BYTES);
        head.put_slice(b"HTTP/1.1 ");
        head.put_slice(status.as_str().as_bytes());
        head.put_slice(b" ");
        head.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        head.put_slice(b"\r\n");
        Self { status, head, body }
    }

    /// An answer of our own; `None` where its body is to come from elsewhere.
    #[must_use]
    pub fn of(answer: Response<Body>) -> Option<Self> {
        let (parts, body) = answer.into_parts();
        let Body::Own(body) = body else { return None };
        let mut text = Self::new(parts.status, body);
        for (name, value) in &parts.headers {
            text.say(name, value);
        }
        Some(text)
    }

    pub(super) fn say(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.head.put_slice(name.as_str().as_bytes());
        self.head.put_slice(b": ");
        self.head.put_slice(value.as_bytes());
        self.head.put_slice(b"\r\n");
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Head and body, whole; `last`: its connection is closed after it.
    #[must_use]
    pub fn whole(self, last: bool) -> (BytesMut, Bytes) {
        let Self { status, mut head, body } = self;
        if last {
            head.put_slice(b"connection: close\r\n");
        }
        // A 304 has none, and no length but the one that its 200 would have had (RFC 9110 section 8.6).
        if status != StatusCode::NOT_MODIFIED {
            // What is written into memory does not fail.
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        head.put_slice(b"\r\n");
        (head, body)
    }
}
