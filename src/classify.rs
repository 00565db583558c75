//! Decides what a request *is*; never what happens to it.
//!
//! Pure: method, target and fields in, [`Class`] out. Anything not fully understood is forwarded: the
//! upstream's own answer is always right, only slower. A write that is not understood changes every route.

mod accept;
pub mod coding;
pub mod demand;
pub mod key;
mod query;

use std::{fmt, ops::Deref, sync::Arc};

use http::{HeaderMap, HeaderName, Method, Uri, header, uri::PathAndQuery};

use self::{coding::Accepted, demand::Demand};
use crate::{
    bounded::{self, Bounded},
    config::{
        Config, Route, RouteKind,
        pattern::{WritePattern, is_plainly_spelled},
    },
};

/// The greatest number that names something upstream: an `int32`, as its OpenAPI document says.
const GREATEST_ID: u32 = i32::MAX as u32;

/// How a request names its page.
const PAGE_NUMBER: &str = "PageNumber";
const PAGE_SIZE: &str = "PageSize";

/// Targets that are remembered.
const UNDERSTOOD: usize = 4096;

/// Fields by which a request claims another method or target than its first line has.
static OVERRIDES: [HeaderName; 6] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-original-method"),
];

/// Preconditions that fail where they do not hold. Those that only spare a transfer are answered here, or not
/// heard, as an origin may (`If-None-Match`, `If-Modified-Since`, `If-Range`).
static CONDITIONS: [HeaderName; 2] = [header::IF_MATCH, header::IF_UNMODIFIED_SINCE];

/// All fields that decide on a plain read from its target to its answer, here and in `respond`, but for `Authorization`
/// and those of [`rules_out_a_read`]: whoever looks at no others is to look at these.
pub(crate) const HEEDED: [HeaderName; 4] =
    [header::ACCEPT, header::ACCEPT_ENCODING, header::CACHE_CONTROL, header::IF_NONE_MATCH];

/// What a request is.
#[derive(Debug)]
pub enum Class {
    /// A page of a collection, or an object, that may come from the cache.
    Read(Read),
    /// Passed on untouched; changes nothing that is cached.
    Forward(Reason),
    /// Passed on untouched; may change what is cached.
    Write(Effect),
}

/// An understood read; what its target asks for is read through it.
#[derive(Clone, Debug)]
pub struct Read {
    /// What its target asks for.
    pub asked: Arc<Asked>,
    /// What a cached answer must be to serve.
    pub demand: Demand,
    /// In which coding it is wanted.
    pub accepted: Accepted,
}

impl Deref for Read {
    type Target = Asked;

    fn deref(&self) -> &Asked {
        &self.asked
    }
}

/// What an understood target asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which route, by its place in the configuration.
    pub index: usize,
    /// That route.
    pub route: Arc<Route>,
    /// The key parameters in canonical decimal: those of the path, then those of the query.
    pub parameters: Vec<String>,
    /// The entry's key without the prefix.
    pub key: Arc<str>,
    /// The page asked for; ignored for a single object.
    pub page: PageAsked,
}

/// A page as a request names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageAsked {
    /// From 1.
    pub number: u32,
    /// Items a page, from 1.
    pub size: u32,
}

/// What a write may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The routes, by their places in the configuration.
    pub routes: Vec<usize>,
    /// It may be half done although it was answered 4xx: only 401 and 403 refuse it whole.
    pub partial: bool,
}

/// Why a request is forwarded; the `detail` of its `Cache-Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Not GET or HEAD.
    Method,
    /// GET or HEAD with a body.
    Body,
    /// Asks for another protocol.
    Upgrade,
    /// A field claims another method or target.
    Override,
    /// No route has this path in this spelling.
    NoRoute,
    /// A query that the route does not know, or not in this spelling.
    Query,
    /// A page that the route does not serve.
    Page,
    /// Takes no JSON, or only in a coding that is not made here.
    Accept,
    /// Has a precondition that is the upstream's to judge (RFC 9110 section 13.1).
    Condition,
    /// Asks that nothing of it be stored (RFC 9111 section 5.2.1.5).
    NoStore,
    /// Asks that its answer be left as it is (RFC 9111 section 5.2.1.6).
    NoTransform,
    /// Not exactly one bearer token, or one that is not good by the published keys.
    Token,
    /// There are no keys to check the token by.
    Keys,
    /// The upstream does not accept the token for this.
    Refused,
    /// Tokens see different collections.
    Differs,
    /// The collection is larger than the configured bounds.
    TooLarge,
    /// Too many collections are to be filled at the moment.
    Busy,
    /// The upstream's answer is not the configured list, or contradicts itself.
    Unfit,
}

