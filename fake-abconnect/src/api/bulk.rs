//! `/api/Bulk`: catalogs with their lots and sellers, many at once.

use http::StatusCode;
use serde::Deserialize;

use super::sellers::SellerRequest;
use super::{Answer, Asked};
use crate::data::{
    Catalog, CatalogDetail, CatalogPlatform, Lot, LotCatalog, LotData, LotPlatform, LotRefs, OF_CALLERS,
    Store, catalog_dto,
};
use crate::moment::Moment;
use crate::problem::Problem;

#[derive(Default, Deserialize)]
#[serde(default)]
struct BulkRequest {
    catalogs: Option<Vec<BulkCatalog>>,
}

/// A catalog of either generation: `sellers` in the first, `seller` in the second.
#[derive(Default, Deserialize)]
#[serde(default)]
struct BulkCatalog {
    #[serde(rename = "customercatalogid")]
    customer_catalog_id: Option<String>,
    agent: Option<String>,
    title: Option<String>,
    #[serde(rename = "startdate")]
    start_date: Moment,
    #[serde(rename = "enddate")]
    end_date: Moment,
    lots: Option<Vec<BulkLot>>,
    sellers: Option<Vec<SellerRequest>>,
    seller: Option<SellerRequest>,
}

/// A lot of either generation: `initialData` in the first, `data` in the second.
#[derive(Default, Deserialize)]
#[serde(default)]
struct BulkLot {
    #[serde(rename = "customeritemid")]
    customer_item_id: Option<String>,
    #[serde(rename = "lotnumber")]
    lot_number: Option<String>,
    #[serde(rename = "imagelinks")]
    image_links: Option<Vec<String>>,
    #[serde(rename = "initialdata")]
    initial_data: LotData,
    #[serde(rename = "overridendata")]
    overriden_data: Option<Vec<LotData>>,
    data: LotData,
}

/// `Bulk/insert` (generation 1): everything is new but the sellers whose `customerDisplayId` is known.
pub(super) fn insert(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    for mut bulk in checked(asked)? {
        let sellers = bulk.sellers.take().unwrap_or_default();
        let sellers = sellers.into_iter().map(|seller| seller_of(store, seller)).collect();
        let lots = bulk.lots.take().unwrap_or_default();
        let catalog = put_catalog(store, bulk, sellers, None);
        for lot in lots {
            let (initial, overrides) = (lot.initial_data.clone(), lot.overriden_data.clone());
            put_lot(store, catalog, lot, initial, overrides, None);
        }
    }
    Ok(Answer::empty(StatusCode::OK))
}

/// `Bulk/upsert` (generation 2): a catalog that the caller's platform knows under this id, or that has the seller,
/// title and start of this one, is the same one.
pub(super) fn upsert(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let mut ids = Vec::new();
    for mut bulk in checked(asked)? {
        let seller = bulk.seller.take().map(|seller| seller_of(store, seller));
        let lots = bulk.lots.take().unwrap_or_default();
        let known = known_catalog(store, &bulk, seller);
        let on = platform(bulk.customer_catalog_id.clone());
        let id = match known {
            Some(known) => attached(store, known, on),
            None => put_catalog(store, bulk, seller.into_iter().collect(), Some(vec![on])),
        };
        for lot in lots {
            upsert_lot(store, id, lot, asked.caller);
        }
        ids.push(id);
    }
    let catalogs = ids.iter().filter_map(|id| store.catalog(*id));
    let shown: Vec<_> =
        catalogs.map(|catalog| catalog_dto(store, catalog, CatalogDetail::WithLots)).collect();
    Answer::json(&shown)
}

fn checked(asked: &Asked<'_>) -> Result<Vec<BulkCatalog>, Problem> {
    let catalogs = asked.body::<BulkRequest>()?.catalogs.unwrap_or_default();
    let backwards = catalogs.iter().any(|catalog| catalog.end_date < catalog.start_date);
    if catalogs.is_empty() {
        return Err(Problem::invalid("Catalogs", "'Catalogs' must not be empty."));
    }
    if backwards {
        return Err(Problem::invalid("EndDate", "The end date must not be before the start date."));
    }
    Ok(catalogs)
}

