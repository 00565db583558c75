//! The two lists that are read, as a client of the API asks for them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A list that the proxy caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum List {
    /// All sellers.
    Sellers,
    /// The catalogs of one seller.
    Catalogs,
}

impl fmt::Display for List {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Sellers => "sellers",
            Self::Catalogs => "catalogs",
        })
    }
}

/// Path and query of the first page of the sellers.
pub(super) fn sellers(page_size: u32) -> String {
    format!("/api/Seller?PageNumber=1&PageSize={page_size}")
}

/// Path and query of the first page of a seller's catalogs.
pub(super) fn catalogs(seller: u64, page_size: u32) -> String {
    format!("/api/Catalog?SellerIds={seller}&PageNumber=1&PageSize={page_size}")
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Seller>,
}

#[derive(Deserialize)]
struct Seller {
    id: u64,
}

/// The ids on a page of sellers; `None` where it is none.
pub(super) fn ids(body: &[u8]) -> Option<Vec<u64>> {
    let page: Page = serde_json::from_slice(body).ok()?;
    Some(page.items.into_iter().map(|seller| seller.id).collect())
}
