//! Answers of the frontend: every page with the same strict fields.

use askama::Template;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::{
    body::Body,
    classify::coding::{Accepted, Coding},
    respond::{self, coded::coded},
};

/// Scripts and styles only from here and none inline; pictures from wherever a lot's are; no frames around us.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: http:; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);
const HTML: &str = "text/html; charset=utf-8";
/// What is smaller is sent as it is.
const CODED_FROM: usize = 1024;

/// An answer with the fields that all of ours have.
pub(super) fn own(status: StatusCode, media: &'static str, body: Bytes) -> Response<Body> {
    let mut answer = Response::new(Body::Own(body));
    *answer.status_mut() = status;
    let fields = answer.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    answer
}

/// A page, or a piece of one.
pub(super) fn html(status: StatusCode, template: &impl Template, request: &HeaderMap) -> Response<Body> {
    let Ok(text) = template.render() else { return respond::internal() };
    let accepted = Accepted::read(request).map_or(Coding::Identity, |accepted| accepted.coding);
    let coded = if text.len() < CODED_FROM { None } else { coded(text.as_bytes(), accepted) };
    let (coding, body) = coded.map_or((Coding::Identity, Bytes::from(text)), |body| (accepted, body));
    let mut answer = own(status, HTML, body);
    let fields = answer.headers_mut();
    fields.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    say_coding(fields, coding);
    answer
}

pub(super) fn say_coding(fields: &mut HeaderMap, coding: Coding) {
    fields.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if coding != Coding::Identity {
        fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
}

/// To another page of ours. `htmx` follows by a field of its own, as it would put a page into a panel.
pub(super) fn go(location: &str, request: &HeaderMap) -> Response<Body> {
    let by_htmx = request.contains_key("hx-request");
    let mut answer = own(if by_htmx { StatusCode::OK } else { StatusCode::SEE_OTHER }, HTML, Bytes::new());
    let name = if by_htmx { "hx-redirect" } else { "location" };
    if let Ok(location) = HeaderValue::try_from(location) {
        answer.headers_mut().insert(name, location);
    }
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Nothing to be put anywhere: what is shown stays.
pub(super) fn nothing() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}
