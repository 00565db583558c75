//! Responses: the one place that knows their header fields.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, SERVER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::api::Answer;
use crate::body::Body;
use crate::json;
use crate::problem::Problem;

const JSON: &str = "application/json; charset=utf-8";

/// A response without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(SERVER, HeaderValue::from_static("Kestrel"));
    response
}

/// A response with a body of this type.
pub(crate) fn whole(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = empty(status);
    *response.body_mut() = Body::Whole(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A JSON response of bytes that are JSON, or are meant to look so.
pub(crate) fn json_text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    whole(status, JSON, body)
}

/// A JSON response.
pub(crate) fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response<Body> {
    match json::to_json(value) {
        Ok(body) => json_text(status, body),
        Err(error) => problem(&error.into()),
    }
}

/// As [`json`], not to be stored: what identity servers answer.
pub(crate) fn private_json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response<Body> {
    with(json(status, value), CACHE_CONTROL, "no-store, no-cache, max-age=0")
}

/// What the API answers to a good request.
pub(crate) fn answer(answer: Answer) -> Response<Body> {
    match answer.body {
        Some(body) => json_text(answer.status, body),
        None => empty(answer.status),
    }
}

/// What the API answers to a bad one.
pub(crate) fn problem(problem: &Problem) -> Response<Body> {
    let response = whole(problem.status, "application/problem+json; charset=utf-8", problem.body());
    match problem.status {
        StatusCode::UNAUTHORIZED => with(response, WWW_AUTHENTICATE, "Bearer"),
        _ => response,
    }
}

/// 405 with the methods that would do.
pub(crate) fn other_method(allow: &str) -> Response<Body> {
    with(problem(&Problem::bare(StatusCode::METHOD_NOT_ALLOWED)), ALLOW, allow)
}

/// The same response with one more field; a value that cannot be one is left out.
pub(crate) fn with(mut response: Response<Body>, name: HeaderName, value: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(name, value);
    }
    response
}
