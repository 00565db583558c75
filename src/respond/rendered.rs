//! Pages as they are sent: made once for an entry, page, coding and day, and kept up to a bound of bytes.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use jiff::{civil::Date, tz::TimeZone};
use quick_cache::Weighter;

use super::coded::coded;
use crate::{
    aside,
    bounded::{self, Bounded, Size},
    cache::Entry,
    classify::{PageAsked, Read, coding::Coding},
    config::{Config, RouteKind},
    page::keep,
    telemetry::Telemetry,
};

/// A smaller body is not coded where it need not be: it fits a packet as it is.
const CODED_FROM: usize = 1024;
/// An entry of so many bytes is small enough for its pages to be made at once.
const SMALL_BYTES: usize = 8 * 1024;
/// Of a hash, what makes two pages that differ have the same tag no more often than never.
const TAG_BYTES: usize = 16;
/// A page as it is sent.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// In `coding`.
    pub body: Bytes,
    /// A hash of the body as it is without a coding, and the coding: the same in all replicas.
    pub etag: HeaderValue,
    /// The coding, if any.
    pub coding: Coding,
}

/// The pages made so far.
pub struct Pages {
    made: Bounded<Id, Rendered, Weight>,
    zone: TimeZone,
    telemetry: Arc<Telemetry>,
}

/// What a page is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Id {
    entry: u64,
    page: PageAsked,
    coding: Coding,
    /// The day from which items are kept, where that matters.
    day: Option<Date>,
}

impl Id {
    fn of(entry: &Entry, read: &Read, day: Option<Date>) -> Self {
        let page = match read.route.kind {
            RouteKind::Single => PageAsked { number: 0, size: 0 },
            RouteKind::List { .. } => read.page,
        };
        Self { entry: entry.id, page, coding: read.accepted.coding, day }
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Id, Rendered> for Weight {
    fn weight(&self, _: &Id, rendered: &Rendered) -> u64 {
        rendered.body.len() as u64 + 256
    }
}

/// A page could not be made, which is our own failure.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a page could not be made")]
pub struct Unrendered;

impl Pages {
    /// No pages yet.
    #[must_use]
    pub fn new(config: &Config, telemetry: Arc<Telemetry>) -> Self {
        let made = bounded::by_bytes(config.store.page_bytes, Weight);
        Self { made, zone: config.time_zone.clone(), telemetry }
    }

    /// How much they take.
    #[must_use]
    pub fn size(&self) -> Size {
        bounded::size(&self.made)
    }

    /// The page that was asked for, if it was made before.
    #[must_use]
    pub fn made(&self, entry: &Entry, read: &Read, day: Option<Date>) -> Option<Rendered> {
        self.made.get(&Id::of(entry, read, day))
    }

    /// The page that was asked for, of this entry as it is to be seen on this day; `None`: on any.
    ///
    /// # Errors
    /// [`Unrendered`]
    pub async fn render(
        &self,
        entry: &Arc<Entry>,
        read: &Read,
        day: Option<Date>,
    ) -> Result<Rendered, Unrendered> {
        let id = Id::of(entry, read, day);
        if let Some(rendered) = self.made.get(&id) {
            return Ok(rendered);
        }
        let page = id.page;
        let plain = Id { coding: Coding::Identity, ..id.clone() };
        let plain = self.once(plain, is_small(entry), || self.plain(entry, read, page, day)).await?;
        let (coding, small) = (id.coding, plain.body.len() < CODED_FROM);
        if coding == Coding::Identity || (small && read.accepted.identity) {
            return Ok(plain);
        }
        self.once(id, false, || move || in_coding(&plain, coding)).await
    }

    /// What `make` gives, made once however many ask for it at the same time; aside, where it is not small.
    async fn once<M>(&self, id: Id, small: bool, make: impl FnOnce() -> M) -> Result<Rendered, Unrendered>
    where
        M: FnOnce() -> Option<Rendered> + Send + 'static,
    {
        let making = async {
            self.telemetry.page_made();
            aside::unless(small, make()).await.flatten().ok_or(Unrendered)
        };
        self.made.get_or_insert_async(&id, making).await
    }

    fn plain(
        &self,
        entry: &Arc<Entry>,
        read: &Read,
        page: PageAsked,
        day: Option<Date>,
    ) -> impl FnOnce() -> Option<Rendered> + Send + 'static {
        let (entry, route, zone) = (Arc::clone(entry), Arc::clone(&read.route), self.zone.clone());
        move || {
            let kept = match (&route.keep, day) {
                (Some(keep), Some(day)) if entry.collection.kept_from != Some(day) => {
                    Some(keep::from_today(entry.collection.clone(), &keep.field, day, &zone).0)
                }
                _ => None,
            };
            let collection = kept.as_ref().unwrap_or(&entry.collection);
            let body = match route.kind {
                RouteKind::Single => collection.text.clone(),
                RouteKind::List { .. } => collection.page(page),
            };
            let digest = ring::digest::digest(&ring::digest::SHA256, &body);
            let hex: String =
                digest.as_ref().iter().take(TAG_BYTES).map(|byte| format!("{byte:02x}")).collect();
            let etag = HeaderValue::try_from(format!("\"{hex}\"")).ok()?;
            Some(Rendered { body, etag, coding: Coding::Identity })
        }
    }
}

/// Whether a page is made in less time than it takes to have it done aside: all of its entry is not much.
fn is_small(entry: &Entry) -> bool {
    entry.collection.text.len() <= SMALL_BYTES
}

fn in_coding(plain: &Rendered, coding: Coding) -> Option<Rendered> {
    let body = coded(&plain.body, coding)?;
    let etag = plain.etag.to_str().ok()?.trim_end_matches('"');
    let etag = HeaderValue::try_from(format!("{etag}-{}\"", coding.name())).ok()?;
    Some(Rendered { body, etag, coding })
}
