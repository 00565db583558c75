//! The identity server: gives tokens for a user and a password, and newer ones for a refresh token.
//!
//! Knows nothing of sessions. A question is sent once, under one deadline for all of it; a redirect is an answer that
//! is of no use. Passwords and tokens pass through: they are not kept, and nothing here prints them, nor any
//! other word of the server's.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde::Deserialize;

use crate::{
    config::{self, secret::Secret},
    deadline::{Deadline, Elapsed},
    dial::Dialler,
    upstream::{AnswerBody, BodyError, RequestBody, Upstream, UpstreamError, UpstreamUnusable},
};

/// Where tokens come from, below the identity URL.
const TOKEN_ENDPOINT: &str = "/connect/token";
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("catproxy/", env!("CARGO_PKG_VERSION")));
/// A larger answer is none about tokens.
const ANSWER_BYTES: usize = 64 * 1024;
/// A longer token is of no use: the proxy takes it for nobody's, and it would fill a browser's cookies.
const TOKEN_BYTES: usize = 8 * 1024;

/// Asks the identity server.
pub struct Identity {
    upstream: Upstream,
    client: config::Client,
    scope: String,
    timeout: Duration,
}

/// What the identity server gives.
#[derive(Debug)]
pub struct Grant {
    /// For the API: visible ASCII, as RFC 6750 spells tokens.
    pub access_token: Secret<String>,
    /// For the next grant, where there is one.
    pub refresh_token: Option<Secret<String>>,
    /// From when it was asked for; not zero.
    pub expires_in: Duration,
}

/// Why there is no grant. Its text is for the log.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A wrong user or password, or a refresh token that is used up, too old or revoked.
    #[error("the identity server does not accept the user and password, or the refresh token")]
    Refused,
    /// It is not the user's fault.
    #[error("the identity server does not accept this client or its request: {0}")]
    Client(&'static str),
    /// It cannot be reached, or broke off.
    #[error("the identity server is away")]
    Away(#[source] UpstreamError),
    /// The answer was not whole.
    #[error("the identity server broke off")]
    Broken(#[source] BodyError),
    /// It is too slow.
    #[error("no answer from the identity server within {0:?}")]
    Late(Duration),
    /// It says that it cannot answer now.
    #[error("the identity server answers {0}")]
    Failing(StatusCode),
    /// What it says is no answer to the question.
    #[error("the identity server's answer is of no use: {0}")]
    Unusable(&'static str),
}

impl IdentityError {
    /// Whether it may be otherwise in a moment, without anybody having done anything here.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Broken(_) | Self::Late(_) | Self::Failing(_))
    }
}

impl Identity {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// Where TLS cannot work as configured.
    pub fn new(ui: &config::Ui, client: config::Client) -> Result<Self, UpstreamUnusable> {
        let upstream = Upstream::new(&ui.identity, &Dialler::system())?;
        Ok(Self { upstream, client, scope: ui.scope.clone(), timeout: ui.identity_timeout })
    }

    /// The password grant.
    ///
    /// # Errors
    /// Why there is no grant.
    pub async fn by_password(&self, user: &str, password: &str) -> Result<Grant, IdentityError> {
        let (scope, kind) = (("scope", self.scope.as_str()), ("grant_type", "password"));
        self.ask(&[kind, ("username", user), ("password", password), scope]).await
    }

    /// The refresh grant. The refresh token may be used up by it, whether or not an answer comes.
    ///
    /// # Errors
    /// Why there is no grant.
    pub async fn by_refresh_token(&self, token: &Secret<String>) -> Result<Grant, IdentityError> {
        self.ask(&[("grant_type", "refresh_token"), ("refresh_token", token.reveal())]).await
    }

    async fn ask(&self, question: &[(&str, &str)]) -> Result<Grant, IdentityError> {
        let client = [("client_id", self.client.id.as_str()), ("client_secret", self.client.secret.reveal())];
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(question.iter().chain(&client))
            .finish();
        let exchange = async {
            let request = self.request(form).map_err(|_| IdentityError::Unusable("no request"))?;
            let answer = self.upstream.send(request).await.map_err(IdentityError::Away)?;
            let status = answer.status();
            understand(status, &read(answer).await?)
        };
        match Deadline::after(self.timeout).within(exchange).await {
            Ok(outcome) => outcome,
            Err(Elapsed) => Err(IdentityError::Late(self.timeout)),
        }
    }

    fn request(&self, form: String) -> Result<Request<RequestBody>, http::Error> {
        Request::post(TOKEN_ENDPOINT)
            .header(header::HOST, self.upstream.host())
            .header(header::ACCEPT, JSON)
            .header(header::CONTENT_TYPE, FORM)
            .header(header::USER_AGENT, AGENT)
            .body(RequestBody::own(form.into()))
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Identity").finish_non_exhaustive()
    }
}

async fn read(answer: Response<AnswerBody>) -> Result<Bytes, IdentityError> {
    let (mut body, mut read) = (answer.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(IdentityError::Broken)?;
        let Some(piece) = frame.data_ref() else { continue };
        if read.len() + piece.len() > ANSWER_BYTES {
            return Err(IdentityError::Unusable("larger than 64 KiB"));
        }
        read.extend_from_slice(piece);
    }
    Ok(read.into())
}

/// An answer with tokens.
#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    token_type: String,
    expires_in: u64,
    refresh_token: Option<String>,
}

/// An answer without.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

fn understand(status: StatusCode, body: &[u8]) -> Result<Grant, IdentityError> {
    if status == StatusCode::OK {
        return grant(body);
    }
    if let Ok(Refusal { error }) = serde_json::from_slice(body)
        && status.is_client_error()
        && let Some(error) = known(&error)
    {
        return Err(if error == "invalid_grant" {
            IdentityError::Refused
        } else {
            IdentityError::Client(error)
        });
    }
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(IdentityError::Failing(status)),
        _ if status.is_server_error() => Err(IdentityError::Failing(status)),
        _ if status.is_redirection() => Err(IdentityError::Unusable("a redirect")),
        _ => Err(IdentityError::Unusable("neither tokens nor an error of OAuth 2.0")),
    }
}

