//! Catalogs ("events"): around today, each with its sellers and the lots it offers.

use std::collections::BTreeMap;
use std::mem;
use std::ops::RangeInclusive;

use jiff::ToSpan;
use jiff::civil::{Date, time};
use serde::{Deserialize, Serialize};

use super::lots::lot_number;
use super::seed::Dice;
use super::sellers::{WITH_MANY_CATALOGS, WITHOUT_CATALOGS};
use super::{LotCatalog, Store, take};
use crate::moment::Moment;
use crate::options::Generation;

/// How many catalogs [`WITH_MANY_CATALOGS`] has, and how many of those start before today.
const MANY: i32 = 230;
const MANY_BEFORE_TODAY: i32 = 115;
/// The others: as many as make a page of 500 sellers about 0.9 MB.
const FEW: RangeInclusive<i32> = 3..=11;
/// The greatest number of lots of one catalog; one catalog in a hundred has it.
const MOST_LOTS: i32 = 2000;

#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    pub(crate) id: i32,
    pub(crate) customer_catalog_id: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) agent_company_ids: Option<Vec<String>>,
    pub(crate) title: Option<String>,
    pub(crate) start_date: Moment,
    pub(crate) end_date: Moment,
    pub(crate) is_completed: bool,
    /// At most one in generation 2.
    pub(crate) sellers: Vec<i32>,
    pub(crate) platforms: Option<Vec<CatalogPlatform>>,
    pub(crate) lots: LotRefs,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CatalogPlatform {
    #[serde(rename(serialize = "platformId", deserialize = "platformid"))]
    pub(crate) platform_id: i32,
    #[serde(rename(serialize = "platformCatalogId", deserialize = "platformcatalogid"))]
    pub(crate) platform_catalog_id: Option<String>,
}

/// The lots of a catalog.
#[derive(Clone, Debug)]
pub(crate) enum LotRefs {
    /// `count` made-up lots in a row, untouched so far.
    Run { first: i32, count: i32 },
    /// Lot ids and lot numbers, once something changed them.
    Listed(Vec<(i32, Option<String>)>),
}

impl LotRefs {
    /// Ids and lot numbers, in order.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = (i32, Option<String>)> + '_> {
        match self {
            Self::Run { first, count } => {
                let first = *first;
                Box::new((0..*count).map(move |index| (first.saturating_add(index), Some(lot_number(index)))))
            }
            Self::Listed(lots) => Box::new(lots.iter().cloned()),
        }
    }

    fn edit(&mut self, change: impl FnOnce(&mut Vec<(i32, Option<String>)>)) {
        let mut lots = match mem::replace(self, Self::Listed(Vec::new())) {
            Self::Listed(lots) => lots,
            run @ Self::Run { .. } => run.iter().collect(),
        };
        change(&mut lots);
        *self = Self::Listed(lots);
    }

    /// Adds a lot, or gives it another number.
    pub(super) fn set(&mut self, id: i32, number: Option<String>) {
        self.edit(|lots| match lots.iter_mut().find(|(other, _)| *other == id) {
            Some((_, old)) => *old = number,
            None => lots.push((id, number)),
        });
    }

    pub(super) fn remove(&mut self, id: i32) {
        self.edit(|lots| lots.retain(|(other, _)| *other != id));
    }
}

const SEASONS: &[&str] = &["Winter", "Spring", "Summer", "Fall", "Holiday", "Midsummer", "New Year's"];
const CODES: &[&str] = &["SALE", "FALL", "SPRING", "EST", "A&B"];
const SUBJECTS: &[&str] = &[
    "Fine Art & Antiques",
    "Estate Jewelry",
    "Mid-Century Modern Design",
    "Coins, Stamps & Currency",
    "Firearms & Militaria",
    "Asian Works of Art",
    "Rare Books & Manuscripts",
    "Décor + Furniture",
    "Classic Cars \"No Reserve\"",
    "Wine <750 ml",
    "Toys & Trains",
    "Südwest Keramik",
];
const FORMS: &[&str] =
    &["Auction", "Online Sale", "Timed Auction", "Live Sale", "Estate Auction, Session II"];