impl Reason {
    /// All of them, each at its place.
    pub const ALL: [Self; 18] = [
        Self::Method,
        Self::Body,
        Self::Upgrade,
        Self::Override,
        Self::NoRoute,
        Self::Query,
        Self::Page,
        Self::Accept,
        Self::Condition,
        Self::NoStore,
        Self::NoTransform,
        Self::Token,
        Self::Keys,
        Self::Refused,
        Self::Differs,
        Self::TooLarge,
        Self::Busy,
        Self::Unfit,
    ];

    /// As `Cache-Status` names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Body => "body",
            Self::Upgrade => "upgrade",
            Self::Override => "override",
            Self::NoRoute => "no-route",
            Self::Query => "query",
            Self::Page => "page",
            Self::Accept => "accept",
            Self::Condition => "condition",
            Self::NoStore => "no-store",
            Self::NoTransform => "no-transform",
            Self::Token => "token",
            Self::Keys => "keys",
            Self::Refused => "refused",
            Self::Differs => "differs",
            Self::TooLarge => "too-large",
            Self::Busy => "busy",
            Self::Unfit => "unfit",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// The configured routes and writes, ready to be asked.
#[derive(Debug)]
pub struct Classifier {
    routes: Vec<Arc<Route>>,
    harmless: Vec<WritePattern>,
    partial: Vec<WritePattern>,
    /// Targets that were understood: most are asked for again, letter by letter.
    understood: Bounded<Box<str>, Arc<Asked>>,
}

impl Classifier {
    /// Takes what it needs from the configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            routes: config.routes.clone(),
            harmless: config.harmless.clone(),
            partial: config.partial.clone(),
            understood: bounded::by_count(UNDERSTOOD),
        }
    }

    /// What this request is. `body` says whether it has one, however empty it may turn out to be.
    #[must_use]
    pub fn classify(&self, method: &Method, uri: &Uri, fields: &HeaderMap, body: bool) -> Class {
        if overrides(fields) {
            return Class::Write(self.every_route());
        }
        match *method {
            Method::GET | Method::HEAD => {
                self.read(uri, fields, body).map_or_else(Class::Forward, Class::Read)
            }
            Method::OPTIONS | Method::TRACE => Class::Forward(Reason::Method),
            _ => Class::Write(self.write(method.as_str(), uri.path())),
        }
    }

    /// The routes whose path this is, whatever the query says.
    #[must_use]
    pub fn routes_at(&self, path: &str) -> Vec<usize> {
        let here = |(_, route): &(usize, &Arc<Route>)| route.path.matches(path).is_some();
        self.routes.iter().enumerate().filter(here).map(|(index, _)| index).collect()
    }

    /// Every route's place.
    #[must_use]
    pub fn all_routes(&self) -> Vec<usize> {
        (0..self.routes.len()).collect()
    }

    /// The place of the route with this name.
    #[must_use]
    pub fn route_named(&self, name: &str) -> Option<usize> {
        self.routes.iter().position(|route| route.name == name)
    }

    /// The place of the route whose collections have such keys; `key` is without the prefix.
    #[must_use]
    pub fn route_of(&self, key: &str) -> Option<usize> {
        self.routes.iter().position(|route| key::parameters_of(&route.key, key).is_some())
    }

    /// The names of these routes.
    #[must_use]
    pub fn names(&self, routes: &[usize]) -> Vec<String> {
        routes.iter().filter_map(|route| self.routes.get(*route)).map(|route| route.name.clone()).collect()
    }

    /// A target that asks for the collection under this key, without the prefix: for a page of one item, the first.
    #[must_use]
    pub fn target_of(&self, key: &str) -> Option<String> {
        self.routes.iter().find_map(|route| {
            let parameters = key::parameters_of(&route.key, key)?;
            let paged = matches!(route.kind, RouteKind::List { .. });
            Some(target(route, &parameters, paged.then_some(PageAsked { number: 1, size: 1 })))
        })
    }

    fn read(&self, uri: &Uri, fields: &HeaderMap, body: bool) -> Result<Read, Reason> {
        if body {
            return Err(Reason::Body);
        }
        if fields.contains_key(header::UPGRADE) {
            return Err(Reason::Upgrade);
        }
        read_of(self.asked(uri)?, fields)
    }

    /// What a GET without a body asks for, whose fields have none of those that rule out a read, nor `Upgrade`; or why it is
    /// passed on whatever else they say. `None`: that is not clear from its target alone.
    #[must_use]
    pub fn asked_plainly(&self, target: &str) -> Option<Result<Arc<Asked>, Reason>> {
        if let Some(asked) = self.understood.get(target) {
            return Some(Ok(asked));
        }
        plain_path(target).map(|path| self.understand(&path))
    }

    /// What a POST, PUT, PATCH or DELETE may change, whose fields have none of those that rule out a read. `None`: that is
    /// not clear from its target alone.
    #[must_use]
    pub fn written_plainly(&self, method: &str, target: &str) -> Option<Effect> {
        plain_path(target).map(|path| self.write(method, path.path()))
    }

    /// What such a GET reads, with these fields.
    #[must_use]
    pub fn plain_read(asked: Arc<Asked>, fields: &HeaderMap) -> Option<Read> {
        read_of(asked, fields).ok()
    }

    fn asked(&self, uri: &Uri) -> Result<Arc<Asked>, Reason> {
        let path = uri.path_and_query().ok_or(Reason::NoRoute)?;
        self.understood.get(path.as_str()).map_or_else(|| self.understand(path), Ok)
    }

    fn understand(&self, path: &PathAndQuery) -> Result<Arc<Asked>, Reason> {
        let mut reason = Reason::NoRoute;
        for (index, route) in self.routes.iter().enumerate() {
            let Some(values) = route.path.matches(path.path()) else { continue };
            match understand(index, route, &values, path.query()) {
                Ok(asked) => {
                    let asked = Arc::new(asked);
                    self.understood.insert(path.as_str().into(), Arc::clone(&asked));
                    return Ok(asked);
                }
                Err(why) => reason = why,
            }
        }
        Err(reason)
    }

    fn write(&self, method: &str, path: &str) -> Effect {
        let named = |pattern: &WritePattern| pattern.matches(method, path);
        // The upstream may take an odd spelling for any path, one of the partial writes' among them.
        let partial = self.partial.iter().any(named) || !is_plainly_spelled(path);
        if self.harmless.iter().any(named) {
            return Effect { routes: Vec::new(), partial };
        }
        let routes: Vec<usize> = self
            .routes
            .iter()
            .enumerate()
            .filter(|(_, route)| route.invalidated_by.iter().any(named))
            .map(|(index, _)| index)
            .collect();
        if routes.is_empty() { Effect { partial, ..self.every_route() } } else { Effect { routes, partial } }
    }

    /// The effect of a write that is not understood: everything, and nothing about it is certain.
    fn every_route(&self) -> Effect {
        Effect { routes: (0..self.routes.len()).collect(), partial: true }
    }
}

