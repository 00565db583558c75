//! What the stand-in knows: sellers, catalogs, lots and platforms, and every change made to them.
//!
//! Sellers and catalogs are held in memory; lots, of which there are hundreds of thousands, are made up from their
//! id when asked for, and held only once something changed them. Nothing here knows HTTP.

mod catalogs;
mod dto;
mod lots;
mod platforms;
mod seed;
mod sellers;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

pub(crate) use catalogs::{Catalog, CatalogPlatform, LotRefs};
pub(crate) use dto::{CatalogDetail, catalog_dto, lot_dto, seller_dto, seller_expanded_dto};
pub(crate) use lots::{ClientItem, ImageLink, Lot, LotCatalog, LotData, LotPlatform};
pub(crate) use platforms::{OF_CALLERS, Platform};
pub(crate) use sellers::{Seller, WITH_MANY_CATALOGS, WITHOUT_CATALOGS};

use crate::options::Generation;
use seed::Dice;

/// What the data is made from. The same origin gives the same data.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) generation: Generation,
    pub(crate) seed: u64,
    pub(crate) sellers: usize,
    pub(crate) today: Date,
    /// Where the pictures are, without a slash at the end.
    pub(crate) base_url: String,
}

/// All data of one stand-in.
#[derive(Debug)]
pub(crate) struct Store {
    origin: Origin,
    sellers: BTreeMap<i32, Seller>,
    catalogs: BTreeMap<i32, Catalog>,
    platforms: BTreeMap<i32, Platform>,
    /// The catalog in which each run of made-up lots began, by the first id of the run. Never shrinks.
    lot_homes: BTreeMap<i32, i32>,
    /// Lots `1..=made_up_lots` exist unless deleted, whether or not they are in `changed_lots`.
    made_up_lots: i32,
    changed_lots: BTreeMap<i32, Lot>,
    deleted_lots: BTreeSet<i32>,
    client_items: BTreeMap<i32, ClientItem>,
    next_id: NextIds,
}

/// The ids that the next writes will use.
#[derive(Debug)]
struct NextIds {
    seller: i32,
    catalog: i32,
    lot: i32,
    platform: i32,
    image: i32,
    client_item: i32,
}

fn take(counter: &mut i32) -> i32 {
    let id = *counter;
    *counter = counter.saturating_add(1);
    id
}

impl Store {
    /// Makes up the data.
    pub(crate) fn generate(origin: Origin) -> Self {
        let mut store = Self {
            sellers: BTreeMap::new(),
            catalogs: BTreeMap::new(),
            platforms: platforms::generate(),
            lot_homes: BTreeMap::new(),
            made_up_lots: 0,
            changed_lots: BTreeMap::new(),
            deleted_lots: BTreeSet::new(),
            client_items: BTreeMap::new(),
            next_id: NextIds { seller: 1, catalog: 1, lot: 1, platform: 1, image: 1, client_item: 1 },
            origin,
        };
        store.sellers = sellers::generate(store.origin.seed, store.origin.sellers);
        store.generate_catalogs();
        store.next_id = NextIds {
            seller: after_last(&store.sellers),
            catalog: after_last(&store.catalogs),
            lot: store.made_up_lots.saturating_add(1),
            platform: after_last(&store.platforms),
            image: lots::first_free_image(store.made_up_lots),
            client_item: 1,
        };
        store
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) fn generation(&self) -> Generation {
        self.origin.generation
    }

    fn dice(&self, kind: &str, id: i32) -> Dice {
        Dice::new(self.origin.seed, kind, id)
    }
}

fn after_last<T>(entries: &BTreeMap<i32, T>) -> i32 {
    entries.last_key_value().map_or(1, |(id, _)| id.saturating_add(1))
}
