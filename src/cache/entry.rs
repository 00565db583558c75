//! A stored collection: what stands in the store, and whether it may be served.
//!
//! Pure. The stored text is JSON, so that `redis-cli GET cat_sellers_all | jq .items` is useful. It is
//! never trusted: what does not decode, or is of another format or shape, is a miss and no error.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use jiff::civil::Date;
use serde::{Serialize, de::DeserializeOwned};

use super::generation::Generation;
use crate::{config, page::Collection, project::Scan};

/// The version of the stored text; another one is a miss.
pub const FORMAT: u32 = 1;

/// The fingerprint of what an entry holds: equal shapes hold interchangeable entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(Arc<str>);

impl Shape {
    /// Of a route's entries: format, upstream, everything configured of the route, and the time zone.
    #[must_use]
    pub fn of(config: &config::Config, route: &config::Route) -> Self {
        let zone =
            config.time_zone.iana_name().map_or_else(|| format!("{:?}", config.time_zone), str::to_owned);
        let text = format!("{FORMAT}\n{}\n{zone}\n{}", config.upstream.url(), route.description);
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        Self(digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>().into())
    }

    #[cfg(test)]
    pub(super) fn of_text(text: &str) -> Self {
        Self(text.into())
    }
}

/// Numbers entries as they come into this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A stored collection and what says whether it may be served.
#[derive(Debug)]
pub struct Entry {
    /// Of no other entry in this process: what is made from this one is known by it.
    pub id: u64,
    /// The items.
    pub collection: Collection,
    /// What it holds.
    pub shape: Shape,
    /// Under which generation it was filled.
    pub generation: Generation,
    /// When its fill began, by the wall clock of the replica that filled it; milliseconds since 1970. From
    /// then on it may be older than what the upstream holds.
    pub stored_at: u64,
    /// The stored text that it was read from, of which its items are a part.
    read_from: Option<Bytes>,
}

/// Why a stored text is not an entry of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Garbled {
    /// Not the JSON that this program writes.
    #[error("not an entry")]
    NotAnEntry,
    /// Another version of this program wrote it.
    #[error("an entry of another format")]
    Format,
    /// Written with other fields, another upstream or another zone.
    #[error("an entry of another shape")]
    Shape,
}

/// The stored text, field by field, without the items, which are its last field.
#[derive(Serialize)]
struct Head<'h> {
    format: u32,
    shape: &'h str,
    generation: &'h str,
    stored_at: u64,
    kept_from: Option<Date>,
    total: u64,
}

impl Entry {
    /// An entry as it was filled or read, with a number of its own.
    #[must_use]
    pub fn new(collection: Collection, shape: Shape, generation: Generation, stored_at: u64) -> Self {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, collection, shape, generation, stored_at, read_from: None }
    }

    /// The text to store.
    ///
    /// # Errors
    /// Where serde_json fails, which it does not.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let Self { collection, shape, generation, stored_at, .. } = self;
        let head = serde_json::to_vec(&Head {
            format: FORMAT,
            shape: &shape.0,
            generation: generation.as_str(),
            stored_at: *stored_at,
            kept_from: collection.kept_from,
            total: collection.total,
        })?;
        let open = head.strip_suffix(b"}").unwrap_or(&head);
        Ok([open, b",\"items\":[", &collection.text, b"]}"].concat())
    }

    /// Reads a stored text; the items stay where they are in it.
    ///
    /// # Errors
    /// [`Garbled`] where it is not an entry of this shape.
    pub fn decode(stored: &Bytes, shape: &Shape) -> Result<Self, Garbled> {
        let wire = Wire::read(stored).ok_or(Garbled::NotAnEntry)?;
        if wire.format != FORMAT {
            return Err(Garbled::Format);
        }
        if wire.shape != *shape.0 {
            return Err(Garbled::Shape);
        }
        let generation = Generation::claimed(&wire.generation);
        let entry = Self::new(wire.collection, shape.clone(), generation, wire.stored_at);
        Ok(Self { read_from: Some(stored.clone()), ..entry })
    }

    /// Whether [`Entry::decode`] would give the same one, because it has.
    pub(super) fn is_read_from(&self, stored: &Bytes, shape: &Shape) -> bool {
        self.shape == *shape && self.read_from.as_ref() == Some(stored)
    }

    /// How old it is: by the wall clock since its fill began, and at least as old as the store's own count
    /// says, which has `remaining` left of `life`. A clock that stepped back, or another replica's, makes
    /// nothing younger.
    #[must_use]
    pub fn age(&self, life: Duration, remaining: Duration, now_ms: u64) -> Duration {
        age(self.stored_at, life, remaining, now_ms)
    }
}

/// [`Entry::age`] of one whose fill began at `stored_at`.
pub(super) fn age(stored_at: u64, life: Duration, remaining: Duration, now_ms: u64) -> Duration {
    Duration::from_millis(now_ms.saturating_sub(stored_at)).max(life.saturating_sub(remaining))
}

