//! One question to an admin listener.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};

use super::{Listener, refused};
use crate::{
    cli::options::{Environment, variable},
    config::{
        check::{self, Origin, Overrides, Setting},
        profile::Profile,
        report::Report,
    },
    deadline::Deadline,
    dial::Dialler,
    server::StartError,
    upstream::{RequestBody, Upstream, UpstreamError, UpstreamUnusable},
};

const DEFAULT_URL: &str = "http://127.0.0.1:9180";
/// A purge waits for the store, and that is all that takes long.
const PATIENCE: Duration = Duration::from_secs(15);
const ANSWER_BYTES: usize = 1 << 20;

/// Why there is nothing to tell.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("it cannot be asked")]
    Unusable(#[from] UpstreamUnusable),
    #[error("{0}: no answer (is the admin listener on? --admin-listen; elsewhere? --url)")]
    Unanswered(String, #[source] UpstreamError),
    #[error("{0}: no answer within {PATIENCE:?}")]
    Late(String),
    #[error("{0}: {1}")]
    Refused(String, String),
    #[error("{0}: what answers there is no admin listener of catproxy")]
    Unfit(String),
}

/// One admin listener.
pub(super) struct Client {
    listener: Upstream,
    url: String,
    authorization: Option<HeaderValue>,
}

impl Client {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// Where URL or token cannot be used, for people; inside, where TLS cannot.
    pub(super) fn of(
        listener: &Listener,
        environment: Environment<'_>,
    ) -> Result<Result<Self, Trouble>, Report> {
        let url = match &listener.url {
            Some(url) => Setting { value: url.clone(), origin: Origin::Flag("--url") },
            None => {
                let url = variable(environment, "CATPROXY_ADMIN_URL")?;
                let value = url.unwrap_or_else(|| DEFAULT_URL.to_owned());
                Setting { value, origin: Origin::Environment("CATPROXY_ADMIN_URL") }
            }
        };
        let token = variable(environment, "CATPROXY_ADMIN_TOKEN")?;
        let authorization = token.map(|token| HeaderValue::try_from(format!("Bearer {}", token.trim())));
        let authorization = authorization
            .transpose()
            .map_err(|_| Report::of("CATPROXY_ADMIN_TOKEN is not one line of text".to_owned(), None))?;
        // The listener is asked as the proxy asks its upstream.
        let overrides = Overrides { upstream: Some(url), ..Overrides::default() };
        let (config, _) = check::load(Profile::Panels.source(), overrides)?;
        let url = config.upstream.url();
        Ok(Upstream::new(&config.upstream, &Dialler::system())
            .map(|listener| Self { listener, url, authorization })
            .map_err(Trouble::from))
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn unfit(&self) -> Trouble {
        Trouble::Unfit(self.url.clone())
    }

    pub(super) async fn get(&self, path: &'static str) -> Result<String, Trouble> {
        self.ask(Method::GET, path, RequestBody::empty(), 0).await
    }

    pub(super) async fn post(&self, path: &'static str, json: String) -> Result<String, Trouble> {
        let length = json.len();
        self.ask(Method::POST, path, RequestBody::own(Bytes::from(json)), length).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &'static str,
        body: RequestBody,
        length: usize,
    ) -> Result<String, Trouble> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = http::Uri::from_static(path);
        let fields = request.headers_mut();
        fields.insert(header::HOST, self.listener.host());
        if length > 0 {
            fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            fields.insert(header::CONTENT_LENGTH, length.into());
        }
        fields.extend(self.authorization.clone().map(|authorization| (header::AUTHORIZATION, authorization)));
        let answered = Deadline::after(PATIENCE).within(self.answer(request)).await;
        let (status, text) = answered.unwrap_or_else(|_| Err(Trouble::Late(self.url.clone())))?;
        if status.is_success() {
            return Ok(text);
        }
        Err(Trouble::Refused(self.url.clone(), refused(status, &text)))
    }

    async fn answer(&self, request: Request<RequestBody>) -> Result<(StatusCode, String), Trouble> {
        let answer = self.listener.send(request).await;
        let (head, body) = answer.map_err(|error| Trouble::Unanswered(self.url.clone(), error))?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(|_| self.unfit())?;
        let text = String::from_utf8(body.to_bytes().into()).map_err(|_| self.unfit())?;
        Ok((head.status, text))
    }
}