impl Store {
    /// Makes up the catalogs of all sellers, and so how many lots there are.
    pub(super) fn generate_catalogs(&mut self) {
        let sellers: Vec<i32> = self.sellers.keys().copied().collect();
        let mut id = 0;
        for (position, seller) in sellers.iter().enumerate() {
            let mut dice = self.dice("catalogs of", *seller);
            let count = match *seller {
                WITHOUT_CATALOGS => 0,
                WITH_MANY_CATALOGS => MANY,
                _ => dice.between(*FEW.start(), *FEW.end()),
            };
            let neighbour = position.checked_sub(1).and_then(|before| sellers.get(before)).copied();
            for index in 0..count {
                id += dice.between(1, 2);
                let mut catalog = self.make_up_catalog(id, *seller, index);
                let shared = neighbour.filter(|other| shares(&mut dice, *seller, *other));
                // Generation 2 has one seller in a catalog.
                catalog.sellers.extend(shared.filter(|_| self.generation() == Generation::First));
                self.keep_generated(catalog);
            }
        }
    }

    fn keep_generated(&mut self, catalog: Catalog) {
        for seller in &catalog.sellers {
            if let Some(seller) = self.sellers.get_mut(seller) {
                seller.catalogs.insert(catalog.id);
            }
        }
        self.catalogs.insert(catalog.id, catalog);
    }

    fn make_up_catalog(&mut self, id: i32, seller: i32, index: i32) -> Catalog {
        let mut dice = self.dice("catalog", id);
        let today = self.origin.today;
        let (start_date, end_date) = match seller {
            WITH_MANY_CATALOGS => daily(today, index),
            _ => dates(&mut dice, today),
        };
        let customer_catalog_id = customer_catalog_id(&mut dice, id, start_date);
        let lots = self.run_of_lots(&mut dice, id);
        Catalog {
            id,
            agent: (!dice.one_in(15)).then(|| format!("AGT{:02}", dice.between(1, 40))),
            agent_company_ids: agent_company_ids(&mut dice),
            title: title(&mut dice, start_date),
            start_date,
            end_date,
            is_completed: end_date.0.date() < today,
            sellers: vec![seller],
            platforms: platforms(&mut dice, customer_catalog_id.as_deref()),
            customer_catalog_id,
            lots,
        }
    }

    fn run_of_lots(&mut self, dice: &mut Dice, catalog: i32) -> LotRefs {
        let count = if dice.one_in(100) { MOST_LOTS } else { dice.between(20, 180) };
        let first = self.made_up_lots.saturating_add(1);
        self.made_up_lots = self.made_up_lots.saturating_add(count);
        self.lot_homes.insert(first, catalog);
        LotRefs::Run { first, count }
    }

    pub(crate) fn catalogs(&self) -> impl Iterator<Item = &Catalog> {
        self.catalogs.values()
    }

    pub(crate) fn catalog(&self, id: i32) -> Option<&Catalog> {
        self.catalogs.get(&id)
    }

    /// A fresh id for [`Store::put_catalog`].
    pub(crate) fn next_catalog_id(&mut self) -> i32 {
        take(&mut self.next_id.catalog)
    }

    /// Adds or replaces a catalog, and tells its sellers. Its lots are not told: [`Store::put_lot`] does that.
    pub(crate) fn put_catalog(&mut self, catalog: Catalog) {
        let before = self.catalogs.get(&catalog.id).map(|old| old.sellers.clone()).unwrap_or_default();
        for seller in before {
            if let Some(seller) = self.sellers.get_mut(&seller) {
                seller.catalogs.remove(&catalog.id);
            }
        }
        self.keep_generated(catalog);
    }

    /// Removes a catalog. Its lots stay, without it.
    pub(crate) fn remove_catalog(&mut self, id: i32) -> Option<Catalog> {
        let catalog = self.catalogs.remove(&id)?;
        for seller in &catalog.sellers {
            if let Some(seller) = self.sellers.get_mut(seller) {
                seller.catalogs.remove(&id);
            }
        }
        for lot in self.changed_lots.values_mut() {
            lot.catalogs.retain(|within| within.catalog_id != id);
        }
        Some(catalog)
    }

    /// Merges `source` into `target`: the target keeps what it has, takes what it lacks, and gets the lots. Lots with
    /// the same number become one. False where either is missing.
    pub(crate) fn merge_catalogs(&mut self, target: i32, source: i32) -> bool {
        let (Some(mut kept), Some(merged)) = (self.catalog(target).cloned(), self.catalog(source).cloned())
        else {
            return false;
        };
        kept.title = kept.title.or(merged.title);
        kept.agent = kept.agent.or(merged.agent);
        kept.customer_catalog_id = kept.customer_catalog_id.or(merged.customer_catalog_id);
        kept.agent_company_ids = kept.agent_company_ids.or(merged.agent_company_ids);
        kept.platforms = union(kept.platforms, merged.platforms);
        if kept.sellers.is_empty() {
            kept.sellers = merged.sellers;
        }
        let numbered: BTreeMap<String, i32> =
            kept.lots.iter().filter_map(|(lot, number)| number.map(|number| (number, lot))).collect();
        self.put_catalog(kept);
        for (lot, number) in merged.lots.iter() {
            match number.as_ref().and_then(|number| numbered.get(number)) {
                Some(twin) if *twin != lot => {
                    self.merge_lots(*twin, lot);
                }
                _ => self.move_lot(lot, number, source, target),
            }
        }
        self.remove_catalog(source);
        true
    }

