//! One request of a fill: sends it, and makes of the body of a 200 with JSON what is wanted.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use tokio::time::Instant;

use super::{
    Answered, FillError, Filler,
    decode::CODINGS,
    receive::{Bound, Take, receive},
    unfit,
};
use crate::{
    config::Route,
    project::{ProjectedPage, Reading},
    telemetry::route::RouteTelemetry,
    trace::{self, Step},
    upstream::{AnswerBody, RequestBody, UpstreamError, is_json},
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("catproxy/", env!("CARGO_PKG_VERSION")));
/// An error answer larger than this is not a message to a person.
const ERROR_BYTES: usize = 1024 * 1024;
/// What of an error answer's head its callers get.
const PASSED_FIELDS: [header::HeaderName; 3] =
    [header::CONTENT_TYPE, header::WWW_AUTHENTICATE, header::RETRY_AFTER];

impl Filler {
    /// What is left of a page of this route, or of its object.
    pub(super) async fn fetch(
        &self,
        route: &Arc<Route>,
        target: &str,
        page: Option<u32>,
        authorization: Option<&str>,
    ) -> Result<ProjectedPage, FillError> {
        let mut step = trace::step(Step::Fetch);
        if let Some(page) = page {
            step.number("catproxy.page", page.into());
        }
        let mut request = self.request(target, authorization).map_err(|error| unfit(&error))?;
        step.sends(&mut request);
        let began = Instant::now();
        let sent = self.0.upstream.send(request).await;
        self.0.telemetry.upstream(sent.as_ref().map(|_| began.elapsed()).map_err(UpstreamError::kind));
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => {
                step.failed(error.kind());
                return Err(FillError::Upstream(error.into()));
            }
        };
        step.answered(answer.status());
        match answer.status() {
            StatusCode::OK if is_json(answer.headers()) => {
                let beyond = FillError::TooLarge("max-page-bytes");
                let bound = Bound { bytes: self.0.limits.max_page_bytes, beyond };
                let page = Page::begin(Arc::clone(route), self.0.telemetry.route(&route.name), &answer);
                receive(answer, page, bound).await.inspect_err(|error| step.failed(error.kind()))
            }
            StatusCode::OK => Err(unfit(&"a page that is not JSON")),
            status if status.is_client_error() || status.is_server_error() => {
                Err(error_answer(answer).await?)
            }
            status => Err(unfit(&format_args!("a page answered {status}"))),
        }
    }

    fn request(
        &self,
        target: &str,
        authorization: Option<&str>,
    ) -> Result<Request<RequestBody>, http::Error> {
        let mut request = Request::get(target)
            .header(header::HOST, self.0.upstream.host())
            .header(header::ACCEPT, JSON)
            .header(header::ACCEPT_ENCODING, CODINGS)
            .header(header::USER_AGENT, AGENT);
        if let Some(authorization) = authorization {
            let mut value = HeaderValue::try_from(authorization)?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        request.body(RequestBody::empty())
    }
}

/// A page that is projected while it comes.
struct Page {
    route: Arc<Route>,
    telemetry: Arc<RouteTelemetry>,
    reading: Reading,
}

impl Page {
    fn begin(route: Arc<Route>, telemetry: Arc<RouteTelemetry>, answer: &Response<AnswerBody>) -> Self {
        let is_coded = answer.headers().contains_key(header::CONTENT_ENCODING);
        let length = answer.body().size_hint().exact().filter(|_| !is_coded);
        let reading = route.projection.begin(length.and_then(|length| usize::try_from(length).ok()));
        Self { route, telemetry, reading }
    }
}

impl Take for Page {
    type Taken = ProjectedPage;

    fn take(&mut self, bytes: &[u8]) -> Result<(), FillError> {
        self.telemetry.received(bytes.len() as u64);
        self.route.projection.read(&mut self.reading, bytes).map_err(|error| unfit(&error))
    }

    fn end(self) -> Result<ProjectedPage, FillError> {
        self.route.projection.end(self.reading).map_err(|error| unfit(&error))
    }
}

async fn error_answer(answer: Response<AnswerBody>) -> Result<FillError, FillError> {
    let status = answer.status();
    let mut fields = HeaderMap::new();
    for name in PASSED_FIELDS {
        for value in answer.headers().get_all(&name) {
            fields.append(name.clone(), value.clone());
        }
    }
    let bound = Bound { bytes: ERROR_BYTES, beyond: unfit(&"an error answer of over 1 MiB") };
    let body = receive(answer, Message(Vec::new()), bound).await?.into();
    Ok(FillError::Answered(Answered { status, fields, body }.into()))
}

/// What an error answer says.
struct Message(Vec<u8>);

impl Take for Message {
    type Taken = Vec<u8>;

    fn take(&mut self, bytes: &[u8]) -> Result<(), FillError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn end(self) -> Result<Vec<u8>, FillError> {
        Ok(self.0)
    }
}
