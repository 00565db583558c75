//! How the upstream shows its data: one function for each thing, which knows both generations.

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

use super::{
    Catalog, CatalogPlatform, ImageLink, Lot, LotCatalog, LotData, LotPlatform, LotRefs, Seller, Store,
};
use crate::moment::Moment;
use crate::options::Generation;

/// A seller as catalogs and writes show it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SellerDto<'a> {
    id: i32,
    name: Option<&'a str>,
    customer_display_id: i32,
    is_active: bool,
    /// Undocumented, and always null.
    display_id: (),
}

/// A seller as reads show it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SellerExpandedDto<'a> {
    id: i32,
    name: Option<&'a str>,
    display_id: (),
    catalogs: Vec<CatalogDto<'a>>,
    customer_display_id: i32,
    is_active: bool,
}

/// A catalog. The outer `Option`s say whether a field is there at all.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CatalogDto<'a> {
    id: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_catalog_id: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_company_ids: Option<Option<&'a [String]>>,
    title: Option<&'a str>,
    start_date: Moment,
    end_date: Moment,
    is_completed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sellers: Option<Vec<SellerDto<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seller: Option<Option<SellerDto<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platforms: Option<Option<&'a [CatalogPlatform]>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lot_refs")]
    lots: Option<&'a LotRefs>,
}

/// How much of a catalog is shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CatalogDetail {
    /// Within a seller.
    Core,
    /// After a write.
    WithSellers,
    /// When read.
    WithLots,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LotRefDto {
    id: i32,
    lot_number: Option<String>,
}

/// A lot. The outer `Option`s say whether a field is there at all.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LotDto {
    id: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_item_id: Option<Option<String>>,
    initial_data: LotData,
    #[serde(skip_serializing_if = "Option::is_none")]
    overriden_data: Option<Option<Vec<LotData>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_data: Option<Option<Vec<LotData>>>,
    catalogs: Vec<LotCatalog>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platforms: Option<Option<Vec<LotPlatform>>>,
    image_links: Vec<ImageLink>,
}

pub(crate) fn seller_dto(seller: &Seller) -> SellerDto<'_> {
    SellerDto {
        id: seller.id,
        name: seller.name.as_deref(),
        customer_display_id: seller.customer_display_id,
        is_active: seller.is_active,
        display_id: (),
    }
}

pub(crate) fn seller_expanded_dto<'a>(store: &'a Store, seller: &'a Seller) -> SellerExpandedDto<'a> {
    let catalogs = seller.catalogs.iter().filter_map(|id| store.catalog(*id));
    SellerExpandedDto {
        id: seller.id,
        name: seller.name.as_deref(),
        display_id: (),
        catalogs: catalogs.map(|catalog| catalog_dto(store, catalog, CatalogDetail::Core)).collect(),
        customer_display_id: seller.customer_display_id,
        is_active: seller.is_active,
    }
}

pub(crate) fn catalog_dto<'a>(
    store: &'a Store,
    catalog: &'a Catalog,
    detail: CatalogDetail,
) -> CatalogDto<'a> {
    let first = store.generation() == Generation::First;
    let second = !first;
    let expanded = detail >= CatalogDetail::WithSellers;
    let mut sellers = catalog.sellers.iter().filter_map(|id| store.seller(*id)).map(seller_dto);
    CatalogDto {
        id: catalog.id,
        customer_catalog_id: first.then_some(catalog.customer_catalog_id.as_deref()),
        agent: first.then_some(catalog.agent.as_deref()),
        agent_company_ids: second.then_some(catalog.agent_company_ids.as_deref()),
        title: catalog.title.as_deref(),
        start_date: catalog.start_date,
        end_date: catalog.end_date,
        is_completed: catalog.is_completed,
        seller: (second && expanded).then(|| sellers.next()),
        sellers: (first && expanded).then(|| sellers.collect()),
        platforms: (second && expanded).then_some(catalog.platforms.as_deref()),
        lots: (detail == CatalogDetail::WithLots).then_some(&catalog.lots),
    }
}

pub(crate) fn lot_dto(generation: Generation, lot: Lot) -> LotDto {
    let first = generation == Generation::First;
    let (overriden_data, item_data) =
        if first { (Some(lot.item_data), None) } else { (None, Some(lot.item_data)) };
    LotDto {
        id: lot.id,
        customer_item_id: first.then_some(lot.customer_item_id),
        initial_data: lot.initial_data,
        overriden_data,
        item_data,
        catalogs: lot.catalogs,
        platforms: (!first).then_some(lot.platforms),
        image_links: lot.image_links,
    }
}

fn lot_refs<S: Serializer>(lots: &Option<&LotRefs>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(None)?;
    for (id, lot_number) in lots.iter().flat_map(|lots| lots.iter()) {
        list.serialize_element(&LotRefDto { id, lot_number })?;
    }
    list.end()
}