/// The first fields of a stored text: what it is, without what is in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Label {
    shape: String,
    generation: String,
    pub(super) stored_at: u64,
}

/// As much of a stored text has its label in it, however long shape and generation are.
pub(super) const LABEL_BYTES: usize = 512;

impl Label {
    /// Reads it off the beginning of a stored text; `None` where that is none of ours.
    pub(super) fn read(beginning: &[u8]) -> Option<Self> {
        let mut json = Scan::new(beginning, false);
        let (mut shape, mut generation) = (None, None);
        if json.peek()? != b'{' {
            return None;
        }
        json.enter();
        while let Some(name) = json.member().ok()? {
            match &*name.text()? {
                b"shape" => shape = Some(value(&mut json)?),
                b"generation" => generation = Some(value(&mut json)?),
                // It is the last of the three.
                b"stored_at" => {
                    let stored_at = value(&mut json)?;
                    // A number that is cut off is another number.
                    json.peek()?;
                    return Some(Self { shape: shape?, generation: generation?, stored_at });
                }
                _ => json.skip().ok()?,
            }
        }
        None
    }

    /// That of an entry that is here.
    pub(super) fn of(entry: &Entry) -> Self {
        let (shape, generation) = (entry.shape.0.to_string(), entry.generation.as_str().to_owned());
        Self { shape, generation, stored_at: entry.stored_at }
    }

    /// Whether the entry is of this shape and generation.
    pub(super) fn is_of(&self, shape: &Shape, generation: Option<&Generation>) -> bool {
        self.shape == *shape.0 && generation.is_some_and(|present| present.as_str() == self.generation)
    }
}

/// The bytes that an entry under this key takes in memory, about.
#[must_use]
pub(super) fn weight(key: &str, entry: &Entry) -> u64 {
    let collection = &entry.collection;
    (key.len() + collection.text.len() + collection.items.len() * size_of::<std::ops::Range<u32>>() + 256)
        as u64
}

/// A stored text, read once from its beginning to its end.
struct Wire {
    format: u32,
    shape: String,
    generation: String,
    stored_at: u64,
    collection: Collection,
}

impl Wire {
    /// `None` where it is not what this program writes, spelled as it may be.
    fn read(stored: &Bytes) -> Option<Self> {
        let mut json = Scan::new(stored, false);
        let (mut format, mut shape, mut generation) = (None, None, None);
        let (mut stored_at, mut kept_from, mut total, mut items) = (None, None, None, None);
        if json.peek()? != b'{' {
            return None;
        }
        json.enter();
        while let Some(name) = json.member().ok()? {
            match &*name.text()? {
                b"format" => format = Some(value(&mut json)?),
                b"shape" => shape = Some(value(&mut json)?),
                b"generation" => generation = Some(value(&mut json)?),
                b"stored_at" => stored_at = Some(value(&mut json)?),
                b"kept_from" => kept_from = value(&mut json)?,
                b"total" => total = Some(value(&mut json)?),
                b"items" => items = Some(list(&mut json)?),
                _ => json.skip().ok()?,
            }
        }
        json.end().ok()?;
        let (text, items) = items?;
        let text = stored.slice(text);
        std::str::from_utf8(&text).ok()?;
        let collection = Collection { text, items, total: total?, kept_from };
        let (format, shape, generation, stored_at) = (format?, shape?, generation?, stored_at?);
        Some(Self { format, shape, generation, stored_at, collection })
    }
}

/// The value that comes next.
fn value<T: DeserializeOwned>(json: &mut Scan<'_>) -> Option<T> {
    json.peek();
    let start = json.offset();
    json.skip().ok()?;
    serde_json::from_str(json.since(start).ok()?).ok()
}

