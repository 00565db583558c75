//! Passes a plain request on as bytes: both heads with their lines as they came, but for what ends at this hop.

use bytes::{BufMut, BytesMut};
use http::{HeaderName, HeaderValue, StatusCode, Version, header};
use tokio::io::AsyncRead;

use super::{Forwarder, hop, via};
use crate::{
    body::Afterwards,
    upstream::{self, AnswerHead, PlainAnswer, PlainBody, Upload, UpstreamError},
};

/// Room for what is said beside a request's own lines.
const OWN_BYTES: usize = 128;
/// Room for the head of an answer.
const HEAD_BYTES: usize = 1024;

/// A plain request, as it came over HTTP/1.1.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'r> {
    /// Its method.
    pub method: &'r str,
    /// Its path and query.
    pub target: &'r str,
    /// Its fields, one `Host` among them; of those that say how it goes on at most a `Content-Length`.
    pub lines: &'r [httparse::Header<'r>],
}

/// An upload that was sent as far as the upstream takes it, or has an answer already.
#[derive(Debug)]
pub struct Sent(upstream::Sent<ClientHead>);

/// What a client is told of an answer, and whether its body is to come in chunks.
type ClientHead = (BytesMut, bool);

/// An answer that is passed on.
#[derive(Debug)]
pub struct Passed {
    /// Its head, as the client is to have it; but for the empty line at its end, so that something may be said still.
    pub head: BytesMut,
    /// The head says that the body comes in chunks.
    pub in_chunks: bool,
    /// Without its chunks.
    pub body: PlainBody,
    /// To be done when the body has ended or broken off, before its client hears of that.
    pub after: Option<Afterwards>,
}

impl Forwarder {
    /// Whether a plain request can be passed on as it is.
    #[must_use]
    pub fn takes_plain(&self) -> bool {
        self.upstream.takes_plain()
    }

    /// The head that asks the upstream what a plain request asks for.
    #[must_use]
    pub fn plain_head(&self, request: &Plain<'_>) -> Vec<u8> {
        let bytes: usize = request.lines.iter().map(|line| line.name.len() + line.value.len() + 4).sum();
        let mut head = Vec::with_capacity(request.target.len() + bytes + OWN_BYTES);
        head.extend_from_slice(request.method.as_bytes());
        head.extend_from_slice(b" ");
        head.extend_from_slice(request.target.as_bytes());
        head.extend_from_slice(b" HTTP/1.1\r\n");
        let host = self.upstream.host();
        for line in request.lines {
            if line.name.eq_ignore_ascii_case(header::HOST.as_str()) {
                put(&mut head, line.name, host.as_bytes());
            } else if !hop::ends_here(line.name) {
                put(&mut head, line.name, line.value);
            }
        }
        put(&mut head, header::VIA.as_str(), via(Version::HTTP_11).as_bytes());
        head.extend_from_slice(b"\r\n");
        head
    }

    /// Sends this head, and waits for the answer's. The client is told these fields as well, and the `date` if the answer has
    /// none. Dropping the wait closes the connection to the upstream.
    ///
    /// # Errors
    /// Why the upstream gave no answer.
    pub async fn pass_plain(
        &self,
        head: &[u8],
        own: (&HeaderName, &HeaderValue),
        date: impl Fn() -> HeaderValue,
    ) -> Result<(StatusCode, Passed), UpstreamError> {
        let answer = self.upstream.ask(head, |answer| client_head(answer, own, &date)).await?;
        Ok(Passed::of(answer))
    }

    /// Sends an upload, whose head this is and whose body `client` sends; returns when all of it is on its way, the upstream
    /// takes no more of it, or has answered early. Dropping the wait closes the connection to the upstream.
    ///
    /// # Errors
    /// Why there will be no answer.
    pub async fn upload(
        &self,
        head: &[u8],
        upload: &mut Upload,
        client: &mut (impl AsyncRead + Unpin),
        own: (&HeaderName, &HeaderValue),
        date: impl Fn() -> HeaderValue,
    ) -> Result<Sent, UpstreamError> {
        self.upstream.upload(head, upload, client, |answer| client_head(answer, own, &date)).await.map(Sent)
    }
}

impl Sent {
    /// Waits for the answer's head, as [`Forwarder::pass_plain`] does.
    ///
    /// # Errors
    /// Why the upstream gave no answer.
    pub async fn answer(
        self,
        own: (&HeaderName, &HeaderValue),
        date: impl Fn() -> HeaderValue,
    ) -> Result<(StatusCode, Passed), UpstreamError> {
        self.0.answer(|answer| client_head(answer, own, &date)).await.map(Passed::of)
    }
}

impl Passed {
    fn of(answer: PlainAnswer<ClientHead>) -> (StatusCode, Self) {
        let PlainAnswer { status, head: (head, in_chunks), body } = answer;
        (status, Self { head, in_chunks, body, after: None })
    }
}

fn client_head(
    answer: &AnswerHead<'_>,
    own: (&HeaderName, &HeaderValue),
    date: &impl Fn() -> HeaderValue,
) -> ClientHead {
    let mut head = BytesMut::with_capacity(HEAD_BYTES);
    head.put_slice(b"HTTP/1.1 ");
    head.put_slice(answer.status.as_str().as_bytes());
    head.put_slice(b" ");
    head.put_slice(answer.reason.as_bytes());
    head.put_slice(b"\r\n");
    let (named, mut is_dated) = (hop::named(answer.lines), false);
    let mut is_sized = answer.is_sized && answer.status != StatusCode::NO_CONTENT;
    for line in answer.lines {
        let is = |name: &HeaderName| line.name.eq_ignore_ascii_case(name.as_str());
        if is(&header::CONTENT_LENGTH) {
            // Said twice, or in a list, it is said once.
            if std::mem::take(&mut is_sized) {
                let length = line.value.split(|byte| *byte == b',').next().unwrap_or_default();
                put(&mut head, line.name, length.trim_ascii());
            }
        } else if !(hop::ends_here(line.name)
            || named.iter().any(|name| name.eq_ignore_ascii_case(line.name.as_bytes())))
        {
            is_dated |= is(&header::DATE);
            put(&mut head, line.name, line.value);
        }
    }
    if !is_dated {
        put(&mut head, header::DATE.as_str(), date().as_bytes());
    }
    put(&mut head, header::VIA.as_str(), via(answer.version).as_bytes());
    put(&mut head, own.0.as_str(), own.1.as_bytes());
    let in_chunks = !answer.bare && !answer.is_sized;
    if in_chunks {
        put(&mut head, header::TRANSFER_ENCODING.as_str(), b"chunked");
    }
    (head, in_chunks)
}

fn put(head: &mut impl BufMut, name: &str, value: &[u8]) {
    head.put_slice(name.as_bytes());
    head.put_slice(b": ");
    head.put_slice(value);
    head.put_slice(b"\r\n");
}