/// The errors of RFC 6749 section 5.2, in words of our own: the server's might hold anything.
fn known(error: &str) -> Option<&'static str> {
    const ERRORS: [&str; 6] = [
        "invalid_grant",
        "invalid_client",
        "invalid_request",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    ERRORS.into_iter().find(|known| *known == error)
}

fn grant(body: &[u8]) -> Result<Grant, IdentityError> {
    let unusable = |why| Err(IdentityError::Unusable(why));
    let Ok(tokens) = serde_json::from_slice::<Tokens>(body) else {
        return unusable("not the JSON of a token answer");
    };
    if !tokens.token_type.eq_ignore_ascii_case("bearer") {
        return unusable("tokens of another type than Bearer");
    }
    if tokens.expires_in == 0 {
        return unusable("a token that has expired already");
    }
    let refresh_token = tokens.refresh_token.filter(|token| !token.is_empty());
    let longest = tokens.access_token.len().max(refresh_token.as_ref().map_or(0, String::len));
    if tokens.access_token.is_empty() || longest > TOKEN_BYTES {
        return unusable("no token, or one of over 8 KiB");
    }
    if !tokens.access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return unusable("a token that fits into no request");
    }
    Ok(Grant {
        access_token: Secret::new(tokens.access_token),
        refresh_token: refresh_token.map(Secret::new),
        expires_in: Duration::from_secs(tokens.expires_in),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        r#"{"access_token":"a.b.c","token_type":"Bearer","expires_in":3600,"refresh_token":"r"}"#;

    fn told(status: u16, body: &str) -> String {
        match understand(StatusCode::from_u16(status).expect("a status"), body.as_bytes()) {
            Ok(grant) => format!("{grant:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn tokens_are_understood_and_not_printed() {
        let grant = understand(StatusCode::OK, GOOD.as_bytes()).expect("a grant");
        assert_eq!((grant.access_token.reveal().as_str(), grant.expires_in.as_secs()), ("a.b.c", 3600));
        assert_eq!(grant.refresh_token.map(|token| token.reveal().clone()).as_deref(), Some("r"));
        assert!(!told(200, GOOD).contains("a.b.c"), "{}", told(200, GOOD));
    }

    #[test]
    fn each_refusal_is_told_from_the_others() {
        let refused = |status, body| understand(StatusCode::from_u16(status).expect("a status"), body);
        assert!(matches!(refused(400, br#"{"error":"invalid_grant"}"#), Err(IdentityError::Refused)));
        for status in [400, 401] {
            assert!(told(status, r#"{"error":"invalid_client"}"#).ends_with("its request: invalid_client"));
        }
        assert!(matches!(refused(503, br#"{"error":"invalid_grant"}"#), Err(IdentityError::Failing(_))));
        assert!(matches!(refused(429, b""), Err(IdentityError::Failing(_))));
        assert!(told(302, "").ends_with("a redirect"));
        assert!(told(400, "<html>").ends_with("an error of OAuth 2.0"));
    }

    #[test]
    fn nothing_that_the_server_says_is_repeated() {
        for body in [r#"{"error":"s3cret"}"#, "s3cret", r#"{"access_token":"s3cret"}"#] {
            for status in [200, 400, 500] {
                let told = told(status, body);
                assert!(!told.contains("s3cret"), "{told}");
            }
        }
    }

    #[test]
    fn a_grant_that_is_of_no_use_is_none() {
        let long = GOOD.replace("a.b.c", &"a".repeat(TOKEN_BYTES + 1));
        for body in [
            GOOD.replace("Bearer", "DPoP"),
            GOOD.replace("3600", "0"),
            GOOD.replace("3600", "-1"),
            GOOD.replace("a.b.c", ""),
            GOOD.replace("a.b.c", "a b"),
            GOOD.replace("a.b.c", r"a\r\nX: y"),
            GOOD.replace(",\"expires_in\":3600", ""),
            long,
            String::new(),
        ] {
            assert!(told(200, &body).contains("of no use"), "{body}");
        }
        assert!(understand(StatusCode::OK, GOOD.replace(",\"refresh_token\":\"r\"", "").as_bytes()).is_ok());
    }
}
