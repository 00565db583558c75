//! Plain requests, read and answered without hyper: a GET without a body whose answer is at hand, with a token that is
//! known already, or one that is passed on whatever its fields say; or an upload whose length is known. Whatever else comes
//! is left unread for hyper, which reads it from its first byte; so nothing that is unusual is judged here.
//!
//! It is only another reader and writer: what a request is, and what it may have, is decided where it is decided for
//! all. Nothing is kept between two requests: a connection that waits has no buffer.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{
    answers::{Answerer, Answers},
    relay,
    seat::Verdict,
    seated::{Line, Seated},
    written,
};
use crate::{
    classify::{Asked, HEEDED, Reason, rules_out_a_read},
    config::Clients,
    forward::Plain,
    proxy::{Passing, Uploading},
    respond::text::Text,
    upstream::Upload,
};

/// Fields of a request; one with more is left to hyper.
const FIELDS: usize = 32;
/// Fields that say how a message goes on, or that it is not for us alone to answer: left to hyper, as those are by which
/// a request is never a read. All that are not heeded either say nothing of a hit.
const LEFT: [HeaderName; 4] = [header::TRANSFER_ENCODING, header::EXPECT, header::UPGRADE, header::TE];
/// A longer length says nothing that there is.
const LENGTH_DIGITS: usize = 18;

/// Why no more requests are answered here.
pub(super) enum Left {
    /// The connection is at its end.
    Ended,
    /// What has come is another's to read; whether requests were answered before.
    Unread { answered: bool },
}

/// Answers plain requests until something else comes, or the connection ends.
pub(super) async fn answer<S: Line>(stream: &mut Seated<S>, answerer: &Answerer, limits: &Clients) -> Left {
    let mut answered = false;
    loop {
        if stream.ahead().is_empty() && poll_fn(|context| stream.poll_read_ahead(context)).await.is_none() {
            return Left::Ended;
        }
        let Some(request) = understood(stream.ahead(), answerer, limits) else {
            return Left::Unread { answered };
        };
        stream.take_head(request.bytes, matches!(request.answer, Answer::Uploading(_)));
        // Until its answer is written.
        let (visit, clear) = answerer.seat.visit();
        let is_last = || request.last || !clear || answerer.seat.verdict() >= Verdict::Leave;
        let last = match request.answer {
            Answer::Hit(answer) => {
                let last = is_last();
                written::write(stream, answer, last).await.map(|()| last)
            }
            // Boxed: a connection that waits for its next request has no room for it.
            Answer::Passing(passing) => Box::pin(relay::relay(stream, passing, is_last)).await,
            Answer::Uploading(upload) => Box::pin(relay::upload(stream, *upload, visit, is_last)).await,
        };
        match last {
            Some(false) => answered = true,
            Some(true) | None => return Left::Ended,
        }
    }
}

/// A request that is answered here.
struct Request {
    /// Of its head.
    bytes: usize,
    /// Its client wants nothing else on this connection.
    last: bool,
    answer: Answer,
}

enum Answer {
    Hit(Text),
    /// The upstream's.
    Passing(Passing),
    /// The upstream's, behind a body. Boxed: others need no room for it.
    Uploading(Box<(Uploading, Upload)>),
}

/// The request at the beginning of these bytes.
fn understood(bytes: &[u8], answerer: &Answerer, limits: &Clients) -> Option<Request> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Request::new(fields.get_mut(..limits.head_fields.min(FIELDS))?);
    let Ok(httparse::Status::Complete(length)) = head.parse(bytes) else { return None };
    if head.version != Some(1) || length > limits.head_bytes {
        return None;
    }
    let request = Plain { method: head.method?, target: head.path?, lines: head.headers };
    let answers = answerer.office.load();
    // Where it panics, whoever reads it next counts that.
    let answered = catch_unwind(AssertUnwindSafe(|| answer_to(&request, &answers, limits)));
    let (answer, last) = answered.ok()??;
    Some(Request { bytes: length, last, answer })
}

/// What a plain request is, by its first line.
enum Kind {
    Read(Arc<Asked>),
    /// A GET that is passed on for this reason.
    Passed(Reason),
    Upload,
}

/// The answer to a request, and whether that is the last one.
fn answer_to(request: &Plain<'_>, answers: &Answers, limits: &Clients) -> Option<(Answer, bool)> {
    let kind = match request.method {
        "GET" => answers.asked(request.target)?.map_or_else(Kind::Passed, Kind::Read),
        "POST" | "PUT" | "PATCH" | "DELETE" => Kind::Upload,
        _ => return None,
    };
    let is_read = matches!(kind, Kind::Read(_));
    let is_wanted = if is_read { limits.hit_loop } else { limits.relay_loop };
    if !is_wanted {
        return None;
    }
    let Sorted { host, authorization, length, last, heeded } = sorted(request.lines, is_read)?;
    let answer = match (kind, length) {
        (Kind::Read(asked), None) => {
            Answer::Hit(answers.at_hand(request, host, asked, authorization?, &heeded)?)
        }
        (Kind::Passed(reason), None) => Answer::Passing(answers.passing(request, host, reason)?),
        (Kind::Upload, Some(length)) => Answer::Uploading(answers.uploading(request, host, length)?.into()),
        _ => return None,
    };
    Some((answer, last))
}

/// A request's fields.
struct Sorted<'b> {
    /// The one `Host`.
    host: &'b [u8],
    /// The one `Authorization`, which is long and needs no second look.
    authorization: Option<&'b [u8]>,
    /// The one `Content-Length`.
    length: Option<u64>,
    /// `Connection: close`
    last: bool,
    /// Those by which a hit is found, where that is to be.
    heeded: HeaderMap,
}

fn sorted<'b>(lines: &[httparse::Header<'b>], is_read: bool) -> Option<Sorted<'b>> {
    let (mut host, mut authorization, mut length, mut last) = (None, None, None, false);
    let mut heeded = HeaderMap::new();
    for line in lines {
        let is = |name: &HeaderName| line.name.eq_ignore_ascii_case(name.as_str());
        if let Some(name) = HEEDED.iter().find(|name| is(name)) {
            if is_read {
                heeded.append(name, HeaderValue::from_bytes(line.value).ok()?);
            }
        } else if is(&header::HOST) {
            if host.replace(line.value).is_some() {
                return None;
            }
        } else if is(&header::AUTHORIZATION) {
            if authorization.replace(line.value).is_some() {
                return None;
            }
        } else if is(&header::CONTENT_LENGTH) {
            if length.replace(length_of(line.value)?).is_some() {
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
    Some(Sorted { host: host?, authorization, length, last, heeded })
}

/// A length that is a number and nothing else.
fn length_of(value: &[u8]) -> Option<u64> {
    let is_number = value.len() <= LENGTH_DIGITS && value.iter().all(u8::is_ascii_digit);
    if is_number { str::from_utf8(value).ok()?.parse().ok() } else { None }
}
