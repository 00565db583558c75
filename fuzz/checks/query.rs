//! A query of the catalogs' route is read exactly where a second, plain reading understands it, and as that does.

use std::sync::OnceLock;

use catproxy::{
    classify::{Class, Classifier},
    config::{
        check::{Overrides, load},
        profile::Profile,
    },
};
use http::{HeaderMap, Method, Uri};

const MAX_SIZE: u32 = 500;
const DEFAULT_SIZE: u32 = 10;

pub(super) fn check(bytes: &[u8]) {
    static CLASSIFIER: OnceLock<Classifier> = OnceLock::new();
    let classifier = CLASSIFIER.get_or_init(|| {
        Classifier::new(&load(Profile::Panels.source(), Overrides::default()).expect("a profile").0)
    });
    let target = [b"/api/Catalog?", bytes].concat();
    let Ok(uri) = Uri::from_maybe_shared(target) else { return };
    let class = classifier.classify(&Method::GET, &uri, &HeaderMap::new(), false);
    let read = match &class {
        Class::Read(read) => Some((read.key.to_string(), read.page.number, read.page.size)),
        Class::Forward(_) => None,
        Class::Write(_) => panic!("a GET writes"),
    };
    assert_eq!(read, plainly(uri.query().unwrap_or_default()), "{uri}");
}

/// The key, the page's number and its size.
fn plainly(query: &str) -> Option<(String, u32, u32)> {
    let (mut seller, mut page, mut size) = (None, None, None);
    for pair in query.split('&') {
        let mut halves = pair.splitn(2, '=');
        let name = halves.next()?.to_ascii_lowercase();
        let place = match name.as_str() {
            "sellerids" => &mut seller,
            "pagenumber" => &mut page,
            "pagesize" => &mut size,
            _ => return None,
        };
        if place.replace(number(halves.next()?)?).is_some() {
            return None;
        }
    }
    let size = size.unwrap_or(DEFAULT_SIZE);
    (size <= MAX_SIZE).then_some((format!("catalogs_seller_{}", seller?), page.unwrap_or(1), size))
}

fn number(text: &str) -> Option<u32> {
    let number: i32 = text.parse().ok()?;
    (number > 0 && number.to_string() == text).then_some(number.unsigned_abs())
}
