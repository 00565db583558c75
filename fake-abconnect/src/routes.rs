//! The endpoints of both generations: method and path in, [`Found`] out. Pure.

use http::Method;

use crate::options::Generation;
use crate::query;

/// What an endpoint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    SellerList,
    SellerAdd,
    SellerGet,
    SellerUpdate,
    SellerDelete,
    CatalogList,
    CatalogAdd,
    CatalogGet,
    CatalogUpdate,
    CatalogDelete,
    CatalogMerge,
    LotList,
    LotAdd,
    LotGet,
    LotUpdate,
    LotDelete,
    LotMerge,
    LotOverrides,
    LotItemData,
    ClientItemList,
    ClientItemAdd,
    ClientItemDelete,
    BulkInsert,
    BulkUpsert,
    PlatformList,
    PlatformAdd,
    PlatformGet,
    PlatformUpdate,
    PlatformDelete,
}

impl Action {
    /// Whether it leaves the data as it is. Two reads go by POST, because their ids do not fit a query.
    pub(crate) fn is_read(self) -> bool {
        matches!(
            self,
            Self::SellerList
                | Self::SellerGet
                | Self::CatalogList
                | Self::CatalogGet
                | Self::LotList
                | Self::LotGet
                | Self::LotOverrides
                | Self::LotItemData
                | Self::ClientItemList
                | Self::PlatformList
                | Self::PlatformGet
        )
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    Both,
    First,
    Second,
}

impl In {
    fn includes(self, generation: Generation) -> bool {
        match self {
            Self::Both => true,
            Self::First => generation == Generation::First,
            Self::Second => generation == Generation::Second,
        }
    }
}

struct Endpoint {
    within: In,
    method: Method,
    /// Segments in lower case; `{}` stands for any one segment.
    path: &'static str,
    action: Action,
}

const fn row(within: In, method: Method, path: &'static str, action: Action) -> Endpoint {
    Endpoint { within, method, path, action }
}

static TABLE: &[Endpoint] = &[
    row(In::Both, Method::GET, "api/seller", Action::SellerList),
    row(In::Both, Method::POST, "api/seller", Action::SellerAdd),
    row(In::Both, Method::GET, "api/seller/{}", Action::SellerGet),
    row(In::Both, Method::PUT, "api/seller/{}", Action::SellerUpdate),
    row(In::Both, Method::DELETE, "api/seller/{}", Action::SellerDelete),
    row(In::Both, Method::GET, "api/catalog", Action::CatalogList),
    row(In::Both, Method::POST, "api/catalog", Action::CatalogAdd),
    row(In::Both, Method::GET, "api/catalog/{}", Action::CatalogGet),
    row(In::Both, Method::PUT, "api/catalog/{}", Action::CatalogUpdate),
    row(In::Both, Method::DELETE, "api/catalog/{}", Action::CatalogDelete),
    row(In::Second, Method::POST, "api/catalog/{}/merge/{}", Action::CatalogMerge),
    row(In::First, Method::POST, "api/lot/get-overrides", Action::LotOverrides),
    row(In::Second, Method::POST, "api/lot/itemdata", Action::LotItemData),
    row(In::Both, Method::GET, "api/lot", Action::LotList),
    row(In::Both, Method::POST, "api/lot", Action::LotAdd),
    row(In::Both, Method::GET, "api/lot/{}", Action::LotGet),
    row(In::Both, Method::PUT, "api/lot/{}", Action::LotUpdate),
    row(In::Both, Method::DELETE, "api/lot/{}", Action::LotDelete),
    row(In::Second, Method::POST, "api/lot/{}/merge/{}", Action::LotMerge),
    row(In::Second, Method::GET, "api/lot/{}/clientitemdata", Action::ClientItemList),
    row(In::Second, Method::POST, "api/lot/{}/clientitemdata", Action::ClientItemAdd),
    row(In::Second, Method::DELETE, "api/lot/{}/clientitemdata/{}", Action::ClientItemDelete),
    row(In::First, Method::POST, "api/bulk/insert", Action::BulkInsert),
    row(In::Second, Method::POST, "api/bulk/upsert", Action::BulkUpsert),
    row(In::Second, Method::GET, "api/platform", Action::PlatformList),
    row(In::Second, Method::POST, "api/platform", Action::PlatformAdd),
    row(In::Second, Method::GET, "api/platform/{}", Action::PlatformGet),
    row(In::Second, Method::PUT, "api/platform/{}", Action::PlatformUpdate),
    row(In::Second, Method::DELETE, "api/platform/{}", Action::PlatformDelete),
];

/// The outcome of a look-up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The endpoint, and the segments that stood where it has placeholders, in order.
    Endpoint(Action, Vec<String>),
    /// The path exists, for these methods only (an `Allow` value).
    OtherMethod(String),
    Nothing,
}

