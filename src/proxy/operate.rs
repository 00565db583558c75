//! What an operator does with the proxy: looks at what is cached, empties it, has something fetched anew.

use http::{HeaderMap, HeaderValue, Request, Response, header};

use super::{Inner, Proxy};
use crate::{
    body::Body,
    bounded::Size,
    cache::{
        CacheState,
        list::{Listing, Unlisted},
    },
    upstream::{RequestBody, Usage},
};

/// What is to be emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Every route.
    All,
    /// A route, by its name.
    Route(String),
    /// A collection, by its key with or without the prefix.
    Key(String),
}

/// What was emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Whole routes, or the one that the key is of.
    pub routes: Vec<String>,
    /// The key, with the prefix; `None`: all keys of those routes.
    pub key: Option<String>,
    /// The store has acknowledged it, so that it holds for every replica. Else it holds here, and of whole routes the
    /// store is told as soon as it can be.
    pub acknowledged: bool,
}

/// There is nothing of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No route.
    #[error("no route is named {0:?}; there are {names}", names = .1.join(", "))]
    Route(String, Vec<String>),
    /// No key.
    #[error("no route has such a key as {0:?}")]
    Key(String),
}

/// How things are at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// What is cached in this process, and the store.
    pub cache: CacheState,
    /// Pages that were made of entries.
    pub pages: Size,
    /// Connections to the upstream.
    pub upstream: Usage,
}

impl Proxy {
    /// How things are.
    #[must_use]
    pub fn moment(&self) -> Moment {
        let Inner { cache, pages, forwarder, .. } = &*self.0;
        Moment { cache: cache.state(), pages: pages.size(), upstream: forwarder.usage() }
    }

    /// About `most` of what is in the store, from where the piece before says.
    ///
    /// # Errors
    /// Where the store does not say, or that is no place.
    pub async fn entries(&self, from: Option<&str>, most: usize) -> Result<Listing, Unlisted> {
        self.0.cache.list(from, most).await
    }

    /// Empties it: whole routes as a write does that changes them, a single key by deleting it.
    ///
    /// # Errors
    /// Where there is no such route or key.
    pub async fn purge(&self, what: &Purge) -> Result<Purged, Unknown> {
        let classifier = &self.0.classifier;
        let routes = match what {
            Purge::All => classifier.all_routes(),
            Purge::Route(name) => vec![classifier.route_named(name).ok_or_else(|| self.no_route(name))?],
            Purge::Key(key) => return self.purge_key(key).await,
        };
        self.void(&routes).await;
        let (routes, acknowledged) = (classifier.names(&routes), !self.0.cache.owes());
        Ok(Purged { routes, key: None, acknowledged })
    }

    async fn purge_key(&self, key: &str) -> Result<Purged, Unknown> {
        let own = self.without_prefix(key);
        let classifier = &self.0.classifier;
        let route = classifier.route_of(own).ok_or_else(|| Unknown::Key(key.to_owned()))?;
        let acknowledged = self.0.cache.delete(route, own).await;
        let key = format!("{}{own}", self.0.cache.prefix());
        Ok(Purged { routes: classifier.names(&[route]), key: Some(key), acknowledged })
    }

    /// Has the collection under this key, with or without the prefix, fetched anew as a client of this token would, and
    /// gives what that client would get: a page of one item, or the object.
    ///
    /// # Errors
    /// Where no route has such a key.
    pub async fn refresh(
        &self,
        key: &str,
        authorization: Option<HeaderValue>,
    ) -> Result<Response<Body>, Unknown> {
        let unknown = || Unknown::Key(key.to_owned());
        let target = self.0.classifier.target_of(self.without_prefix(key)).ok_or_else(unknown)?;
        let mut fields = HeaderMap::new();
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        fields.extend(authorization.map(|authorization| (header::AUTHORIZATION, authorization)));
        let mut request = Request::new(RequestBody::empty());
        *request.uri_mut() = target.parse().map_err(|_| unknown())?;
        *request.headers_mut() = fields;
        Ok(self.answer(request).await)
    }

    fn without_prefix<'k>(&self, key: &'k str) -> &'k str {
        key.strip_prefix(self.0.cache.prefix()).unwrap_or(key)
    }

    fn no_route(&self, name: &str) -> Unknown {
        let classifier = &self.0.classifier;
        Unknown::Route(name.to_owned(), classifier.names(&classifier.all_routes()))
    }
}
