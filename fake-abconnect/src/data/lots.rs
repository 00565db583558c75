//! Lots: made up from their id when asked for, held once changed.

use serde::{Deserialize, Serialize};

use super::platforms::OF_CALLERS;
use super::seed::Dice;
use super::{Store, catalogs, take};
use crate::moment::Moment;
use crate::options::Generation;

/// Made-up lots have at most so many pictures; picture ids follow from lot ids.
const MOST_PICTURES: i32 = 4;

#[derive(Clone, Debug)]
pub(crate) struct Lot {
    pub(crate) id: i32,
    pub(crate) customer_item_id: Option<String>,
    pub(crate) initial_data: LotData,
    /// `overridenData` in generation 1, `itemData` in generation 2.
    pub(crate) item_data: Option<Vec<LotData>>,
    pub(crate) catalogs: Vec<LotCatalog>,
    pub(crate) platforms: Option<Vec<LotPlatform>>,
    pub(crate) image_links: Vec<ImageLink>,
}

/// The data of a lot, in the mixed case of the upstream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LotData {
    #[serde(rename(serialize = "Qty", deserialize = "qty"))]
    pub(crate) qty: Option<i32>,
    #[serde(rename(serialize = "L", deserialize = "l"))]
    pub(crate) length: Option<f64>,
    #[serde(rename(serialize = "W", deserialize = "w"))]
    pub(crate) width: Option<f64>,
    #[serde(rename(serialize = "H", deserialize = "h"))]
    pub(crate) height: Option<f64>,
    #[serde(rename(serialize = "Wgt", deserialize = "wgt"))]
    pub(crate) weight: Option<f64>,
    /// Generation 1 only.
    #[serde(skip_serializing_if = "Value::is_absent")]
    pub(crate) value: Value,
    #[serde(rename(serialize = "Cpack", deserialize = "cpack"))]
    pub(crate) cpack: Option<String>,
    pub(crate) description: Option<String>,
    #[serde(rename(serialize = "forceCrate", deserialize = "forcecrate"))]
    pub(crate) force_crate: Option<bool>,
    #[serde(rename(serialize = "ItemID", deserialize = "itemid"))]
    pub(crate) item_id: Option<String>,
    #[serde(rename(serialize = "Notes", deserialize = "notes"))]
    pub(crate) notes: Option<String>,
    #[serde(rename(serialize = "notedConditions", deserialize = "notedconditions"))]
    pub(crate) noted_conditions: Option<String>,
    #[serde(rename(serialize = "doNotTip", deserialize = "donottip"))]
    pub(crate) do_not_tip: Option<bool>,
    #[serde(rename(serialize = "commodityId", deserialize = "commodityid"))]
    pub(crate) commodity_id: Option<String>,
}

/// A field that generation 2 no longer has: there it is absent, not null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Option<f64>", untagged)]
pub(crate) enum Value {
    Amount(f64),
    #[default]
    Null,
    Absent,
}

impl Value {
    fn is_absent(&self) -> bool {
        *self == Self::Absent
    }
}

impl From<Option<f64>> for Value {
    fn from(amount: Option<f64>) -> Self {
        amount.map_or(Self::Null, Self::Amount)
    }
}

