//! `/api/Lot`.

use serde::{Deserialize, Serialize};

use super::{Answer, Asked, deleted};
use crate::data::{Lot, LotCatalog, LotData, LotPlatform, Store, lot_dto};
use crate::options::Generation;
use crate::page::Page;
use crate::problem::Problem;

/// A lot in a request body of either generation.
#[derive(Default, Deserialize)]
#[serde(default)]
struct LotRequest {
    #[serde(rename = "customeritemid")]
    customer_item_id: Option<String>,
    #[serde(rename = "imagelinks")]
    image_links: Option<Vec<String>>,
    #[serde(rename = "overridendata")]
    overriden_data: Option<Vec<LotData>>,
    #[serde(rename = "itemdata")]
    item_data: Option<Vec<LotData>>,
    catalogs: Option<Vec<LotCatalog>>,
    platforms: Option<Vec<LotPlatform>>,
    #[serde(rename = "initialdata")]
    initial_data: LotData,
}

/// The ids asked for by the two reads that go by POST.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ItemsRequest {
    #[serde(rename = "partnerid")]
    partner_id: i32,
    #[serde(rename = "customeritemids")]
    customer_item_ids: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClientItemRequest {
    #[serde(rename = "clientitemdata")]
    client_item_data: Option<Vec<LotData>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OverrideDto {
    #[serde(flatten)]
    data: LotData,
    customer_item_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemDataDto {
    platform_item_id: Option<String>,
    initial_data: LotData,
    item_data: Option<Vec<LotData>>,
}

pub(super) fn list(store: &Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let item_name = match store.generation() {
        Generation::First => "CustomerItemId",
        Generation::Second => "PlatformItemId",
    };
    let (id, number) = (asked.query.int("Id")?, asked.query.text("LotNumber"));
    let by_item = asked.query.text(item_name).map(|item| store.lots_by_item_id(item));
    let by_number = number.map(|number| store.lots_by_number(number));
    let by_id = id.map(|id| store.lot(id).map(|lot| lot.id).into_iter().collect());
    let found: Vec<Vec<i32>> = [by_item, by_number, by_id].into_iter().flatten().collect();
    let page = asked.page()?;
    let show = |id| store.lot(id).map(|lot| lot_dto(store.generation(), lot));
    let Some((some, others)) = found.split_first() else {
        return Answer::json(&Page::of(page, store.lot_count(), store.lot_ids(), show));
    };
    let ids: Vec<i32> = some.iter().copied().filter(|id| others.iter().all(|ids| ids.contains(id))).collect();
    Answer::json(&Page::of(page, ids.len(), ids.iter().copied(), show))
}

pub(super) fn get(store: &Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    shown(store, asked.id()?)
}

pub(super) fn add(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let request: LotRequest = asked.body()?;
    check(store, &request)?;
    let id = store.next_lot_id();
    let initial_data = request.initial_data.clone();
    put(store, id, initial_data, request);
    shown(store, id)
}

pub(super) fn update(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let id = asked.id()?;
    let request: LotRequest = asked.body()?;
    let old = store.lot(id).ok_or_else(|| Problem::missing("Lot", id))?;
    check(store, &request)?;
    // What a lot was at first is no field of the update request.
    put(store, id, old.initial_data, request);
    shown(store, id)
}

pub(super) fn delete(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let id = asked.id()?;
    deleted("Lot", id, store.remove_lot(id).is_some())
}

pub(super) fn merge(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let (target, source) = (asked.id_at(0)?, asked.id_at(1)?);
    if target == source {
        return Err(Problem::bad_request("A lot cannot be merged into itself."));
    }
    let missing = if store.lot(target).is_none() { target } else { source };
    if !store.merge_lots(target, source) {
        return Err(Problem::missing("Lot", missing));
    }
    shown(store, target)
}

/// `get-overrides`: every override of the lots with these outside ids.
pub(super) fn overrides(store: &Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let request: ItemsRequest = asked.body()?;
    let overrides = lots_of(store, &request).flat_map(|lot| {
        let customer_item_id = lot.customer_item_id;
        let overrides = lot.item_data.into_iter().flatten();
        overrides.map(move |data| OverrideDto { data, customer_item_id: customer_item_id.clone() })
    });
    Answer::json(&overrides.collect::<Vec<_>>())
}

/// `ItemData`: the data of the lots that have these ids on a platform of the partner. No partner is any partner.
pub(super) fn item_data(store: &Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let request: ItemsRequest = asked.body()?;
    let of_partner = |on: &&LotPlatform| {
        let platform = store.platform(on.platform_id);
        request.partner_id == 0 || platform.is_some_and(|platform| platform.partner_id == request.partner_id)
    };
    let found = lots_of(store, &request).filter_map(|lot| {
        let on = lot.platforms.iter().flatten().find(of_partner)?;
        Some(ItemDataDto {
            platform_item_id: on.platform_item_id.clone(),
            initial_data: lot.initial_data,
            item_data: lot.item_data,
        })
    });
    Answer::json(&found.collect::<Vec<_>>())
}

pub(super) fn client_items(store: &Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let id = existing(store, asked)?;
    let total = store.client_items(id).count();
    Answer::json(&Page::of(asked.page()?, total, store.client_items(id), |item| item))
}

pub(super) fn add_client_item(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let id = existing(store, asked)?;
    let request: ClientItemRequest = asked.body()?;
    let data = of_generation(store.generation(), request.client_item_data);
    Answer::json(&store.add_client_item(id, asked.caller, data))
}

pub(super) fn delete_client_item(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let (lot, item) = (asked.id_at(0)?, asked.id_at(1)?);
    deleted("Client item data", item, store.remove_client_item(lot, item))
}

fn lots_of<'a>(store: &'a Store, request: &'a ItemsRequest) -> impl Iterator<Item = Lot> + 'a {
    let ids = request.customer_item_ids.iter().flatten().flat_map(|item| store.lots_by_item_id(item));
    ids.filter_map(|id| store.lot(id))
}

fn existing(store: &Store, asked: &Asked<'_>) -> Result<i32, Problem> {
    let id = asked.id()?;
    store.lot(id).map(|lot| lot.id).ok_or_else(|| Problem::missing("Lot", id))
}

fn check(store: &Store, request: &LotRequest) -> Result<(), Problem> {
    let mut catalogs = request.catalogs.iter().flatten().map(|within| within.catalog_id);
    if let Some(missing) = catalogs.find(|id| store.catalog(*id).is_none()) {
        return Err(Problem::missing("Catalog", missing));
    }
    let mut platforms = request.platforms.iter().flatten().map(|on| on.platform_id);
    match platforms.find(|id| store.platform(*id).is_none()) {
        Some(missing) if store.generation() == Generation::Second => {
            Err(Problem::missing("Platform", missing))
        }
        _ => Ok(()),
    }
}

fn put(store: &mut Store, id: i32, initial_data: LotData, request: LotRequest) {
    let generation = store.generation();
    let first = generation == Generation::First;
    let item_data = if first { request.overriden_data } else { request.item_data };
    let image_links = store.new_images(request.image_links.unwrap_or_default());
    store.put_lot(Lot {
        id,
        customer_item_id: request.customer_item_id.filter(|_| first),
        initial_data: initial_data.of(generation),
        item_data: of_generation(generation, item_data),
        catalogs: request.catalogs.unwrap_or_default(),
        platforms: request.platforms.filter(|_| !first),
        image_links,
    });
}

fn of_generation(generation: Generation, data: Option<Vec<LotData>>) -> Option<Vec<LotData>> {
    data.map(|data| data.into_iter().map(|data| data.of(generation)).collect())
}

fn shown(store: &Store, id: i32) -> Result<Answer, Problem> {
    let lot = store.lot(id).ok_or_else(|| Problem::missing("Lot", id))?;
    Answer::json(&lot_dto(store.generation(), lot))
}