/// A target that is a path, as it is spelled.
fn plain_path(target: &str) -> Option<PathAndQuery> {
    let path = target.starts_with('/').then(|| PathAndQuery::try_from(target).ok())??;
    // What stands behind a `#` is no part of it.
    (path.as_str() == target).then_some(path)
}

/// Whether a request with this field is no read, whatever the field says. `name` may be in any case.
pub(crate) fn rules_out_a_read(name: &str) -> bool {
    OVERRIDES.iter().chain(&CONDITIONS).any(|field| name.eq_ignore_ascii_case(field.as_str()))
}

fn overrides(fields: &HeaderMap) -> bool {
    // Few requests have any field of their own, so this is less than six lookups.
    fields.keys().any(|name| OVERRIDES.contains(name))
}

/// What is asked for, as these fields want it.
fn read_of(asked: Arc<Asked>, fields: &HeaderMap) -> Result<Read, Reason> {
    if !accept::takes_json(fields) {
        return Err(Reason::Accept);
    }
    if CONDITIONS.iter().any(|name| fields.contains_key(name)) {
        return Err(Reason::Condition);
    }
    Ok(Read { asked, demand: Demand::read(fields)?, accepted: Accepted::read(fields)? })
}

/// Reads a target whose path is the route's.
fn understand(index: usize, route: &Arc<Route>, path: &[&str], query: Option<&str>) -> Result<Asked, Reason> {
    let mut parameters = Vec::with_capacity(path.len() + route.query.len());
    for value in path {
        canonical(value).ok_or(Reason::NoRoute)?;
        parameters.push((*value).to_owned());
    }
    let pairs = query.map_or_else(|| Ok(query::Pairs::default()), query::Pairs::parse)?;
    let mut known = route.query.len();
    for name in &route.query {
        let value = pairs.once(name)?.ok_or(Reason::Query)?;
        canonical(value).ok_or(Reason::Query)?;
        parameters.push(value.to_owned());
    }
    let page = match route.kind {
        RouteKind::Single => PageAsked { number: 1, size: 1 },
        RouteKind::List { default_page_size, max_page_size } => {
            let number = pairs.once(PAGE_NUMBER)?;
            let size = pairs.once(PAGE_SIZE)?;
            known += usize::from(number.is_some()) + usize::from(size.is_some());
            let number = number.map_or(Some(1), canonical).ok_or(Reason::Page)?;
            let size = size.map_or(default_page_size, canonical).ok_or(Reason::Page)?;
            if size > max_page_size {
                return Err(Reason::Page);
            }
            PageAsked { number, size }
        }
    };
    if pairs.len() != known {
        return Err(Reason::Query);
    }
    let key = key::key_of(&route.key, &parameters);
    Ok(Asked { index, route: Arc::clone(route), parameters, key, page })
}

