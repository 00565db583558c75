//! The first panel: all sellers, filtered here from the list that the proxy has.

use std::time::Instant;

use askama::Template;
use serde::Deserialize;

use super::{
    inside::{Inside, Source, Wanted, each},
    list::{Pager, matches},
    trouble::Trouble,
};

/// As many as one request may ask for.
const PAGE_SIZE: u32 = 500;
/// Pages that are asked for at a time; all but the first time they come from one entry.
const PAGES_AT_A_TIME: usize = 4;
/// Rows of the panel.
pub(super) const ROWS: usize = 100;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Seller {
    pub(super) id: u64,
    pub(super) name: Option<String>,
    pub(super) customer_display_id: Option<i64>,
}

impl Seller {
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().filter(|name| !name.trim().is_empty()).unwrap_or("Unnamed seller")
    }

    fn number(&self) -> String {
        self.customer_display_id.map_or_else(|| format!("id {}", self.id), |number| format!("#{number}"))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    #[serde(default)]
    pub(super) total_pages: u32,
}

/// The whole list, page by page.
pub(super) async fn all(inside: &Inside) -> Result<(Vec<Seller>, Source), Trouble> {
    let began = Instant::now();
    let page = |number: u32| async move {
        let target = format!("/api/Seller?PageNumber={number}&PageSize={PAGE_SIZE}");
        inside.get::<Page<Seller>>(&target, Wanted::Usual).await
    };
    let (first, mut source) = page(1).await?;
    let mut sellers = first.items;
    for further in each((2..=first.total_pages).collect(), PAGES_AT_A_TIME, page).await {
        let (further, from) = further?;
        sellers.extend(further.items);
        source = source.and(from);
    }
    Ok((sellers, source.since(began)))
}

/// The panel's list.
#[derive(Template)]
#[template(path = "sellers.html")]
pub(super) struct Sellers {
    sellers: Vec<Seller>,
    total: usize,
    found: usize,
    selected: Option<u64>,
    pager: Pager,
    source: Source,
}

impl Sellers {
    fn is_selected(&self, seller: &u64) -> bool {
        self.selected == Some(*seller)
    }
}

/// The sellers that fit what was typed, a page of them; the page with the selected one where none is named.
pub(super) async fn panel(
    inside: &Inside,
    query: &str,
    page: Option<usize>,
    selected: Option<u64>,
) -> Result<Sellers, Trouble> {
    let (all, source) = all(inside).await?;
    let total = all.len();
    let fits = |seller: &Seller| {
        let numbers = [seller.id.to_string(), seller.number()];
        matches(query, &[seller.name(), numbers[0].as_str(), numbers[1].as_str()])
    };
    let fitting: Vec<Seller> = all.into_iter().filter(fits).collect();
    let found = fitting.len();
    let place = fitting.iter().position(|seller| Some(seller.id) == selected);
    let pager = Pager::new(found, ROWS, page.or(place.map(|place| place / ROWS + 1)));
    let sellers = pager.of(fitting);
    Ok(Sellers { sellers, total, found, selected, pager, source })
}
