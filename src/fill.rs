//! Fills: fetch all pages, project them, check that they make one collection. And the question: may this
//! token read this? Both are requests of our own making – path, key and paging parameters, the
//! caller's `Authorization` – and carry nothing else of a client's.
//!
//! All or nothing: a walk that contradicts itself is tried once more, and what fails stores nothing.

mod decode;
mod fetch;
mod receive;
mod turn;
mod walk;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use crate::{
    classify::{PageAsked, Read, target},
    config::{self, Config, RouteKind},
    deadline::{Deadline, Elapsed},
    page::Collection,
    project::ProjectedPage,
    telemetry::Telemetry,
    trace,
    upstream::{Upstream, UpstreamError},
};
use receive::elsewhere;
use turn::Turns;
use walk::Walk;

/// Why there is no collection. Shared by all who waited for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FillError {
    /// The upstream answered with an error of its own, which the callers get.
    #[error("the upstream answered {}", .0.status)]
    Answered(Arc<Answered>),
    /// The upstream gave no answer.
    #[error(transparent)]
    Upstream(Arc<UpstreamError>),
    /// An answer broke off.
    #[error("an answer of the upstream broke off")]
    Truncated,
    /// The fill as a whole took too long.
    #[error("not filled within {0:?}")]
    Late(Duration),
    /// More than the configured bounds allow; no error, but not to be cached.
    #[error("larger than the configured {0}")]
    TooLarge(&'static str),
    /// Too many fills wait for their turn; the upstream was not asked.
    #[error("more fills wait already than `waiting-fills`")]
    Busy,
    /// An answer is not the configured list.
    #[error("not the configured list: {0}")]
    Unfit(Arc<str>),
    /// The pages contradict each other, even the second time: the list changes while it is read.
    #[error("the pages contradict each other: {0}")]
    Contradiction(&'static str),
}

impl FillError {
    /// In a word.
    fn kind(&self) -> &'static str {
        match self {
            Self::Answered(_) => "answered",
            Self::Upstream(error) => error.kind(),
            Self::Truncated => "truncated",
            Self::Late(_) => "late",
            Self::TooLarge(_) => "too-large",
            Self::Busy => "busy",
            Self::Unfit(_) => "unfit",
            Self::Contradiction(_) => "contradiction",
        }
    }

    /// The upstream did not do its work, which says nothing about the thing or the token: no answer, half of one,
    /// or an error of those that `stale-if-error` is about (RFC 5861 section 4).
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Answered(answered) => matches!(answered.status.as_u16(), 500 | 502 | 503 | 504),
            Self::Upstream(_) | Self::Truncated | Self::Late(_) => true,
            Self::TooLarge(_) | Self::Busy | Self::Unfit(_) | Self::Contradiction(_) => false,
        }
    }
}

/// An upstream's own error answer.
#[derive(Debug)]
pub struct Answered {
    /// 4xx or 5xx.
    pub status: StatusCode,
    /// What of the head the callers get: type, challenge, when to come back.
    pub fields: HeaderMap,
    /// The body, decoded.
    pub body: Bytes,
}

/// Fills collections and asks questions. Cheap to clone.
#[derive(Clone)]
pub struct Filler(Arc<Inner>);

struct Inner {
    upstream: Arc<Upstream>,
    limits: config::Fill,
    turns: Turns,
    telemetry: Arc<Telemetry>,
}

impl Filler {
    /// A filler with the configured bounds.
    #[must_use]
    pub fn new(config: &Config, upstream: Arc<Upstream>, telemetry: Arc<Telemetry>) -> Self {
        let (limits, turns) = (config.fill.clone(), Turns::new(&config.fill));
        Self(Arc::new(Inner { upstream, limits, turns, telemetry }))
    }