/// Where the inside of the array of objects lies that comes next, and where in it each of them does.
fn list(json: &mut Scan<'_>) -> Option<(Range<usize>, Vec<Range<u32>>)> {
    if json.peek()? != b'[' {
        return None;
    }
    json.enter();
    let (base, mut items) = (json.offset(), Vec::new());
    let mut end = base;
    while json.element().ok()? {
        if json.peek()? != b'{' {
            return None;
        }
        let start = json.offset() - base;
        json.skip().ok()?;
        end = json.offset();
        items.push(u32::try_from(start).ok()?..u32::try_from(end - base).ok()?);
    }
    Some((base..end, items))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(text: &str, items: Vec<std::ops::Range<u32>>) -> Entry {
        let text = Bytes::copy_from_slice(text.as_bytes());
        let kept_from = Some(jiff::civil::date(2026, 11, 22));
        let collection = Collection { text, items, total: 7, kept_from };
        Entry::new(collection, Shape::of_text("s"), Generation::random("run").unwrap(), 1_000)
    }

    fn decode(text: &str) -> Result<Entry, Garbled> {
        Entry::decode(&Bytes::copy_from_slice(text.as_bytes()), &Shape::of_text("s"))
    }

    #[test]
    fn an_entry_reads_back_as_it_was_written() {
        for (text, items) in [
            ("", vec![]),
            (r#"{"id":1},{"n":"a,]}"}"#, vec![0..8, 9..21]),
            (r#"{"x":1.10}"#, std::iter::once(0..10).collect()),
        ] {
            let entry = entry(text, items);
            let stored = Bytes::from(entry.encode().unwrap());
            let read = Entry::decode(&stored, &entry.shape).unwrap();
            assert_eq!(read.collection, entry.collection);
            assert_eq!((&read.generation, read.stored_at), (&entry.generation, entry.stored_at));
            assert_ne!(read.id, entry.id);
            assert!(read.is_read_from(&stored, &entry.shape) && !entry.is_read_from(&stored, &entry.shape));
            assert!(!read.is_read_from(&stored, &Shape::of_text("t")));
            assert!(!read.is_read_from(&stored.slice(..stored.len() - 1), &entry.shape));
            assert_eq!(Entry::decode(&stored, &Shape::of_text("t")).err(), Some(Garbled::Shape));
        }
    }

    #[test]
    fn an_entrys_label_is_read_off_its_beginning_wherever_that_is_cut() {
        let entry = entry(r#"{"id":1},{"n":"a,]}"}"#, vec![0..8, 9..21]);
        let stored = entry.encode().unwrap();
        let label = Label::read(&stored).unwrap();
        assert!(label.is_of(&entry.shape, Some(&entry.generation)) && label.stored_at == entry.stored_at);
        assert!(!label.is_of(&Shape::of_text("t"), Some(&entry.generation)));
        assert!(!label.is_of(&entry.shape, None));
        assert!(!label.is_of(&entry.shape, Some(&Generation::random("run").unwrap())));
        let least = (0..=stored.len()).find(|cut| Label::read(&stored[..*cut]).is_some()).unwrap();
        for cut in 0..=stored.len() {
            assert_eq!(Label::read(&stored[..cut]).is_some(), cut >= least, "{cut}");
            assert!(cut <= least || Label::read(&stored[..cut]).unwrap() == label, "{cut}");
        }
    }

    #[test]
    fn what_others_wrote_under_our_keys_is_garbled_and_no_error() {
        let token = Generation::random("run").unwrap();
        let with = |format: u32, items: &str| {
            format!(
                r#"{{"format":{format},"shape":"s","generation":"{token}","stored_at":1,"kept_from":null,"total":1,"items":{items}}}"#
            )
        };
        assert!(decode(&with(1, r#"[ {"id":1} , {"id":2} ]"#)).is_ok(), "white space is no reason");
        assert_eq!(decode(&with(2, "[]")).err(), Some(Garbled::Format));
        for items in ["{}", "7", "[7]", "null", "\"[]\"", "[[]]"] {
            assert_eq!(decode(&with(1, items)).err(), Some(Garbled::NotAnEntry), "{items}");
        }
        for text in ["", "[]", "{}", "null", "\u{80}\u{4}pickle", "{\"format\":1}"] {
            assert_eq!(decode(text).err(), Some(Garbled::NotAnEntry), "{text:?}");
        }
    }

    #[test]
    fn an_age_is_the_greater_of_both_counts_and_no_clock_makes_it_less() {
        let entry = entry("", vec![]);
        let (life, second) = (Duration::from_secs(10), Duration::from_secs(1));
        assert_eq!(entry.age(life, life, 1_000), Duration::ZERO);
        assert_eq!(entry.age(life, second, 1_000), life - second);
        assert_eq!(entry.age(life, life, 9_000), 8 * second);
        assert_eq!(entry.age(life, life, 0), Duration::ZERO, "a clock that is behind");
        assert_eq!(entry.age(life, second, 0), life - second, "a clock that is behind, late in its life");
        assert_eq!(entry.age(life, Duration::MAX, 1_000), Duration::ZERO, "a life that somebody prolonged");
        assert_eq!(entry.age(life, Duration::MAX, 61_000), 60 * second, "and it does not help");
    }

    proptest! {
        #[test]
        fn decoding_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Entry::decode(&Bytes::from(bytes), &Shape::of_text("s"));
        }

        #[test]
        fn decoding_a_damaged_entry_never_panics(place in 0usize..200, byte in any::<u8>(), cut in 0usize..300) {
            let mut stored = entry(r#"{"id":1},{"n":"a"}"#, vec![0..8, 9..18]).encode().unwrap();
            let place = place % stored.len();
            stored[place] = byte;
            stored.truncate(cut);
            let _ = Entry::decode(&Bytes::from(stored), &Shape::of_text("s"));
        }
    }
}
