//! Which requests something is about: knobs, gates and the call log all ask the same way.

use serde::{Deserialize, Serialize};

/// A filter of requests. What is not set matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Matching {
    /// The path, as spelled in the target, starts with this; case does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The method is this one; case does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The raw query contains this; case does not count. For example `PageNumber=2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

impl Matching {
    /// Every request.
    pub fn all() -> Self {
        Self::default()
    }

    /// Requests whose path starts with `prefix`; case does not count.
    pub fn path(prefix: impl Into<String>) -> Self {
        Self { path: Some(prefix.into()), ..Self::default() }
    }

    /// Of those, the ones with this method.
    #[must_use]
    pub fn method(self, method: impl Into<String>) -> Self {
        Self { method: Some(method.into()), ..self }
    }

    /// Of those, the ones whose raw query contains `part`; case does not count.
    #[must_use]
    pub fn query(self, part: impl Into<String>) -> Self {
        Self { query: Some(part.into()), ..self }
    }

    /// Whether a request is meant. `target` is as spelled: path and query.
    pub fn fits(&self, method: &str, target: &str) -> bool {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let method_fits = self.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method));
        let path_fits =
            self.path.as_ref().is_none_or(|prefix| path.to_lowercase().starts_with(&prefix.to_lowercase()));
        let query_fits =
            self.query.as_ref().is_none_or(|part| query.to_lowercase().contains(&part.to_lowercase()));
        method_fits && path_fits && query_fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_matches_everything_and_case_does_not_count() {
        assert!(Matching::all().fits("GET", "/any?x"));
        let second_page = Matching::path("/api/seller").method("get").query("pagenumber=2");
        assert!(second_page.fits("GET", "/api/Seller?PageSize=500&PageNumber=2"));
        assert!(!second_page.fits("POST", "/api/Seller?PageNumber=2"));
        assert!(!second_page.fits("GET", "/api/Seller?PageNumber=1"));
        assert!(!second_page.fits("GET", "/api/Catalog?PageNumber=2"));
    }
}