    /// Fetches the whole collection that `read` names, with the caller's `Authorization`. Waits for its
    /// turn, unless too many do, and then for the upstream, both within the configured time.
    ///
    /// # Errors
    /// [`FillError`]. Dropping the wait closes the connections in use.
    pub async fn fill(&self, read: &Read, authorization: Option<&str>) -> Result<Collection, FillError> {
        let (limit, began) = (self.0.limits.timeout, Instant::now());
        let work = async {
            match self.0.turns.take().await {
                Some(_turn) => self.collect(read, authorization).await,
                None => Err(FillError::Busy),
            }
        };
        let filled =
            Deadline::after(limit).within(work).await.unwrap_or_else(|Elapsed| Err(FillError::Late(limit)));
        match &filled {
            Err(FillError::Busy) => self.0.telemetry.turned_away(),
            ended => {
                let ended = ended.as_ref().map(|whole| whole.text.len() as u64).map_err(FillError::kind);
                self.0.telemetry.route(&read.route.name).filled(ended, began.elapsed());
            }
        }
        match &filled {
            Ok(whole) => {
                trace::number("catproxy.items", whole.total);
                trace::number("catproxy.bytes", whole.text.len() as u64);
            }
            Err(error) => trace::failed(error.kind()),
        }
        if let Err(error) = &filled {
            tracing::debug!(route = read.route.name, %error, "fill failed");
        }
        filled
    }

    /// Asks the upstream with the smallest page, or for the object, whether this token may read; the upstream's
    /// total where it is a list.
    ///
    /// # Errors
    /// [`FillError`]: it may not, or there is no telling.
    pub async fn ask(&self, read: &Read, authorization: Option<&str>) -> Result<Option<u64>, FillError> {
        self.0.telemetry.question();
        let limit = self.0.limits.timeout;
        let work = async {
            if read.route.kind == RouteKind::Single {
                return self.object(read, authorization).await.map(|_| None);
            }
            let page = self
                .fetch(
                    &read.route,
                    &target(&read.route, &read.parameters, Some(PageAsked { number: 1, size: 1 })),
                    Some(1),
                    authorization,
                )
                .await?;
            page.total_items.map(Some).ok_or_else(|| unfit(&"a page without `totalItems`"))
        };
        let told =
            Deadline::after(limit).within(work).await.unwrap_or_else(|Elapsed| Err(FillError::Late(limit)));
        told.inspect_err(|error| trace::failed(error.kind()))
    }

    async fn collect(&self, read: &Read, authorization: Option<&str>) -> Result<Collection, FillError> {
        match read.route.kind {
            RouteKind::Single => {
                let object = self.object(read, authorization).await?;
                self.0.telemetry.route(&read.route.name).page();
                Ok(object)
            }
            RouteKind::List { .. } => match self.walk(read, authorization).await {
                Err(FillError::Contradiction(_)) => self.walk(read, authorization).await,
                ended => ended,
            },
        }
    }

    async fn object(&self, read: &Read, authorization: Option<&str>) -> Result<Collection, FillError> {
        let object = self
            .fetch(&read.route, &target(&read.route, &read.parameters, None), None, authorization)
            .await?;
        self.count_absent(read, &object.absent);
        Ok(Collection { text: object.text.into(), items: object.items, total: 1, kept_from: None })
    }

    async fn walk(&self, read: &Read, authorization: Option<&str>) -> Result<Collection, FillError> {
        use futures_util::{StreamExt as _, TryStreamExt as _};
        let limits = &self.0.limits;
        let mut walk = Walk::begin(self.page(read, 1, authorization).await?, limits)?;
        let mut pages = futures_util::stream::iter(walk.further_pages())
            .map(|number| self.page(read, number, authorization))
            .buffered(limits.parallel_pages.max(1));
        while let Some(page) = pages.try_next().await? {
            walk.add(page)?;
            if walk.is_due() {
                walk = elsewhere(move || Ok(walk.gathered())).await?;
            }
        }
        let count = walk.pages();
        let (collection, absent) =
            if walk.is_small() { walk.end() } else { elsewhere(move || walk.end()).await }?;
        trace::number("catproxy.pages", count.into());
        self.count_absent(read, &absent);
        Ok(collection)
    }

    async fn page(
        &self,
        read: &Read,
        number: u32,
        authorization: Option<&str>,
    ) -> Result<ProjectedPage, FillError> {
        let target =
            target(&read.route, &read.parameters, Some(PageAsked { number, size: self.0.limits.page_size }));
        let page = self.fetch(&read.route, &target, Some(number), authorization).await?;
        self.0.telemetry.route(&read.route.name).page();
        Ok(page)
    }

    fn count_absent(&self, read: &Read, absent: &[u64]) {
        for (field, count) in read.route.projection.field_names().zip(absent) {
            self.0.telemetry.absent_field(&read.route.name, field, *count);
        }
    }
}

fn unfit(why: &dyn std::fmt::Display) -> FillError {
    FillError::Unfit(why.to_string().into())
}
