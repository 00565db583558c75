//! Compressed bodies, remembered as long as the plain ones may be asked for again.

use std::collections::HashMap;
use std::sync::Mutex;

use async_compression::Level;
use async_compression::tokio::write::{BrotliEncoder, GzipEncoder};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use http::{HeaderMap, HeaderValue, Response};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::body::Body;
use crate::locks::lock;

/// How many compressed bodies are remembered.
const REMEMBERED: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Coding {
    Gzip,
    Brotli,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
        }
    }
}

/// A plain body by where it is in memory. It stays there while the entry holds it.
type Place = (usize, usize, Coding);

/// Compresses answers.
#[derive(Default)]
pub(crate) struct Compressor {
    /// Plain bodies and their compressed form.
    done: Mutex<HashMap<Place, (Bytes, Bytes)>>,
}

impl Compressor {
    /// Compresses a whole body where one of the codings is on and accepted.
    pub(crate) async fn apply(
        &self,
        brotli: bool,
        gzip: bool,
        accepted: &HeaderMap,
        mut response: Response<Body>,
    ) -> Response<Body> {
        let wanted = [(Coding::Brotli, brotli), (Coding::Gzip, gzip)];
        let mut on = wanted.into_iter().filter_map(|(coding, on)| on.then_some(coding));
        let Some(coding) = on.find(|coding| accepts(accepted, coding.name())) else { return response };
        let Body::Whole(plain) = response.body() else { return response };
        if plain.is_empty() {
            return response;
        }
        let Some(packed) = self.packed(coding, plain.clone()).await else { return response };
        *response.body_mut() = Body::Whole(packed);
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        response.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
        response
    }

    async fn packed(&self, coding: Coding, plain: Bytes) -> Option<Bytes> {
        let place = (plain.as_ptr() as usize, plain.len(), coding);
        if let Some((_, packed)) = lock(&self.done).get(&place) {
            return Some(packed.clone());
        }
        let packed = match coding {
            Coding::Gzip => {
                through(GzipEncoder::with_quality(Vec::new(), Level::Fastest), &plain).await?.into_inner()
            }
            Coding::Brotli => through(BrotliEncoder::with_quality(Vec::new(), Level::Precise(4)), &plain)
                .await?
                .into_inner(),
        };
        let packed = Bytes::from(packed);
        let mut done = lock(&self.done);
        if done.len() >= REMEMBERED {
            done.clear();
        }
        done.insert(place, (plain, packed.clone()));
        Some(packed)
    }
}

async fn through<E: AsyncWrite + Unpin>(mut encoder: E, plain: &[u8]) -> Option<E> {
    encoder.write_all(plain).await.ok()?;
    encoder.shutdown().await.ok()?;
    Some(encoder)
}

fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|offer| {
        let (name, quality) = offer.split_once(';').unwrap_or((offer, "q=1"));
        let refused = quality.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case(coding) && !refused
    })
}