/// The plain target that asks for what these parameters name, in the order of [`Asked::parameters`]: a page of it, or the
/// object itself.
#[must_use]
pub fn target(route: &Route, parameters: &[String], page: Option<PageAsked>) -> String {
    let mut values = parameters.iter().map(String::as_str);
    let mut target = route.path.fill(values.by_ref().take(route.path.parameters().count()));
    let mut separator = '?';
    let mut add = |name: &str, value: &str| {
        target.push(separator);
        target.push_str(name);
        target.push('=');
        target.push_str(value);
        separator = '&';
    };
    for (name, value) in route.query.iter().zip(values) {
        add(name, value);
    }
    if let Some(PageAsked { number, size }) = page {
        add(PAGE_NUMBER, &number.to_string());
        add(PAGE_SIZE, &size.to_string());
    }
    target
}

/// The weight that the parameter `q=…` names (RFC 9110 section 12.4.2); `None` where it is none.
fn weight(parameter: &str) -> Option<f32> {
    let (name, value) = parameter.split_once('=')?;
    let weight: f32 = value.trim_ascii().parse().ok()?;
    (name.trim_ascii().eq_ignore_ascii_case("q") && (0.0..=1.0).contains(&weight)).then_some(weight)
}

/// A positive `int32` in its one canonical spelling: ASCII digits without a sign or a leading zero.
fn canonical(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|&number| plain && number <= GREATEST_ID)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        check::{Overrides, load},
        profile::Profile,
    };
    use proptest::prelude::*;

    fn classifier() -> Classifier {
        Classifier::new(&load(Profile::CatalogUi.source(), Overrides::default()).unwrap().0)
    }

    fn classify(classifier: &Classifier, target: &str) -> Option<Class> {
        let uri: Uri = target.parse().ok()?;
        Some(classifier.classify(&Method::GET, &uri, &HeaderMap::new(), false))
    }

    fn read(classifier: &Classifier, target: &str) -> Option<Read> {
        match classify(classifier, target)? {
            Class::Read(read) => Some(read),
            Class::Forward(_) | Class::Write(_) => None,
        }
    }

    #[test]
    fn a_keys_target_asks_for_the_collection_under_that_key() {
        let classifier = classifier();
        for (key, target) in [
            ("sellers_all", "/api/Seller?PageNumber=1&PageSize=1"),
            ("catalogs_seller_42", "/api/Catalog?SellerIds=42&PageNumber=1&PageSize=1"),
            ("seller_7", "/api/Seller/7"),
        ] {
            assert_eq!(classifier.target_of(key).as_deref(), Some(target));
            let read = read(&classifier, target).expect("a read");
            assert_eq!((&*read.key, Some(read.index)), (key, classifier.route_of(key)));
        }
        assert_eq!((classifier.target_of("gen_sellers"), classifier.route_of("sellers_all2")), (None, None));
    }

    /// The one target that says what was understood, but for case and order.
    fn plainly(read: &Read, explicit: &str) -> (String, Vec<String>) {
        let in_path = read.parameters.len() - read.route.query.len();
        let path = read.route.path.fill(read.parameters[..in_path].iter().map(String::as_str));
        let mut pairs: Vec<String> = read
            .route
            .query
            .iter()
            .zip(&read.parameters[in_path..])
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        for (name, value) in [("PageNumber", read.page.number), ("PageSize", read.page.size)] {
            if explicit.to_lowercase().contains(&name.to_lowercase()) {
                pairs.push(format!("{name}={value}"));
            }
        }
        sorted(&path, pairs)
    }

    fn sorted(path: &str, pairs: Vec<String>) -> (String, Vec<String>) {
        let mut pairs: Vec<String> = pairs.into_iter().map(|pair| pair.to_lowercase()).collect();
        pairs.sort();
        (path.to_lowercase(), pairs)
    }

    fn as_spelled(target: &str) -> (String, Vec<String>) {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        sorted(path, query.map_or_else(Vec::new, |query| query.split('&').map(str::to_owned).collect()))
    }

    fn target() -> impl Strategy<Value = String> {
        let plain = prop_oneof![
            Just("/api/Seller".to_owned()),
            (1..2_000_000_000_u32).prop_map(|id| format!("/api/Seller/{id}")),
            (1..2000_u32, 1..600_u32)
                .prop_map(|(number, size)| format!("/api/Seller?PageNumber={number}&PageSize={size}")),
            (1..5000_u32, 1..600_u32)
                .prop_map(|(seller, size)| format!("/api/Catalog?SellerIds={seller}&PageSize={size}")),
        ];
        let hostile = prop_oneof![
            Just(String::new()),
            "[ -~]{1,2}",
            "%[0-9A-Fa-f]{2}",
            Just("٤".to_owned()),
            "0|\\+|-|;x|/|//|\\.|&|=|\\?|#|,"
        ];
        (plain, hostile, any::<prop::sample::Index>(), any::<bool>()).prop_map(
            |(plain, hostile, place, replace)| {
                let place = place.index(plain.len());
                let mut target = plain;
                target.replace_range(place..place + usize::from(replace), &hostile);
                target
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn what_is_read_was_spelled_plainly_and_everything_else_is_forwarded(target in target()) {
            // A fragment is no part of a target; the parser cuts it off.
            prop_assume!(!target.contains('#'));
            if let Some(read) = read(&classifier(), &target) {
                prop_assert_eq!(plainly(&read, &target), as_spelled(&target));
            }
        }

        #[test]
        fn keys_are_equal_only_for_the_same_collection(one in target(), other in target()) {
            let classifier = classifier();
            if let (Some(one), Some(other)) = (read(&classifier, &one), read(&classifier, &other)) {
                let same = one.index == other.index && one.parameters == other.parameters;
                prop_assert_eq!(one.key == other.key, same);
            }
        }
    }

    #[test]
    fn the_plain_targets_are_read() {
        let classifier = classifier();
        for (target, key) in [
            ("/api/Seller", "sellers_all"),
            ("/api/seller?PAGESIZE=500&pagenumber=7", "sellers_all"),
            ("/api/Seller/2147483647", "seller_2147483647"),
            ("/api/Catalog?PageNumber=1&PageSize=200&SellerIds=42", "catalogs_seller_42"),
        ] {
            assert_eq!(
                read(&classifier, target).map(|read| read.key.to_string()).as_deref(),
                Some(key),
                "{target}"
            );
        }
    }

    #[test]
    fn an_accept_field_is_weighed_by_its_most_specific_range() {
        let classifier = classifier();
        let reads = |accept: &str| {
            let fields = [(http::header::ACCEPT, accept.parse().unwrap())].into_iter().collect();
            let uri = Uri::from_static("/api/Seller");
            matches!(classifier.classify(&Method::GET, &uri, &fields, false), Class::Read(_))
        };
        for accept in [
            "*/*",
            "application/*",
            "application/json",
            "APPLICATION/JSON; charset=\"utf-8\"",
            "text/html, */*;q=0.1",
            "application/json;q=0.001",
            "text/html;q=0, application/json",
        ] {
            assert!(reads(accept), "{accept}");
        }
        for accept in [
            "text/html",
            "application/json;q=0",
            "*/*, application/json;q=0.0",
            "application/*;q=0, */*",
            "",
            "application/json;odata=verbose",
            "application/json;v=2, */*",
            "application/problem+json",
            "application/json;q=x",
        ] {
            assert!(!reads(accept), "{accept}");
        }
    }
}
