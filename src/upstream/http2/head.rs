//! A request's head as HTTP/2 says it (RFC 9113 section 8.2.2 and 8.3), and back.

use http::{
    HeaderName, HeaderValue, Request, Uri, Version, header,
    uri::{Authority, Parts, Scheme},
};

use crate::upstream::body::RequestBody;

/// What has no place in HTTP/2.
static OF_THE_FIRST: [HeaderName; 5] = [
    header::CONNECTION,
    header::HOST,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// The host is a part of the target, and how the body is framed is nothing that a field says.
pub(super) fn to_second(mut request: Request<RequestBody>, authority: &Authority) -> Request<RequestBody> {
    let mut target = Parts::default();
    target.scheme = Some(Scheme::HTTPS);
    target.authority = Some(authority.clone());
    target.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(target).unwrap_or_default();
    *request.version_mut() = Version::HTTP_2;
    let fields = request.headers_mut();
    for name in &OF_THE_FIRST {
        fields.remove(name);
    }
    request
}

/// The same as it was before.
pub(super) fn to_first(mut request: Request<RequestBody>, host: &HeaderValue) -> Request<RequestBody> {
    let mut target = Parts::default();
    target.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(target).unwrap_or_default();
    *request.version_mut() = Version::HTTP_11;
    let is_framed = request.body().is_empty() || request.headers().contains_key(header::CONTENT_LENGTH);
    let fields = request.headers_mut();
    fields.insert(header::HOST, host.clone());
    if !is_framed {
        fields.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if fields.get(header::TE) == Some(&TRAILERS) {
        fields.insert(header::CONNECTION, HeaderValue::from_static("TE"));
    }
    request
}
