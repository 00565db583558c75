//! Errors as the upstream tells them: ProblemDetails.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use crate::json;

/// Why a request was refused. [`Problem::body`] is the JSON the client gets.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    detail: Option<String>,
    errors: Option<BTreeMap<String, Vec<String>>>,
}

#[derive(Serialize)]
struct ProblemDetails<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a BTreeMap<String, Vec<String>>>,
    #[serde(rename = "traceId")]
    trace_id: String,
}

impl Problem {
    /// A problem that says no more than its status.
    pub(crate) fn bare(status: StatusCode) -> Self {
        Self { status, detail: None, errors: None }
    }

    /// 400 with a sentence.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, detail: Some(detail.into()), errors: None }
    }

    /// 400 because of one field or parameter.
    pub(crate) fn invalid(name: &str, message: impl Into<String>) -> Self {
        let errors = BTreeMap::from([(name.to_owned(), vec![message.into()])]);
        Self { status: StatusCode::BAD_REQUEST, detail: None, errors: Some(errors) }
    }

    /// 404 because there is no such `kind` (`"Seller"`) with this id.
    pub(crate) fn missing(kind: &str, id: i32) -> Self {
        let detail = Some(format!("{kind} with id {id} was not found."));
        Self { status: StatusCode::NOT_FOUND, detail, errors: None }
    }

    /// The ProblemDetails JSON.
    pub(crate) fn body(&self) -> Bytes {
        let (section, title) = self.named();
        let details = ProblemDetails {
            r#type: format!("https://tools.ietf.org/html/rfc9110#section-{section}"),
            title,
            status: self.status.as_u16(),
            detail: self.detail.as_deref(),
            errors: self.errors.as_ref(),
            trace_id: trace_id(),
        };
        json::to_json(&details).unwrap_or_default()
    }

    fn named(&self) -> (&'static str, &'static str) {
        match self.status {
            StatusCode::BAD_REQUEST if self.errors.is_some() => {
                ("15.5.1", "One or more validation errors occurred.")
            }
            StatusCode::BAD_REQUEST => ("15.5.1", "Bad Request"),
            StatusCode::UNAUTHORIZED => ("15.5.2", "Unauthorized"),
            StatusCode::FORBIDDEN => ("15.5.4", "Forbidden"),
            StatusCode::NOT_FOUND => ("15.5.5", "Not Found"),
            StatusCode::METHOD_NOT_ALLOWED => ("15.5.6", "Method Not Allowed"),
            StatusCode::INTERNAL_SERVER_ERROR => {
                ("15.6.1", "An error occurred while processing your request.")
            }
            other => ("15", other.canonical_reason().unwrap_or("Error")),
        }
    }
}

impl From<serde_json::Error> for Problem {
    /// Only writing an answer fails this way; reading a body says which field is wrong.
    fn from(error: serde_json::Error) -> Self {
        let detail = Some(error.to_string());
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, detail, errors: None }
    }
}

fn trace_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("00-{:032x}-{:016x}-00", u128::from(number) << 32, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validation_problem_names_the_field() {
        let body = Problem::invalid("PageNumber", "The value 'x' is not valid.").body();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["errors"]["PageNumber"][0], "The value 'x' is not valid.");
        assert_eq!((body["status"].as_u64(), body["detail"].is_null()), (Some(400), true));
    }
}
