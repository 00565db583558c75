//! Asks the proxy, as a browser with one kept connection does: one request at a time, the whole body read.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt as _;

use super::{origin::Origin, tokens::Token, trouble::Trouble};
use crate::{
    config,
    dial::Dialler,
    upstream::{RequestBody, Upstream},
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("catproxy/", env!("CARGO_PKG_VERSION")));
/// A larger page is none of a list of 500 items.
const ANSWER_BYTES: usize = 256 << 20;

/// How new an answer is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// As the proxy has it.
    Usual,
    /// Asked for anew.
    Newest,
}

/// One proxy.
pub(super) struct Client {
    proxy: Upstream,
    url: String,
}

/// What the proxy answered, and how long that took.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// `None` where it is not catproxy's.
    pub(super) origin: Option<(Origin, String)>,
    pub(super) body: Vec<Bytes>,
    /// From before the request was written until the last byte of the body was read, by the monotonic clock.
    pub(super) took: Duration,
}

impl Answer {
    pub(super) fn bytes(&self) -> u64 {
        self.body.iter().map(|piece| piece.len() as u64).sum()
    }
}

impl Client {
    /// Connects to nothing yet.
    pub(super) fn new(proxy: &config::Upstream) -> Result<Self, Trouble> {
        Ok(Self { url: proxy.url(), proxy: Upstream::new(proxy, &Dialler::system())? })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// One read.
    pub(super) async fn get(&self, target: &str, token: &Token, wanted: Wanted) -> Result<Answer, Trouble> {
        let request =
            self.request(target, token, wanted).map_err(|_| Trouble::Unfit { url: self.url.clone() })?;
        let began = Instant::now();
        let answer = self.proxy.send(request).await.map_err(|error| Trouble::of_head(&self.url, error))?;
        let (head, mut rest) = answer.into_parts();
        let (mut body, mut length) = (Vec::new(), 0);
        while let Some(frame) = rest.frame().await {
            let frame = frame.map_err(|error| Trouble::of_body(&self.url, error))?;
            if let Ok(piece) = frame.into_data() {
                length += piece.len();
                body.push(piece);
            }
            if length > ANSWER_BYTES {
                return Err(Trouble::Unfit { url: self.url.clone() });
            }
        }
        let took = began.elapsed();
        Ok(Answer { status: head.status, origin: Origin::of(&head.headers), body, took })
    }

    fn request(
        &self,
        target: &str,
        token: &Token,
        wanted: Wanted,
    ) -> Result<Request<RequestBody>, http::Error> {
        let mut request = Request::get(target)
            .header(header::HOST, self.proxy.host())
            .header(header::ACCEPT, JSON)
            .header(header::AUTHORIZATION, token.authorization())
            .header(header::USER_AGENT, AGENT);
        if wanted == Wanted::Newest {
            request = request.header(header::CACHE_CONTROL, "no-cache");
        }
        request.body(RequestBody::empty())
    }
}
