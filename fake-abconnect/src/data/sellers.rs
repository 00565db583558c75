//! Sellers: names as auction houses have them, and some as only an attacker or a careless clerk would.

use std::collections::{BTreeMap, BTreeSet};

use super::seed::Dice;
use super::{Store, take};

/// The seller that has 230 catalogs, one a day, 115 days before today to 114 days after it.
pub(crate) const WITH_MANY_CATALOGS: i32 = 42;
/// The seller that has none.
pub(crate) const WITHOUT_CATALOGS: i32 = 2;

#[derive(Clone, Debug)]
pub(crate) struct Seller {
    pub(crate) id: i32,
    pub(crate) name: Option<String>,
    pub(crate) customer_display_id: i32,
    pub(crate) is_active: bool,
    /// The ids of its catalogs: the other direction of [`super::Catalog::sellers`].
    pub(crate) catalogs: BTreeSet<i32>,
}

const FOUNDERS: &[&str] = &[
    "Ashgrove",
    "Bellweather",
    "Castellane",
    "Dunmore",
    "Ellingham",
    "Fairbanks",
    "Godolphin",
    "Hartwell",
    "Inverness",
    "Jessop",
    "Kingsley",
    "Larkspur",
    "Montclair",
    "Northgate",
    "Oakhurst",
    "Pemberton",
    "Quincy",
    "Rosenthal",
    "Stoneleigh",
    "Thackeray",
    "Underhill",
    "Vandermeer",
    "Whitcombe",
    "Yarborough",
    "Zimmermann",
    "Møller",
    "Lefèvre",
    "Grünwald",
    "Núñez",
    "Wiśniewski",
    "Åkesson",
    "Đorđević",
];
const TRADES: &[&str] = &[
    "Auctions & Appraisals",
    "Auction House",
    "Galleries",
    "Fine Art Auctioneers",
    "Estate Sales",
    "Auctioneers, LLC",
    "& Sons",
    "Liquidators Inc.",
    "Antiques & Collectibles",
    "Auktionshaus",
    "Hôtel des Ventes",
    "Casa de Subastas",
    "Coins + Stamps",
    "Rare Books",
];
const TOWNS: &[&str] = &[
    "Savannah",
    "Dallas",
    "Portland",
    "St. Louis",
    "Zürich",
    "Montréal",
    "Cincinnati",
    "Asheville",
    "Köln",
    "Charleston",
    "Santa Fe",
    "Malmö",
];

/// Names that break careless programs, given to the third seller and those after it.
const TROUBLESOME: &[Option<&str>] = &[
    Some("<b>Bold</b> & \"Quoted\" Auctions"),
    Some("<script>alert('sold')</script> Galleries"),
    Some("בית מכירות ירושלים"),
    Some("دار المزادات العربية"),
    Some("東京オークションハウス"),
    Some("Gavel 🔨 & Hammer 👩‍⚖️"),
    None,
    Some(""),
    Some("O'Brien's \"Gavel\" + Co."),
    Some("Back\\slash / Tab\there"),
    Some("\u{202e}snoitcuA desreveR\u{202c}"),
    Some("{{ seller.name }} ${7*7}"),
];
/// The length in characters of the one very long name, which follows the troublesome ones.
const LONG_NAME: usize = 500;

/// `count` sellers with gaps between their ids. The two special ones come first into being, so few are enough.
pub(super) fn generate(seed: u64, count: usize) -> BTreeMap<i32, Seller> {
    let ids = ids(seed, count);
    ids.iter().enumerate().map(|(position, &id)| (id, make_up(seed, position, id))).collect()
}

fn ids(seed: u64, count: usize) -> BTreeSet<i32> {
    let mut ids: BTreeSet<i32> = [WITH_MANY_CATALOGS, WITHOUT_CATALOGS].into_iter().take(count).collect();
    let mut dice = Dice::new(seed, "seller ids", 0);
    let mut id = WITHOUT_CATALOGS;
    while ids.len() < count {
        id += dice.pick(&[1, 1, 1, 2, 2, 5]);
        ids.insert(id);
    }
    ids
}

