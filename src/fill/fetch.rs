//! One request of a fill: sends it, and gives the decoded body of a 200 with JSON.

use std::io;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt as _};
use tokio_util::io::StreamReader;

use super::{Answered, FillError, Filler, unfit};
use crate::upstream::{AnswerBody, BodyError, RequestBody, UpstreamError, is_json};

/// The codings that a fill decodes.
const CODINGS: HeaderValue = HeaderValue::from_static("gzip, br, zstd");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("catproxy/", env!("CARGO_PKG_VERSION")));
/// An error answer larger than this is not a message to a person.
const ERROR_BYTES: usize = 1024 * 1024;
/// What of an error answer's head its callers get.
const PASSED_FIELDS: [header::HeaderName; 3] =
    [header::CONTENT_TYPE, header::WWW_AUTHENTICATE, header::RETRY_AFTER];

impl Filler {
    pub(super) async fn fetch(&self, target: &str, authorization: Option<&str>) -> Result<Bytes, FillError> {
        let request = self.request(target, authorization).map_err(|error| unfit(&error))?;
        let answer = match self.0.upstream.send(request).await {
            Ok(answer) => answer,
            Err(error) => return Err(FillError::Upstream(error.into())),
        };
        match answer.status() {
            StatusCode::OK if is_json(answer.headers()) => {
                let limit = self.0.limits.max_page_bytes;
                read(answer, limit).await?.ok_or(FillError::TooLarge("max-page-bytes"))
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

async fn error_answer(answer: Response<AnswerBody>) -> Result<FillError, FillError> {
    let status = answer.status();
    let mut fields = HeaderMap::new();
    for name in PASSED_FIELDS {
        for value in answer.headers().get_all(&name) {
            fields.append(name.clone(), value.clone());
        }
    }
    let body = read(answer, ERROR_BYTES).await?.ok_or_else(|| unfit(&"an error answer of over 1 MiB"))?;
    Ok(FillError::Answered(Answered { status, fields, body }.into()))
}

/// The whole body, decoded; `None` where it is larger than `limit`, before or after decoding.
async fn read(answer: Response<AnswerBody>, limit: usize) -> Result<Option<Bytes>, FillError> {
    use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
    let mut codings = answer.headers().get_all(header::CONTENT_ENCODING).iter();
    let coding = match (codings.next().map(HeaderValue::to_str), codings.next()) {
        (None, _) => "identity".to_owned(),
        (Some(Ok(coding)), None) => coding.trim().to_ascii_lowercase(),
        _ => return Err(unfit(&"a page in a coding that was not asked for")),
    };
    // A coded body that is longer than its decoded bound is no honest one; `take` ends it there.
    let coded = coded(answer).take(limit as u64 + 1);
    match coding.as_str() {
        "identity" => gather(coded, limit).await,
        "gzip" | "x-gzip" => gather(GzipDecoder::new(coded), limit).await,
        "br" => gather(BrotliDecoder::new(coded), limit).await,
        "zstd" => gather(ZstdDecoder::new(coded), limit).await,
        _ => Err(unfit(&"a page in a coding that was not asked for")),
    }
}

fn coded(answer: Response<AnswerBody>) -> impl AsyncBufRead + Unpin + Send {
    StreamReader::new(Box::pin(answer.into_body().into_data_stream().map_err(io::Error::other)))
}

async fn gather(reader: impl AsyncRead + Unpin, limit: usize) -> Result<Option<Bytes>, FillError> {
    let mut body = Vec::new();
    match reader.take(limit as u64 + 1).read_to_end(&mut body).await {
        Ok(_) if body.len() > limit => Ok(None),
        Ok(_) => Ok(Some(body.into())),
        Err(error) => Err(failure(error)),
    }
}

/// A pause is a late upstream; anything else is an answer that broke off, or does not decode.
fn failure(error: io::Error) -> FillError {
    match error.get_ref().and_then(|cause| cause.downcast_ref::<BodyError>()) {
        Some(BodyError::Idle(limit)) => FillError::Upstream(UpstreamError::Late(*limit).into()),
        _ => FillError::Truncated,
    }
}