/// Finds the endpoint of `path` (as spelled in the target). Case does not count, nor does one trailing slash.
pub(crate) fn find(generation: Generation, method: &Method, path: &str) -> Found {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments: Vec<String> = path.split('/').map(query::decoded).collect();
    let mut allow: Vec<&str> = Vec::new();
    for endpoint in TABLE.iter().filter(|endpoint| endpoint.within.includes(generation)) {
        let Some(ids) = placeholders(endpoint.path, &segments) else { continue };
        if endpoint.method == *method {
            return Found::Endpoint(endpoint.action, ids);
        }
        allow.push(endpoint.method.as_str());
    }
    if allow.is_empty() { Found::Nothing } else { Found::OtherMethod(allow.join(", ")) }
}

fn placeholders(pattern: &str, segments: &[String]) -> Option<Vec<String>> {
    let mut ids = Vec::new();
    let mut given = segments.iter();
    for expected in pattern.split('/') {
        let segment = given.next()?;
        match expected {
            "{}" if segment.is_empty() => return None,
            "{}" => ids.push(segment.clone()),
            literal if literal.eq_ignore_ascii_case(segment) => {}
            _ => return None,
        }
    }
    given.next().is_none().then_some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(method: Method, path: &str) -> Found {
        find(Generation::First, &method, path)
    }

    #[test]
    fn paths_compare_as_in_aspnet() {
        let list = Found::Endpoint(Action::SellerList, vec![]);
        for spelled in ["/api/Seller", "/API/SELLER", "/api/Seller/", "/api/%53eller"] {
            assert_eq!(first(Method::GET, spelled), list, "{spelled}");
        }
        for other in ["/api/Seller;x", "//api/Seller", "/api/Seller//", "/api/Sellers", "/api"] {
            assert_eq!(first(Method::GET, other), Found::Nothing, "{other}");
        }
    }

    #[test]
    fn another_method_is_told_which_are_allowed() {
        assert_eq!(first(Method::HEAD, "/api/Seller"), Found::OtherMethod("GET, POST".to_owned()));
        assert_eq!(first(Method::PATCH, "/api/Lot/7"), Found::OtherMethod("GET, PUT, DELETE".to_owned()));
    }

    #[test]
    fn each_generation_has_its_own_endpoints() {
        let second = |path: &str| find(Generation::Second, &Method::POST, path);
        assert_eq!(first(Method::POST, "/api/Bulk/insert"), Found::Endpoint(Action::BulkInsert, vec![]));
        assert_eq!(second("/api/Bulk/insert"), Found::Nothing);
        assert_eq!(second("/api/Bulk/upsert"), Found::Endpoint(Action::BulkUpsert, vec![]));
        assert_eq!(first(Method::GET, "/api/Platform"), Found::Nothing);
        let merged = Found::Endpoint(Action::CatalogMerge, vec!["1".to_owned(), "2".to_owned()]);
        assert_eq!(second("/api/Catalog/1/merge/2"), merged);
    }

    #[test]
    fn the_table_has_every_operation_of_the_published_descriptions() {
        let of = |generation| TABLE.iter().filter(|row| row.within.includes(generation)).count();
        assert_eq!((of(Generation::First), of(Generation::Second)), (17, 27));
    }
}
