//! Which items are kept: those whose date is today or later.
//!
//! Dates come without an offset and mean the configured zone's clock; one with an offset is taken to
//! that zone first. The day decides, not the hour: an auction that began this morning is of today.

use std::ops::Range;

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::TimeZone,
};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::Collection;

/// What an item's date says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dated {
    /// This day, in the configured zone.
    On(Date),
    /// Null, or there is no such field.
    Undated,
    /// Not a date.
    Unreadable,
}

/// The collection without the items before `today`, without a date, or with one that does not read;
/// and how many of the last kind there were.
#[must_use]
pub fn from_today(whole: Collection, field: &str, today: Date, zone: &TimeZone) -> (Collection, u64) {
    if whole.kept_from == Some(today) {
        return (whole, 0);
    }
    let mut text = Vec::with_capacity(whole.text.len());
    let mut items = Vec::with_capacity(whole.items.len());
    let mut unreadable = 0;
    for place in 0..whole.items.len() {
        let item = whole.item(place);
        match date_of(item, field, zone) {
            Dated::On(date) if date >= today => items.push(append(&mut text, item)),
            Dated::On(_) | Dated::Undated => {}
            Dated::Unreadable => unreadable += 1,
        }
    }
    // Most of a list may be past: what is kept must not hold the room of the whole.
    text.shrink_to_fit();
    items.shrink_to_fit();
    (Collection { text: text.into(), items, total: whole.total, kept_from: Some(today) }, unreadable)
}

fn append(text: &mut Vec<u8>, item: &[u8]) -> Range<u32> {
    if !text.is_empty() {
        text.push(b',');
    }
    let start = text.len();
    text.extend_from_slice(item);
    // A collection is bounded far below 4 GiB by the configuration.
    u32::try_from(start).unwrap_or(u32::MAX)..u32::try_from(text.len()).unwrap_or(u32::MAX)
}

/// The date in `field` of an item.
#[must_use]
pub fn date_of(item: &[u8], field: &str, zone: &TimeZone) -> Dated {
    let mut document = serde_json::Deserializer::from_slice(item);
    match (FieldOf { field }).deserialize(&mut document) {
        Ok(None) => Dated::Undated,
        Ok(Some(text)) => read(&text, zone).map_or(Dated::Unreadable, Dated::On),
        Err(_) => Dated::Unreadable,
    }
}

/// `2026-09-01T00:00:00`, with or without fractions, with or without an offset; also a bare date.
fn read(text: &str, zone: &TimeZone) -> Option<Date> {
    let bytes = text.as_bytes();
    let dashed = bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-');
    if !dashed {
        return None;
    }
    match bytes.get(10) {
        None => text.parse().ok(),
        Some(b'T' | b't' | b' ') if has_offset(bytes) => {
            text.parse::<Timestamp>().ok().map(|instant| zone.to_datetime(instant).date())
        }
        Some(b'T' | b't' | b' ') => text.parse::<DateTime>().ok().map(DateTime::date),
        Some(_) => None,
    }
}

/// jiff's civil parser drops an offset silently, so it is looked for first.
fn has_offset(text: &[u8]) -> bool {
    text.iter().skip(11).any(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'))
}

/// Finds one field at the top of an object; the last of several counts, as everywhere.
struct FieldOf<'f> {
    field: &'f str,
}

impl<'de> DeserializeSeed<'de> for FieldOf<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<Self::Value, D::Error> {
        document.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FieldOf<'_> {
    type Value = Option<String>;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if name == self.field {
                found = map.next_value::<Option<String>>()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn dated(value: &str) -> Dated {
        let zone = TimeZone::get("America/Chicago").expect("a bundled zone");
        date_of(format!("{{\"id\":1,\"when\":{value}}}").as_bytes(), "when", &zone)
    }

    #[test]
    fn a_date_reads_with_and_without_fractions_and_offset() {
        for text in [
            "2026-09-01T00:00:00",
            "2026-09-01T23:59:59.856",
            "2026-09-01",
            "2026-09-01T05:00:00Z",
            "2026-09-02T01:00:00+02:00",
        ] {
            assert_eq!(dated(&format!("\"{text}\"")), Dated::On(date(2026, 9, 1)), "{text}");
        }
        assert_eq!(
            dated("\"2026-09-01T04:59:59Z\""),
            Dated::On(date(2026, 8, 31)),
            "an offset counts in the zone"
        );
    }

    #[test]
    fn null_and_missing_are_undated_and_nonsense_is_unreadable() {
        assert_eq!(dated("null"), Dated::Undated);
        assert_eq!(date_of(b"{}", "when", &TimeZone::UTC), Dated::Undated);
        for value in [
            "\"\"",
            "\"soon\"",
            "\"2026-13-01T00:00:00\"",
            "\"20260901T000000\"",
            "7",
            "{}",
            "\"2026-09-01T\"",
        ] {
            assert_eq!(dated(value), Dated::Unreadable, "{value}");
        }
    }

    #[test]
    fn what_is_kept_is_one_text_and_counts_anew() {
        let items = [
            r#"{"d":"2026-01-01T00:00:00"}"#,
            r#"{"d":"2026-01-02T08:00:00"}"#,
            r#"{"d":null}"#,
            r#"{"d":"x"}"#,
            r#"{"d":"2026-01-03T00:00:00"}"#,
        ];
        let mut text = Vec::new();
        let spans = items.iter().map(|item| append(&mut text, item.as_bytes())).collect();
        let whole = Collection { text: text.into(), items: spans, total: 5, kept_from: None };
        let (kept, unreadable) = from_today(whole, "d", date(2026, 1, 2), &TimeZone::UTC);
        assert_eq!(&kept.text[..], [items[1], items[4]].join(",").as_bytes());
        assert_eq!(
            (kept.items.len(), kept.total, unreadable, kept.kept_from),
            (2, 5, 1, Some(date(2026, 1, 2)))
        );
    }
}