fn make_up(seed: u64, position: usize, id: i32) -> Seller {
    let mut dice = Dice::new(seed, "seller", id);
    let special = id == WITH_MANY_CATALOGS || id == WITHOUT_CATALOGS;
    let troublesome = position.checked_sub(2).filter(|_| !special);
    let name = match troublesome.map(|index| (index, TROUBLESOME.get(index))) {
        Some((_, Some(name))) => name.map(str::to_owned),
        Some((index, None)) if index == TROUBLESOME.len() => Some(long_name(&mut dice)),
        Some((index, None)) if index % 97 == 0 => None,
        _ => Some(name(&mut dice)),
    };
    let is_active = special || !dice.one_in(12);
    let customer_display_id = id.saturating_mul(3).saturating_add(1000 + dice.between(0, 2));
    Seller { id, name, customer_display_id, is_active, catalogs: BTreeSet::new() }
}

fn name(dice: &mut Dice) -> String {
    let (founder, trade) = (dice.pick(FOUNDERS), dice.pick(TRADES));
    match dice.between(0, 3) {
        0 => format!("{founder} {trade} of {}", dice.pick(TOWNS)),
        1 => format!("{founder} & {} {trade}", dice.pick(FOUNDERS)),
        _ => format!("{founder} {trade}"),
    }
}

fn long_name(dice: &mut Dice) -> String {
    let mut long = String::new();
    while long.chars().count() < LONG_NAME {
        long.push_str(&name(dice));
        long.push_str(", formerly ");
    }
    long.chars().take(LONG_NAME).collect()
}

impl Store {
    pub(crate) fn sellers(&self) -> impl Iterator<Item = &Seller> {
        self.sellers.values()
    }

    pub(crate) fn seller(&self, id: i32) -> Option<&Seller> {
        self.sellers.get(&id)
    }

    pub(crate) fn seller_by_display_id(&self, customer_display_id: i32) -> Option<&Seller> {
        self.sellers().find(|seller| seller.customer_display_id == customer_display_id)
    }

    pub(crate) fn add_seller(
        &mut self,
        name: Option<String>,
        customer_display_id: i32,
        is_active: bool,
    ) -> i32 {
        let id = take(&mut self.next_id.seller);
        let catalogs = BTreeSet::new();
        self.sellers.insert(id, Seller { id, name, customer_display_id, is_active, catalogs });
        id
    }

    pub(crate) fn seller_mut(&mut self, id: i32) -> Option<&mut Seller> {
        self.sellers.get_mut(&id)
    }

    /// Removes a seller. Its catalogs stay, without it.
    pub(crate) fn remove_seller(&mut self, id: i32) -> Option<Seller> {
        let seller = self.sellers.remove(&id)?;
        for catalog in &seller.catalogs {
            if let Some(catalog) = self.catalogs.get_mut(catalog) {
                catalog.sellers.retain(|other| *other != id);
            }
        }
        Some(seller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_sellers_as_asked_for_with_gaps_and_the_special_ones() {
        for count in [0, 1, 2, 3, 730] {
            assert_eq!(generate(1, count).len(), count);
        }
        let sellers = generate(1, 730);
        assert!(sellers.contains_key(&WITH_MANY_CATALOGS) && sellers.contains_key(&WITHOUT_CATALOGS));
        assert!(sellers.last_key_value().is_some_and(|(id, _)| *id > 900), "gaps");
    }

    #[test]
    fn some_names_are_troublesome() {
        let names: Vec<Option<String>> = generate(1, 730).into_values().map(|seller| seller.name).collect();
        assert!(names.iter().any(|name| name.as_deref().is_some_and(|name| name.contains("<script>"))));
        assert!(names.iter().filter(|name| name.is_none()).count() > 3);
        assert!(names.iter().flatten().any(|name| name.chars().count() == LONG_NAME));
    }
}