fn seller_of(store: &mut Store, request: SellerRequest) -> i32 {
    match store.seller_by_display_id(request.customer_display_id) {
        Some(seller) => seller.id,
        None => store.add_seller(request.name, request.customer_display_id, request.is_active),
    }
}

fn platform(id: Option<String>) -> CatalogPlatform {
    CatalogPlatform { platform_id: OF_CALLERS, platform_catalog_id: id }
}

fn known_catalog(store: &Store, bulk: &BulkCatalog, seller: Option<i32>) -> Option<Catalog> {
    let on = platform(bulk.customer_catalog_id.clone());
    let same_id = |catalog: &Catalog| {
        on.platform_catalog_id.is_some() && catalog.platforms.iter().flatten().any(|other| *other == on)
    };
    let same_sale = |catalog: &Catalog| {
        let by_seller = seller.is_some_and(|seller| catalog.sellers.contains(&seller));
        by_seller && catalog.title == bulk.title && catalog.start_date == bulk.start_date
    };
    let mut catalogs = store.catalogs();
    catalogs
        .find(|catalog| same_id(catalog))
        .or_else(|| store.catalogs().find(|catalog| same_sale(catalog)))
        .cloned()
}

fn attached(store: &mut Store, mut catalog: Catalog, on: CatalogPlatform) -> i32 {
    let id = catalog.id;
    let platforms = catalog.platforms.get_or_insert_default();
    if !platforms.contains(&on) {
        platforms.push(on);
    }
    store.put_catalog(catalog);
    id
}

fn put_catalog(
    store: &mut Store,
    bulk: BulkCatalog,
    sellers: Vec<i32>,
    platforms: Option<Vec<CatalogPlatform>>,
) -> i32 {
    let id = store.next_catalog_id();
    store.put_catalog(Catalog {
        id,
        customer_catalog_id: bulk.customer_catalog_id,
        agent: bulk.agent,
        agent_company_ids: platforms.as_ref().map(|_| Vec::new()),
        title: bulk.title,
        start_date: bulk.start_date,
        end_date: bulk.end_date,
        is_completed: false,
        sellers,
        platforms,
        lots: LotRefs::Listed(Vec::new()),
    });
    id
}

fn put_lot(
    store: &mut Store,
    catalog_id: i32,
    lot: BulkLot,
    initial_data: LotData,
    item_data: Option<Vec<LotData>>,
    platforms: Option<Vec<LotPlatform>>,
) {
    let id = store.next_lot_id();
    let image_links = store.new_images(lot.image_links.unwrap_or_default());
    store.put_lot(Lot {
        id,
        customer_item_id: lot.customer_item_id,
        initial_data,
        item_data,
        catalogs: vec![LotCatalog { catalog_id, lot_number: lot.lot_number }],
        platforms,
        image_links,
    });
}

/// A lot whose number the catalog knows is the same one: what differs is noted as what this client says.
fn upsert_lot(store: &mut Store, catalog: i32, lot: BulkLot, caller: i32) {
    let data = lot.data.clone().of(store.generation());
    let known = store.catalog(catalog).and_then(|catalog| {
        let same = |(_, number): &(i32, Option<String>)| number.is_some() && *number == lot.lot_number;
        catalog.lots.iter().find(same).map(|(id, _)| id)
    });
    match known.and_then(|id| store.lot(id)) {
        Some(known) if known.initial_data == data => {}
        Some(known) => {
            store.add_client_item(known.id, caller, Some(vec![data]));
        }
        None => {
            let on = LotPlatform { platform_id: OF_CALLERS, platform_item_id: lot.customer_item_id.clone() };
            put_lot(store, catalog, lot, data, None, Some(vec![on]));
        }
    }
}
