//! What an operator's answers are made of.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::body::Body;
pub(super) use crate::respond::problem;

/// A text for people.
pub(super) fn text(text: impl Into<String>) -> Response<Body> {
    whole(StatusCode::OK, HeaderValue::from_static("text/plain; charset=utf-8"), text.into())
}

/// JSON.
pub(super) fn json(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    whole(status, HeaderValue::from_static("application/json"), text.into())
}

/// Another method than these is not for this path.
pub(super) fn allowing(methods: &'static str) -> Response<Body> {
    let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, &format!("this takes {methods}"));
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    answer
}

fn whole(status: StatusCode, media: HeaderValue, text: String) -> Response<Body> {
    let mut answer = Response::new(Body::Own(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, media);
    answer
}
