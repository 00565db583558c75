//! The requests that most are, read and answered without hyper: a GET without a body, with a token that is known already,
//! whose answer is there. Whatever else comes is left unread for hyper, which reads it from its first
//! byte; so nothing that is unusual is judged here.
//!
//! It is only another reader and writer: what a request is, and what it may have, is decided where it is decided for
//! all. Nothing is kept between two requests: a connection that waits has no buffer.

use std::{
    fmt::Write as _,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, response::Parts};
use tokio_util::io::poll_write_buf;

use super::{
    answers::Answerer,
    seat::Verdict,
    seated::{Line, Seated},
};
use crate::{
    body::Body,
    classify::{HEEDED, rules_out_a_read},
    config::Clients,
    trace::Parent,
};

/// Room for the head of an answer.
const HEAD_BYTES: usize = 512;
/// Fields of a request; one with more is left to hyper.
const FIELDS: usize = 32;
/// Fields that say how a message goes on, or that it is not for us alone to answer: left to hyper, as those are by which
/// a request is never a read. All that are not heeded either say nothing of a hit.
const LEFT: [HeaderName; 5] =
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::EXPECT, header::UPGRADE, header::TE];

/// Why no more requests are answered here.
pub(super) enum Left {
    /// The connection is at its end.
    Ended,
    /// What has come is another's to read; whether hits were answered before.
    Unread { answered: bool },
}

/// Answers hits until something else comes, or the connection ends.
pub(super) async fn answer<S: Line>(stream: &mut Seated<S>, answerer: &Answerer, limits: &Clients) -> Left {
    let mut answered = false;
    loop {
        if stream.ahead().is_empty() && poll_fn(|context| stream.poll_read_ahead(context)).await.is_none() {
            return Left::Ended;
        }
        let Some(hit) = hit(stream.ahead(), answerer, limits) else {
            return Left::Unread { answered };
        };
        stream.take_head(hit.bytes);
        // Until it is written.
        let (_visit, _) = answerer.seat.visit();
        let last = hit.last || answerer.seat.verdict() >= Verdict::Leave;
        if write(stream, hit.answer, last).await.is_none() || last {
            return Left::Ended;
        }
        answered = true;
    }
}

/// A request, and the answer to it.
struct Hit {
    /// Of the request.
    bytes: usize,
    /// Its client wants nothing else on this connection.
    last: bool,
    answer: Response<Body>,
}

/// The request at the beginning of these bytes.
fn hit(bytes: &[u8], answerer: &Answerer, limits: &Clients) -> Option<Hit> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Request::new(fields.get_mut(..limits.head_fields.min(FIELDS))?);
    let Ok(httparse::Status::Complete(length)) = head.parse(bytes) else { return None };
    if head.method != Some("GET") || head.version != Some(1) || length > limits.head_bytes {
        return None;
    }
    let Sorted { authorization, last, fields } = sorted(head.headers)?;
    let parent = || Parent::of(head.headers.iter().map(|line| (line.name, line.value)));
    let (target, answers) = (head.path?, answerer.office.load());
    // Where it panics, whoever reads it next counts that.
    let answer = catch_unwind(AssertUnwindSafe(|| answers.at_hand(target, authorization, fields, parent)));
    Some(Hit { bytes: length, last, answer: answer.ok()?? })
}

/// A request's fields.
struct Sorted<'b> {
    /// The one `Authorization`, which is long and needs no second look.
    authorization: &'b [u8],
    /// `Connection: close`
    last: bool,
    /// Those by which a hit is found.
    fields: HeaderMap,
}

fn sorted<'b>(lines: &[httparse::Header<'b>]) -> Option<Sorted<'b>> {
    let (mut authorization, mut last) = (None, false);
    // Room for an answer's.
    let mut fields = HeaderMap::with_capacity(12);
    for line in lines {
        let is = |name: &HeaderName| line.name.eq_ignore_ascii_case(name.as_str());
        if let Some(name) = HEEDED.iter().find(|name| is(name)) {
            fields.append(name, HeaderValue::from_bytes(line.value).ok()?);
        } else if is(&header::AUTHORIZATION) {
            if authorization.replace(line.value).is_some() {
                return None;
            }
        } else if is(&header::CONNECTION) {
            match line.value {
                close if close.eq_ignore_ascii_case(b"close") => last = true,
                keep if keep.eq_ignore_ascii_case(b"keep-alive") => {}
                _ => return None,
            }
        } else if LEFT.iter().any(is) || rules_out_a_read(line.name) {
            return None;
        }
    }
    Some(Sorted { authorization: authorization?, last, fields })
}

/// Writes an answer, whose length is said; `None` where the connection is at its end.
async fn write<S: Line>(stream: &mut Seated<S>, answer: Response<Body>, last: bool) -> Option<()> {
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
    head.put_slice(match parts.status {
        StatusCode::NOT_MODIFIED => b"HTTP/1.1 304 Not Modified\r\n",
        _ => b"HTTP/1.1 200 OK\r\n",
    });
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
