//! Passes a request on untouched and streams the answer back: target, query, fields in their case and
//! bodies as they came, both ways. Changed are only the fields that end at each hop (RFC 9110 section 7.6.1),
//! `Host` and `Via`; `respond` adds `Cache-Status`.

mod hop;
mod tunnel;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::Incoming;

use crate::{
    body::Body,
    upstream::{RequestBody, Upstream, UpstreamError},
};

const VIA: HeaderValue = HeaderValue::from_static("1.1 catproxy");

/// Passes requests on. Cheap to clone.
#[derive(Clone)]
pub struct Forwarder {
    upstream: Arc<Upstream>,
}

impl Forwarder {
    /// Passes requests on to this upstream.
    #[must_use]
    pub fn new(upstream: Arc<Upstream>) -> Self {
        Self { upstream }
    }

    /// Passes one request on. Returns with the answer's head; its body is still to come. Dropping the wait
    /// closes the connection to the upstream.
    ///
    /// # Errors
    /// Why the upstream gave no answer.
    pub async fn pass(&self, mut request: Request<Incoming>) -> Result<Response<Body>, UpstreamError> {
        let client = hop::wants_websocket(&request).then(|| hyper::upgrade::on(&mut request));
        let request = self.outgoing(request, client.is_some());
        let mut answer = self.upstream.send(request).await?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            // Without a client that asked, hyper ends the connection: a 101 that nobody wanted.
            if let Some(client) = client {
                tunnel::between(client, hyper::upgrade::on(&mut answer));
            }
            let fields = answer.headers_mut();
            hop::strip_answer(fields, true);
            fields.append(header::VIA, VIA);
            return Ok(answer.map(|_| Body::empty()));
        }
        let fields = answer.headers_mut();
        hop::strip_answer(fields, false);
        fields.append(header::VIA, VIA);
        // The version is that of this hop; hyper writes its own.
        *answer.version_mut() = Version::HTTP_11;
        Ok(answer.map(Body::Passed))
    }

    fn outgoing(&self, request: Request<Incoming>, upgrade: bool) -> Request<RequestBody> {
        let (mut parts, body) = request.into_parts();
        parts.uri = origin_form(&parts.uri);
        parts.version = Version::HTTP_11;
        hop::strip_request(&mut parts.headers, upgrade);
        parts.headers.insert(header::HOST, self.upstream.host());
        parts.headers.append(header::VIA, VIA);
        let body = RequestBody::of_client(body, self.upstream.body_timeout());
        frame(&mut parts.headers, &body);
        Request::from_parts(parts, body)
    }
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
