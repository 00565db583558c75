//! A stored text is an entry or garbled, whatever it is. An entry's items are JSON objects inside of the text, in order,
//! and it is the same after it was stored again. `"shape":"s"` in the bytes stands for the shape that is looked for.

use std::sync::OnceLock;

use bytes::Bytes;
use catproxy::{
    cache::{
        Entry,
        entry::{FORMAT, Shape},
        generation::Generation,
    },
    classify::PageAsked,
    config::{
        check::{Overrides, load},
        profile::Profile,
    },
    page::{Collection, keep},
};
use jiff::{civil::date, tz::TimeZone};
use serde_json::value::RawValue;

struct Expected {
    shape: Shape,
    /// As it is written in an entry.
    text: Vec<u8>,
}

pub(super) fn check(bytes: &[u8]) {
    let expected = expected();
    let stored = Bytes::from(replaced(bytes, br#""shape":"s""#, &expected.text));
    let Ok(entry) = Entry::decode(&stored, &expected.shape) else { return };
    is_sound(&entry.collection, &stored);
    let again = Bytes::from(entry.encode().expect("it was read"));
    let again = Entry::decode(&again, &expected.shape).expect("it was written");
    assert_eq!(text(&again.collection), text(&entry.collection));
    assert_eq!(again.collection.total, entry.collection.total);
    assert_eq!(again.collection.kept_from, entry.collection.kept_from);
    assert_eq!((again.generation, again.stored_at), (entry.generation, entry.stored_at));
}

fn expected() -> &'static Expected {
    static EXPECTED: OnceLock<Expected> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let config = load(Profile::Panels.source(), Overrides::default()).expect("a profile").0;
        let shape = Shape::of(&config, config.routes.first().expect("a route"));
        let collection = Collection { text: Bytes::new(), items: Vec::new(), total: 0, kept_from: None };
        let entry = Entry::new(collection, shape.clone(), Generation::claimed("g"), 0);
        let written: serde_json::Value =
            serde_json::from_slice(&entry.encode().expect("an entry")).expect("JSON");
        assert_eq!(written["format"], FORMAT);
        Expected { shape, text: format!(r#""shape":{}"#, written["shape"]).into_bytes() }
    })
}

fn replaced(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    match bytes.windows(what.len()).position(|window| window == what) {
        Some(at) => [&bytes[..at], by, &bytes[at + what.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

/// The items, each as it is written.
fn text(collection: &Collection) -> Vec<&[u8]> {
    (0..collection.items.len()).map(|place| collection.item(place)).collect()
}

fn is_sound(collection: &Collection, stored: &Bytes) {
    let whole = stored.as_ptr_range();
    let inside = collection.text.as_ptr_range();
    assert!(collection.text.is_empty() || (whole.start <= inside.start && inside.end <= whole.end), "a copy");
    let mut end = 0;
    for (place, span) in collection.items.iter().enumerate() {
        assert!(span.start >= end && span.start < span.end, "items overlap");
        end = span.end;
        let item = collection.item(place);
        assert!(item.starts_with(b"{") && serde_json::from_slice::<&RawValue>(item).is_ok(), "{item:?}");
    }
    for (number, size) in [(1, 1), (1, 500), (2, 3), (u32::MAX, u32::MAX)] {
        let page = collection.page(PageAsked { number, size });
        let page: Page = serde_json::from_slice(&page).expect("a page is JSON");
        assert_eq!(page.total_items, collection.items.len());
        assert!(page.items.len() <= size as usize);
    }
    let (kept, unreadable) = keep::from_today(collection.clone(), "d", date(2026, 11, 25), &TimeZone::UTC);
    assert!(kept.items.len() + usize::try_from(unreadable).expect("a count") <= collection.items.len());
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'p> {
    #[serde(borrow)]
    items: Vec<&'p RawValue>,
    total_items: usize,
}