    fn move_lot(&mut self, id: i32, number: Option<String>, source: i32, target: i32) {
        let Some(mut lot) = self.lot(id) else { return };
        lot.catalogs.retain(|within| within.catalog_id != source && within.catalog_id != target);
        lot.catalogs.push(LotCatalog { catalog_id: target, lot_number: number });
        self.put_lot(lot);
    }
}

/// Joins two lists of which each may be missing; what both have is kept once.
pub(super) fn union<T: PartialEq>(kept: Option<Vec<T>>, merged: Option<Vec<T>>) -> Option<Vec<T>> {
    let Some(mut kept) = kept else { return merged };
    for element in merged.unwrap_or_default() {
        if !kept.contains(&element) {
            kept.push(element);
        }
    }
    Some(kept)
}

fn shares(dice: &mut Dice, seller: i32, other: i32) -> bool {
    let special = |id| id == WITH_MANY_CATALOGS || id == WITHOUT_CATALOGS;
    dice.one_in(40) && !special(seller) && !special(other)
}

fn shifted(today: Date, days: i32) -> Date {
    today.checked_add(days.days()).unwrap_or(today)
}

/// One catalog a day; the one of today starts at midnight, the first moment that counts as today.
fn daily(today: Date, index: i32) -> (Moment, Moment) {
    let start = shifted(today, index - MANY_BEFORE_TODAY);
    let hour = if index == MANY_BEFORE_TODAY { 0 } else { i8::try_from(index % 24).unwrap_or_default() };
    (Moment(start.at(hour, 0, 0, 0)), Moment(shifted(start, 3).at(23, 59, 59, 0)))
}

fn dates(dice: &mut Dice, today: Date) -> (Moment, Moment) {
    let start = shifted(today, dice.between(-200, 120));
    let milliseconds = dice.pick(&[0, 0, 0, 856, 120, 7]);
    let at = match dice.between(0, 2) {
        0 => time(0, 0, 0, 0),
        _ => time(
            dice.pick(&[9, 10, 11, 18]),
            dice.pick(&[0, 30, 34]),
            dice.pick(&[0, 16]),
            milliseconds * 1_000_000,
        ),
    };
    let end = shifted(start, dice.between(0, 12));
    let close = if dice.one_in(8) { time(23, 59, 59, 999_999_900) } else { time(23, 59, 59, 0) };
    (Moment(start.to_datetime(at)), Moment(end.to_datetime(close)))
}

fn title(dice: &mut Dice, start: Moment) -> Option<String> {
    if dice.one_in(60) {
        return None;
    }
    let (season, subject, form) = (dice.pick(SEASONS), dice.pick(SUBJECTS), dice.pick(FORMS));
    Some(format!("{season} {} {subject} {form}", start.0.year()))
}

fn customer_catalog_id(dice: &mut Dice, id: i32, start: Moment) -> Option<String> {
    let code = dice.pick(CODES);
    (!dice.one_in(50)).then(|| format!("{code}-{}-{id:05}", start.0.year()))
}

fn agent_company_ids(dice: &mut Dice) -> Option<Vec<String>> {
    match dice.between(0, 9) {
        0 => None,
        1 => Some(Vec::new()),
        2 => Some(vec![dice.uuid(), dice.uuid()]),
        _ => Some(vec![dice.uuid()]),
    }
}

fn platforms(dice: &mut Dice, outside_id: Option<&str>) -> Option<Vec<CatalogPlatform>> {
    let on = |platform_id, id: String| CatalogPlatform { platform_id, platform_catalog_id: Some(id) };
    let Some(id) = outside_id else { return Some(Vec::new()) };
    let mut platforms = vec![on(1, id.to_owned())];
    if dice.one_in(6) {
        platforms.push(on(2, format!("{}", dice.between(100_000, 999_999))));
    }
    Some(platforms)
}
