//! One fetch of the published keys: at the identity server that is configured, and nowhere else.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header, uri::Authority};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;

use super::keys::KeySet;
use crate::{
    config::jwks::{Jwks as Config, KeysAt},
    deadline::{Deadline, Elapsed},
    dial::Dialler,
    upstream::{Broken, RequestBody, Upstream, UpstreamError, UpstreamUnusable, is_json},
};

const AGENT: HeaderValue = HeaderValue::from_static(concat!("catproxy/", env!("CARGO_PKG_VERSION")));
const ACCEPT: HeaderValue = HeaderValue::from_static("application/json, application/jwk-set+json");
const CODING: HeaderValue = HeaderValue::from_static("identity");
/// A longer document is no discovery document and no key set.
const DOCUMENT_BYTES: usize = 256 * 1024;

/// Why there are no keys. The documents are public, so what is wrong with them may be said.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("no connection")]
    Connect(#[source] io::Error),
    #[error("the connection broke off")]
    Broken(#[source] Broken),
    #[error("the request failed")]
    Failed(#[source] UpstreamError),
    #[error("the answer broke off, or has more than 256 KiB")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("the answer is not JSON")]
    NoJson,
    #[error("what is asked for cannot be: {0}")]
    Target(#[from] http::Error),
    #[error("what it answers is not a discovery document")]
    Discovery(#[source] serde_json::Error),
    #[error("its discovery document names another issuer than `admission.issuer`")]
    Issuer,
    #[error("its discovery document says that the keys are on another host: set `admission.keys-url`")]
    Elsewhere,
    #[error("what it answers is not a key set")]
    Keys(#[source] serde_json::Error),
}

/// Where the keys are.
pub(super) struct Source {
    upstream: Upstream,
    config: Arc<Config>,
}

impl Source {
    pub(super) fn new(config: Arc<Config>, dialler: &Dialler) -> Result<Self, UpstreamUnusable> {
        Ok(Self { upstream: Upstream::new(&config.identity, dialler)?, config })
    }

    /// Fetches the keys, all of it within `keys-timeout`. Dropping the wait closes the connection.
    pub(super) async fn fetch(&self) -> Result<KeySet, FetchError> {
        let limit = self.config.keys_timeout;
        let fetched = Deadline::after(limit).within(self.keys()).await;
        fetched.unwrap_or_else(|Elapsed| Err(FetchError::Late(limit)))
    }

    async fn keys(&self) -> Result<KeySet, FetchError> {
        let document = match &self.config.keys {
            KeysAt::Keys(target) => self.document(target).await?,
            KeysAt::Discovery(target) => {
                let keys = self.discovered(&self.document(target).await?)?;
                self.document(&keys).await?
            }
        };
        KeySet::read(&document).map_err(FetchError::Keys)
    }

    /// Where the keys are, by a discovery document: a path and query of this server. What another host publishes
    /// counts only where an operator has said so, and never without TLS where the issuer has it.
    fn discovered(&self, document: &[u8]) -> Result<String, FetchError> {
        #[derive(Deserialize)]
        struct Discovery {
            issuer: String,
            jwks_uri: String,
        }
        let found: Discovery = serde_json::from_slice(document).map_err(FetchError::Discovery)?;
        if found.issuer != self.config.issuer {
            return Err(FetchError::Issuer);
        }
        let keys: Uri = found.jwks_uri.parse().map_err(http::Error::from)?;
        let identity = &self.config.identity;
        let here = keys.scheme_str() == Some(if identity.tls { "https" } else { "http" })
            && keys.authority().is_some_and(|theirs| is_same(theirs, &identity.authority, identity.tls));
        let target = keys.path_and_query().filter(|_| here).ok_or(FetchError::Elsewhere)?;
        Ok(target.to_string())
    }

    async fn document(&self, target: &str) -> Result<Bytes, FetchError> {
        let request = Request::get(target)
            .header(header::HOST, self.upstream.host())
            .header(header::ACCEPT, ACCEPT)
            .header(header::ACCEPT_ENCODING, CODING)
            .header(header::USER_AGENT, AGENT)
            .body(RequestBody::empty())?;
        let answer = self.upstream.send(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        if !is_json(answer.headers()) {
            return Err(FetchError::NoJson);
        }
        let body = Limited::new(answer.into_body(), DOCUMENT_BYTES);
        Ok(body.collect().await.map_err(FetchError::Body)?.to_bytes())
    }
}

impl From<UpstreamError> for FetchError {
    fn from(error: UpstreamError) -> Self {
        match error {
            UpstreamError::Connect(error) => Self::Connect(error),
            UpstreamError::ConnectLate(limit) | UpstreamError::Late(limit) => Self::Late(limit),
            UpstreamError::Broken(error) => Self::Broken(error),
            other => Self::Failed(other),
        }
    }
}

/// Whether two authorities are one server.
fn is_same(one: &Authority, other: &Authority, tls: bool) -> bool {
    let port = |of: &Authority| of.port_u16().unwrap_or(if tls { 443 } else { 80 });
    one.host().eq_ignore_ascii_case(other.host()) && port(one) == port(other)
}
