//! A request's head – `GET /api/Seller`, a line for each field, and an empty line where it has a body – is classified
//! without a panic; what is read was spelled plainly, and no two collections have one key.

use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
};

use catproxy::{
    classify::{Class, Classifier, Effect, Read, Reason},
    config::{
        check::{Overrides, load},
        profile::Profile,
    },
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// A classifier with its number of routes, and the collections that were read so far by their keys.
struct Known {
    classifier: Classifier,
    routes: usize,
    keys: Mutex<HashMap<String, (usize, Vec<String>)>>,
}

pub(super) fn check(bytes: &[u8]) {
    let Some(head) = Head::read(bytes) else { return };
    for known in known() {
        let (uri, fields) = (&head.uri, &head.fields);
        match known.classifier.classify(&head.method, uri, fields, head.body) {
            Class::Read(read) => known.is_sound_read(&read, &head),
            Class::Forward(reason) => {
                assert!(head.only_reads(), "a write is no forward");
                assert!(reason != Reason::Method || !head.gets());
            }
            Class::Write(effect) => known.is_sound_write(&effect, &head),
        }
    }
}

/// The two shipped profiles.
fn known() -> &'static [Known; 2] {
    static KNOWN: OnceLock<[Known; 2]> = OnceLock::new();
    KNOWN.get_or_init(|| {
        [Profile::Panels, Profile::CatalogUi].map(|profile| {
            let config = load(profile.source(), Overrides::default()).expect("a profile").0;
            let (classifier, routes) = (Classifier::new(&config), config.routes.len());
            Known { classifier, routes, keys: Mutex::default() }
        })
    })
}

struct Head {
    method: Method,
    uri: Uri,
    fields: HeaderMap,
    body: bool,
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let mut first = lines.next()?.splitn(2, |byte| *byte == b' ');
        let method = Method::from_bytes(first.next()?).ok()?;
        let uri = Uri::try_from(first.next()?).ok()?;
        let mut fields = HeaderMap::new();
        let mut body = false;
        for line in lines {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                body = true;
                break;
            };
            let (name, value) = line.split_at(colon);
            let value = HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok()?;
            fields.append(HeaderName::from_bytes(name).ok()?, value);
        }
        Some(Self { method, uri, fields, body })
    }

    fn gets(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// By its method, and no field says otherwise.
    fn only_reads(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
            && !self.overrides()
    }

    fn overrides(&self) -> bool {
        let names = [
            "x-http-method-override",
            "x-http-method",
            "x-method-override",
            "x-original-method",
            "x-original-url",
            "x-rewrite-url",
        ];
        self.fields.keys().any(|name| names.contains(&name.as_str()))
    }
}

impl Known {
    fn is_sound_read(&self, read: &Read, head: &Head) {
        assert!(head.gets() && !head.body && !head.overrides(), "{read:?}");
        let plain = |text: &String| text.parse::<i32>().is_ok_and(|id| id > 0 && id.to_string() == *text);
        assert!(read.parameters.iter().all(plain), "{:?}", read.parameters);
        let (path, query) = canonical(read, head);
        assert_eq!(head.uri.path().to_lowercase(), path.to_lowercase());
        assert_eq!(sorted(head.uri.query()), sorted(query.as_deref()));
        let again = query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
        let again =
            self.classifier.classify(&Method::GET, &again.parse().expect("a target"), &head.fields, false);
        let Class::Read(again) = again else { panic!("{path} is not read: {again:?}") };
        assert_eq!((&again.key, again.page, &again.parameters), (&read.key, read.page, &read.parameters));
        self.has_a_key_of_its_own(read);
    }

    fn has_a_key_of_its_own(&self, read: &Read) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() > 100_000 {
            keys.clear();
        }
        let named = (read.index, read.parameters.clone());
        let known = keys.entry(read.key.to_string()).or_insert_with(|| named.clone());
        assert_eq!(*known, named, "two collections have the key {}", read.key);
    }

    fn is_sound_write(&self, effect: &Effect, head: &Head) {
        assert!(!head.only_reads());
        assert!(effect.routes.iter().all(|route| *route < self.routes));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
        let path = head.uri.path();
        let odd =
            !path.bytes().all(plain) || path.split('/').skip(1).any(|part| ["", ".", ".."].contains(&part));
        if head.overrides() || odd {
            assert!(effect.partial && effect.routes.len() == self.routes, "{effect:?} of an odd {path}");
        }
    }
}

/// The one target that says what was understood, but for case and order.
fn canonical(read: &Read, head: &Head) -> (String, Option<String>) {
    let in_path = read.parameters.len() - read.route.query.len();
    let (path, query) = read.parameters.split_at(in_path);
    let path = read.route.path.fill(path.iter().map(String::as_str));
    let mut pairs: Vec<String> =
        read.route.query.iter().zip(query).map(|(name, value)| format!("{name}={value}")).collect();
    let said = head.uri.query().unwrap_or_default().to_lowercase();
    for (name, value) in [("PageNumber", read.page.number), ("PageSize", read.page.size)] {
        if said.contains(&name.to_lowercase()) {
            pairs.push(format!("{name}={value}"));
        }
    }
    (path, (!pairs.is_empty()).then(|| pairs.join("&")))
}

fn sorted(query: Option<&str>) -> Vec<String> {
    let mut pairs: Vec<String> =
        query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(str::to_lowercase).collect();
    pairs.sort();
    pairs
}