impl LotData {
    /// The same with only the fields of `generation`.
    pub(crate) fn of(mut self, generation: Generation) -> Self {
        if generation == Generation::Second {
            self.value = Value::Absent;
        }
        self
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LotCatalog {
    #[serde(rename(serialize = "catalogId", deserialize = "catalogid"))]
    pub(crate) catalog_id: i32,
    #[serde(rename(serialize = "lotNumber", deserialize = "lotnumber"))]
    pub(crate) lot_number: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LotPlatform {
    #[serde(rename(serialize = "platformId", deserialize = "platformid"))]
    pub(crate) platform_id: i32,
    #[serde(rename(serialize = "platformItemId", deserialize = "platformitemid"))]
    pub(crate) platform_item_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ImageLink {
    pub(crate) id: i32,
    pub(crate) link: Option<String>,
}

/// What a client said about a lot (generation 2).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClientItem {
    pub(crate) created_by: i32,
    pub(crate) created_date: Moment,
    pub(crate) modified_by: Option<i32>,
    pub(crate) modified_date: Option<Moment>,
    pub(crate) id: i32,
    pub(crate) lot_id: i32,
    pub(crate) client_item_data: Option<Vec<LotData>>,
}

const THINGS: &[&str] = &[
    "Victorian mahogany chest of drawers",
    "Oil on canvas, \"Harbor at Dusk\"",
    "Sterling silver tea service",
    "Pair of porcelain vases",
    "14K gold & diamond ring",
    "Persian Tabriz rug",
    "Bronze figure of a stag",
    "Tiffany-style lamp",
    "Longcase clock",
    "First edition, signed",
    "Chippendale chair <repaired>",
    "Meißen figurine",
    "Café sign, enamel",
    "Pocket watch + chain",
];
const CONDITIONS: &[Option<&str>] =
    &[None, None, Some("Minor wear"), Some("Crack to base; 3\" chip"), Some("Très bon état"), Some("As is")];

/// The number of the lot that is `index`th in its catalog: mostly `1`, `2`, …, and here and there `37A`.
pub(super) fn lot_number(index: i32) -> String {
    let number = index.saturating_add(1);
    if number % 37 == 0 { format!("{number}A") } else { number.to_string() }
}

fn index_of_number(number: &str) -> Option<i32> {
    let digits = number.strip_suffix('A').unwrap_or(number);
    let index = digits.parse::<i32>().ok()?.checked_sub(1)?;
    (index >= 0 && lot_number(index) == number).then_some(index)
}

fn made_up_item_id(id: i32) -> String {
    format!("ITM-{id:07}")
}

/// The first picture id that no made-up lot uses.
pub(super) fn first_free_image(made_up_lots: i32) -> i32 {
    made_up_lots.saturating_add(1).saturating_mul(MOST_PICTURES)
}

fn make_up_data(dice: &mut Dice, id: i32) -> LotData {
    let inches = |dice: &mut Dice| Some(f64::from(dice.between(4, 320)) / 4.0);
    let packing = dice.pick(&[None, Some("NF"), Some("F"), Some("VF")]);
    LotData {
        qty: Some(dice.pick(&[1, 1, 1, 2, 6])),
        length: inches(dice),
        width: inches(dice),
        height: inches(dice),
        weight: Some(f64::from(dice.between(1, 900)) / 2.0),
        value: Some(f64::from(dice.between(20, 400_000)) / 4.0).into(),
        cpack: packing.map(str::to_owned),
        description: Some(format!("{}, lot of {}", dice.pick(THINGS), dice.between(1, 12))),
        force_crate: Some(dice.one_in(20)),
        item_id: Some(made_up_item_id(id)),
        notes: dice.one_in(5).then(|| "Handle with care — fragile".to_owned()),
        noted_conditions: dice.pick(CONDITIONS).map(str::to_owned),
        do_not_tip: dice.pick(&[None, Some(true), Some(false)]),
        commodity_id: dice.one_in(3).then(|| dice.between(1, 80).to_string()),
    }
}

fn make_up_overrides(dice: &mut Dice, initial: &LotData) -> Option<Vec<LotData>> {
    match dice.between(0, 9) {
        0..=5 => None,
        6 | 7 => Some(Vec::new()),
        _ => {
            let weight = initial.weight.map(|weight| weight + 1.5);
            Some(vec![LotData { weight, notes: Some("Weighed again".to_owned()), ..initial.clone() }])
        }
    }
}

impl Store {
    /// The lot as it is now.
    pub(crate) fn lot(&self, id: i32) -> Option<Lot> {
        if let Some(changed) = self.changed_lots.get(&id) {
            return Some(changed.clone());
        }
        (self.is_made_up(id) && !self.deleted_lots.contains(&id)).then(|| self.make_up_lot(id))
    }

    fn is_made_up(&self, id: i32) -> bool {
        (1..=self.made_up_lots).contains(&id)
    }

    fn make_up_lot(&self, id: i32) -> Lot {
        let mut dice = self.dice("lot", id);
        let initial_data = make_up_data(&mut dice, id).of(self.generation());
        let first_picture = id.saturating_mul(MOST_PICTURES);
        let pictures = (0..dice.between(0, MOST_PICTURES)).map(|index| first_picture.saturating_add(index));
        let on_platform =
            LotPlatform { platform_id: OF_CALLERS, platform_item_id: Some(made_up_item_id(id)) };
        Lot {
            id,
            customer_item_id: Some(made_up_item_id(id)),
            item_data: make_up_overrides(&mut dice, &initial_data),
            initial_data,
            catalogs: self.home_of(id).into_iter().collect(),
            platforms: Some(vec![on_platform]),
            image_links: pictures.map(|picture| self.own_picture(picture)).collect(),
        }
    }

    fn own_picture(&self, id: i32) -> ImageLink {
        ImageLink { id, link: Some(format!("{}/images/{id}.svg", self.origin.base_url)) }
    }

    /// Where a made-up lot was born, while that catalog exists.
    fn home_of(&self, id: i32) -> Option<LotCatalog> {
        let (first, home) = self.lot_homes.range(..=id).next_back()?;
        let lot_number = Some(lot_number(id.saturating_sub(*first)));
        self.catalogs.contains_key(home).then_some(LotCatalog { catalog_id: *home, lot_number })
    }

    /// How many lots there are.
    pub(crate) fn lot_count(&self) -> usize {
        let made_up = usize::try_from(self.made_up_lots).unwrap_or_default();
        let added = self.changed_lots.range(self.made_up_lots.saturating_add(1)..).count();
        made_up.saturating_sub(self.deleted_lots.len()).saturating_add(added)
    }

    /// The ids of all lots, ascending.
    pub(crate) fn lot_ids(&self) -> impl Iterator<Item = i32> + '_ {
        let made_up = (1..=self.made_up_lots).filter(|id| !self.deleted_lots.contains(id));
        made_up.chain(self.changed_lots.range(self.made_up_lots.saturating_add(1)..).map(|(id, _)| *id))
    }

    /// The ids of lots with this outside id: `customerItemId` or, in generation 2, a `platformItemId`.
    pub(crate) fn lots_by_item_id(&self, item_id: &str) -> Vec<i32> {
        let made_up = item_id.strip_prefix("ITM-").and_then(|digits| digits.parse().ok());
        self.candidates(made_up, |lot| match self.generation() {
            Generation::First => lot.customer_item_id.as_deref() == Some(item_id),
            Generation::Second => {
                lot.platforms.iter().flatten().any(|on| on.platform_item_id.as_deref() == Some(item_id))
            }
        })
    }

    /// The ids of lots that have this number in some catalog.
    pub(crate) fn lots_by_number(&self, number: &str) -> Vec<i32> {
        let index = index_of_number(number);
        let made_up = self.lot_homes.keys().filter_map(|first| first.checked_add(index?));
        self.candidates(made_up, |lot| {
            lot.catalogs.iter().any(|within| within.lot_number.as_deref() == Some(number))
        })
    }

    fn candidates(&self, made_up: impl IntoIterator<Item = i32>, fits: impl Fn(&Lot) -> bool) -> Vec<i32> {
        let untouched = made_up.into_iter().filter(|id| !self.changed_lots.contains_key(id));
        let untouched = untouched.filter_map(|id| self.lot(id)).filter(&fits).map(|lot| lot.id);
        let changed = self.changed_lots.values().filter(|lot| fits(lot)).map(|lot| lot.id);
        let mut found: Vec<i32> = untouched.chain(changed).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// A fresh id for [`Store::put_lot`].
    pub(crate) fn next_lot_id(&mut self) -> i32 {
        take(&mut self.next_id.lot)
    }

    /// Links as a client sends them, each with an id of its own.
    pub(crate) fn new_images(&mut self, links: Vec<String>) -> Vec<ImageLink> {
        let mut image = |link| ImageLink { id: take(&mut self.next_id.image), link: Some(link) };
        links.into_iter().map(&mut image).collect()
    }

    /// Adds or replaces a lot, and tells the catalogs it is in or was in.
    pub(crate) fn put_lot(&mut self, lot: Lot) {
        let before = self.lot(lot.id).map(|old| old.catalogs).unwrap_or_default();
        for left in
            before.iter().filter(|old| lot.catalogs.iter().all(|new| new.catalog_id != old.catalog_id))
        {
            if let Some(catalog) = self.catalogs.get_mut(&left.catalog_id) {
                catalog.lots.remove(lot.id);
            }
        }
        for within in lot.catalogs.iter().filter(|new| !before.contains(new)) {
            if let Some(catalog) = self.catalogs.get_mut(&within.catalog_id) {
                catalog.lots.set(lot.id, within.lot_number.clone());
            }
        }
        self.changed_lots.insert(lot.id, lot);
    }

    /// Removes a lot from the catalogs too.
    pub(crate) fn remove_lot(&mut self, id: i32) -> Option<Lot> {
        let lot = self.lot(id)?;
        for within in &lot.catalogs {
            if let Some(catalog) = self.catalogs.get_mut(&within.catalog_id) {
                catalog.lots.remove(id);
            }
        }
        self.changed_lots.remove(&id);
        if self.is_made_up(id) {
            self.deleted_lots.insert(id);
        }
        self.client_items.retain(|_, item| item.lot_id != id);
        Some(lot)
    }

    /// Merges `source` into `target`: the target keeps what it has, takes what it lacks, and what hangs on the source
    /// moves over. False where either is missing.
    pub(crate) fn merge_lots(&mut self, target: i32, source: i32) -> bool {
        let (Some(mut kept), Some(merged)) = (self.lot(target), self.lot(source)) else { return false };
        for item in self.client_items.values_mut().filter(|item| item.lot_id == source) {
            item.lot_id = target;
        }
        self.remove_lot(source);
        kept.initial_data = filled(kept.initial_data, merged.initial_data);
        kept.customer_item_id = kept.customer_item_id.or(merged.customer_item_id);
        kept.item_data = catalogs::union(kept.item_data, merged.item_data);
        kept.platforms = catalogs::union(kept.platforms, merged.platforms);
        kept.image_links.extend(merged.image_links);
        for within in merged.catalogs {
            if kept.catalogs.iter().all(|own| own.catalog_id != within.catalog_id) {
                kept.catalogs.push(within);
            }
        }
        self.put_lot(kept);
        true
    }

    pub(crate) fn client_items(&self, lot: i32) -> impl Iterator<Item = &ClientItem> {
        self.client_items.values().filter(move |item| item.lot_id == lot)
    }

    pub(crate) fn add_client_item(
        &mut self,
        lot_id: i32,
        created_by: i32,
        data: Option<Vec<LotData>>,
    ) -> ClientItem {
        let item = ClientItem {
            created_by,
            created_date: Moment::now(),
            modified_by: None,
            modified_date: None,
            id: take(&mut self.next_id.client_item),
            lot_id,
            client_item_data: data,
        };
        self.client_items.insert(item.id, item.clone());
        item
    }

    /// Removes what a client said about this lot; false where there is no such thing.
    pub(crate) fn remove_client_item(&mut self, lot: i32, id: i32) -> bool {
        let found = self.client_items.get(&id).is_some_and(|item| item.lot_id == lot);
        found && self.client_items.remove(&id).is_some()
    }
}

fn filled(kept: LotData, merged: LotData) -> LotData {
    LotData {
        qty: kept.qty.or(merged.qty),
        length: kept.length.or(merged.length),
        width: kept.width.or(merged.width),
        height: kept.height.or(merged.height),
        weight: kept.weight.or(merged.weight),
        value: if kept.value == Value::Null { merged.value } else { kept.value },
        cpack: kept.cpack.or(merged.cpack),
        description: kept.description.or(merged.description),
        force_crate: kept.force_crate.or(merged.force_crate),
        item_id: kept.item_id.or(merged.item_id),
        notes: kept.notes.or(merged.notes),
        noted_conditions: kept.noted_conditions.or(merged.noted_conditions),
        do_not_tip: kept.do_not_tip.or(merged.do_not_tip),
        commodity_id: kept.commodity_id.or(merged.commodity_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lot_number_leads_back_to_its_place() {
        assert_eq!((lot_number(0).as_str(), lot_number(36).as_str()), ("1", "37A"));
        assert!((0..500).all(|index| index_of_number(&lot_number(index)) == Some(index)));
        assert_eq!(index_of_number("37"), None);
        assert_eq!(index_of_number("-1"), None);
    }

    #[test]
    fn generation_two_has_no_value_field() {
        let data = LotData { qty: Some(2), ..LotData::default() };
        let names = |data: &LotData| serde_json::to_value(data).unwrap().as_object().unwrap().len();
        assert_eq!((names(&data), names(&data.clone().of(Generation::Second))), (14, 13));
    }
}
