//! Passes a request on untouched and streams the answer back: target, query, fields in their case and
//! bodies as they came, both ways. Changed are only the fields that end at each hop (RFC 9110 section 7.6.1),
//! `Host` and `Via`; `respond` adds `Cache-Status`.
//!
//! Interim answers (1xx) other than 100 and 101 end here. So does, where hyper writes the answer, the `Content-Length` of a
//! 304, which is the one its 200 would have had; a plain request's has it.

mod hop;
mod plain;
mod tunnel;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::plain::{Passed, Plain, Sent};
use crate::{
    body::Body,
    trace::{self, Step},
    upstream::{RequestBody, Upstream, UpstreamError, Usage},
};

/// Passes requests on. Cheap to clone.
#[derive(Clone)]
pub struct Forwarder {
    upstream: Arc<Upstream>,
    tasks: TaskTracker,
    cut: CancellationToken,
}

impl Forwarder {
    /// Passes requests on to this upstream. Tunnels are among `tasks` as long as they are open, at most until `cut`.
    #[must_use]
    pub fn new(upstream: Arc<Upstream>, tasks: TaskTracker, cut: CancellationToken) -> Self {
        Self { upstream, tasks, cut }
    }

    /// The upstream's connections, as they are used now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.upstream.usage()
    }

    /// How long a client's body may pause.
    #[must_use]
    pub fn body_timeout(&self) -> std::time::Duration {
        self.upstream.body_timeout()
    }

    /// Passes one request on. Returns with the answer's head; its body is still to come. Dropping the wait
    /// closes the connection to the upstream.
    ///
    /// # Errors
    /// Why the upstream gave no answer.
    pub async fn pass(&self, mut request: Request<RequestBody>) -> Result<Response<Body>, UpstreamError> {
        let client = hop::wants_websocket(&request).then(|| hyper::upgrade::on(&mut request));
        let mut request = self.outgoing(request, client.is_some());
        let mut step = trace::step(Step::Forward);
        step.sends(&mut request);
        let sent = self.upstream.send(request).await;
        let mut answer = sent.inspect_err(|error| step.failed(error.kind()))?;
        step.answered(answer.status());
        step.end();
        let upgraded = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        let received = via(answer.version());
        let fields = answer.headers_mut();
        hop::pass_answer(fields, received, upgraded);
        // The version is that of this hop; hyper writes its own.
        *answer.version_mut() = Version::HTTP_11;
        if !upgraded {
            return Ok(answer.map(Body::Passed));
        }
        let Some(client) = client else {
            return Err(UpstreamError::Unfit("a change of protocol that was not asked for"));
        };
        tunnel::between(client, hyper::upgrade::on(&mut answer), &self.tasks, self.cut.clone());
        Ok(answer.map(|_| Body::empty()))
    }

    fn outgoing(&self, request: Request<RequestBody>, upgrade: bool) -> Request<RequestBody> {
        let (mut parts, body) = request.into_parts();
        let received = via(parts.version);
        if parts.version == Version::HTTP_2 {
            hop::join_cookies(&mut parts.headers);
        }
        parts.uri = origin_form(&parts.uri);
        parts.version = Version::HTTP_11;
        hop::pass_request(&mut parts.headers, received, upgrade);
        parts.headers.insert(header::HOST, self.upstream.host());
        frame(&mut parts.headers, &body);
        Request::from_parts(parts, body)
    }
}

/// `Via` for a message that came in this version (RFC 9110 section 7.6.3).
fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_10 => "1.0 catproxy",
        Version::HTTP_2 => "2 catproxy",
        _ => "1.1 catproxy",
    })
}

/// Says how the body is framed where only its chunks tell: hyper would leave that out for a GET.
fn frame(fields: &mut HeaderMap, body: &RequestBody) {
    if !body.is_empty() && !fields.contains_key(header::CONTENT_LENGTH) {
        fields.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Path and query exactly as spelled, without the scheme and authority that an absolute target has.
fn origin_form(uri: &Uri) -> Uri {
    if uri.scheme().is_none() && uri.authority().is_none() {
        return uri.clone();
    }
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = uri.path_and_query().cloned();
    Uri::from_parts(parts).unwrap_or_default()
}
