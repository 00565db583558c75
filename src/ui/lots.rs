//! The third panel: an event's lots; and one lot by itself. Lots are in no cache.

use std::{cmp::Ordering, time::Instant};

use askama::Template;
use serde::Deserialize;
use serde_json::Value;

use super::{
    inside::{Inside, Source, Wanted, each},
    list::{Pager, matches},
    trouble::Trouble,
};

/// Rows of the panel, each of which is a call of its own: the API has no list of an event's lots.
const ROWS: usize = 25;
/// Calls at a time.
const AT_A_TIME: usize = 8;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Catalog {
    title: Option<String>,
    #[serde(default)]
    lots: Option<Vec<Named>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    id: u64,
    lot_number: Option<String>,
}

/// A lot of either generation.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lot {
    #[serde(default)]
    customer_item_id: Option<String>,
    #[serde(default)]
    platforms: Option<Vec<Platform>>,
    #[serde(default)]
    initial_data: Option<Data>,
    /// The first generation's, spelled so.
    #[serde(default)]
    overriden_data: Option<Vec<Data>>,
    /// The second generation's.
    #[serde(default)]
    item_data: Option<Value>,
    #[serde(default)]
    image_links: Option<Vec<Image>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Platform {
    platform_item_id: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Image {
    link: Option<String>,
}

/// What is known of a thing; numbers as the API wrote them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    #[serde(rename = "Qty")]
    quantity: Value,
    #[serde(rename = "L")]
    length: Value,
    #[serde(rename = "W")]
    width: Value,
    #[serde(rename = "H")]
    height: Value,
    #[serde(rename = "Wgt")]
    weight: Value,
    value: Value,
    #[serde(rename = "Cpack")]
    pack: Value,
    description: Value,
    #[serde(rename = "Notes")]
    notes: Value,
    #[serde(rename = "notedConditions")]
    conditions: Value,
    #[serde(rename = "forceCrate")]
    crate_it: Value,
    #[serde(rename = "doNotTip")]
    upright: Value,
}

/// A value, for a person: nothing where there is none.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        other => other.to_string(),
    }
}

/// A line of a lot's detail.
pub(super) struct Fact {
    name: &'static str,
    value: String,
    /// The value before somebody changed it.
    before: Option<String>,
}

impl Data {
    fn facts(&self) -> [(&'static str, String); 11] {
        [
            ("Quantity", text(&self.quantity)),
            ("Length", text(&self.length)),
            ("Width", text(&self.width)),
            ("Height", text(&self.height)),
            ("Weight", text(&self.weight)),
            ("Value", text(&self.value)),
            ("Packing", text(&self.pack)),
            ("Crate", text(&self.crate_it)),
            ("Do not tip", text(&self.upright)),
            ("Condition", text(&self.conditions)),
            ("Notes", text(&self.notes)),
        ]
    }
}

impl Lot {
    /// What somebody has changed, of either generation.
    fn changed(&self) -> Option<Data> {
        let first = || self.overriden_data.iter().flatten().next().cloned();
        let second = self.item_data.as_ref().and_then(|data| serde_json::from_value(data.clone()).ok());
        second.or_else(first)
    }

    fn facts(&self) -> Vec<Fact> {
        let initial = self.initial_data.clone().unwrap_or_default().facts();
        let changed = self.changed().map(|data| data.facts());
        let mut facts = Vec::new();
        for (place, (name, value)) in initial.into_iter().enumerate() {
            let new = changed.as_ref().and_then(|changed| changed.get(place)).map(|(_, value)| value.clone());
            match new.filter(|new| !new.is_empty() && *new != value) {
                Some(new) => facts.push(Fact { name, value: new, before: Some(value) }),
                None if value.is_empty() => {}
                None => facts.push(Fact { name, value, before: None }),
            }
        }
        facts
    }

    fn description(&self) -> String {
        let of = |data: &Data| Some(text(&data.description)).filter(|text| !text.is_empty());
        let changed = self.changed().as_ref().and_then(of);
        changed
            .or_else(|| self.initial_data.as_ref().and_then(of))
            .unwrap_or_else(|| "No description".to_owned())
    }

    /// `64.25 × 29.5 × 77.5`, with the weight where it is known.
    fn size(&self) -> String {
        let data = self.changed().or_else(|| self.initial_data.clone()).unwrap_or_default();
        let sides = [&data.length, &data.width, &data.height].map(text);
        let mut size = if sides.iter().all(String::is_empty) {
            String::new()
        } else {
            sides.map(|side| if side.is_empty() { "?".to_owned() } else { side }).join(" × ") + " in"
        };
        let weight = text(&data.weight);
        if !weight.is_empty() {
            if !size.is_empty() {
                size.push_str(" · ");
            }
            size.push_str(&weight);
            size.push_str(" lb");
        }
        size
    }

    /// Only what a browser may load: a link that is something else is none.
    fn pictures(&self) -> Vec<String> {
        let links = self.image_links.iter().flatten().filter_map(|image| image.link.as_deref());
        links
            .filter(|link| link.starts_with("https://") || link.starts_with("http://"))
            .map(str::to_owned)
            .collect()
    }

    fn item(&self) -> &str {
        let platform = || self.platforms.iter().flatten().find_map(|one| one.platform_item_id.as_deref());
        self.customer_item_id.as_deref().or_else(platform).unwrap_or_default()
    }
}

/// A row: a lot, or why there is none.
pub(super) struct Row {
    id: u64,
    number: String,
    lot: Result<Shown, Trouble>,
}

pub(super) struct Shown {
    description: String,
    size: String,
    picture: Option<String>,
    more_pictures: usize,
    changed: bool,
}

/// The panel's list.
#[derive(Template)]
#[template(path = "lots.html")]
pub(super) struct Lots {
    seller: u64,
    event: u64,
    title: String,
    rows: Vec<Row>,
    total: usize,
    found: usize,
    pager: Pager,
    source: Source,
}

/// A page of an event's lots, in the order of their numbers.
pub(super) async fn panel(
    inside: &Inside,
    seller: u64,
    event: u64,
    query: &str,
    page: Option<usize>,
) -> Result<Lots, Trouble> {
    let began = Instant::now();
    let (catalog, source) = inside.get::<Catalog>(&format!("/api/Catalog/{event}"), Wanted::Usual).await?;
    let mut lots = catalog.lots.unwrap_or_default();
    let total = lots.len();
    lots.retain(|lot| matches(query, &[lot.lot_number.as_deref().unwrap_or_default()]));
    lots.sort_by(|one, other| by_number(one.lot_number.as_deref(), other.lot_number.as_deref()));
    let found = lots.len();
    let pager = Pager::new(found, ROWS, page);
    let fetched = each(pager.of(lots), AT_A_TIME, |lot| row(inside, lot)).await;
    let mut source = source;
    let mut rows = Vec::new();
    for (row, from) in fetched {
        source = from.map_or(source, |from| source.and(from));
        rows.push(row);
    }
    // One refusal is every lot's.
    if let Some(Row { lot: Err(trouble @ (Trouble::SignedOut | Trouble::Forbidden)), .. }) = rows.first() {
        return Err(*trouble);
    }
    let title = catalog.title.unwrap_or_else(|| format!("Event {event}"));
    Ok(Lots { seller, event, title, rows, total, found, pager, source: source.since(began) })
}

async fn row(inside: &Inside, named: Named) -> (Row, Option<Source>) {
    let number = named.lot_number.unwrap_or_else(|| "–".to_owned());
    let (lot, source) = match inside.get::<Lot>(&format!("/api/Lot/{}", named.id), Wanted::Usual).await {
        Ok((lot, source)) => (Ok(shown(&lot)), Some(source)),
        Err(trouble) => (Err(trouble), None),
    };
    (Row { id: named.id, number, lot }, source)
}

fn shown(lot: &Lot) -> Shown {
    let mut pictures = lot.pictures().into_iter();
    Shown {
        description: lot.description(),
        size: lot.size(),
        picture: pictures.next(),
        more_pictures: pictures.count(),
        changed: lot.changed().is_some(),
    }
}

/// `2` before `10`, `10` before `10a`.
fn by_number(one: Option<&str>, other: Option<&str>) -> Ordering {
    let split = |text: Option<&str>| {
        let text = text.unwrap_or_default().to_owned();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = text.get(..digits).and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX);
        (number, text)
    };
    split(one).cmp(&split(other))
}

/// One lot, for the dialog.
#[derive(Template)]
#[template(path = "lot.html")]
pub(super) struct Detail {
    id: u64,
    description: String,
    item: String,
    facts: Vec<Fact>,
    pictures: Vec<String>,
    source: Source,
}

pub(super) async fn detail(inside: &Inside, id: u64) -> Result<Detail, Trouble> {
    let (lot, source) = inside.get::<Lot>(&format!("/api/Lot/{id}"), Wanted::Usual).await?;
    Ok(Detail {
        id,
        description: lot.description(),
        item: lot.item().to_owned(),
        facts: lot.facts(),
        pictures: lot.pictures(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lots_go_by_their_numbers_as_people_count() {
        let mut numbers = vec![Some("10a"), None, Some("B1"), Some("2"), Some("10")];
        numbers.sort_by(|one, other| by_number(*one, *other));
        assert_eq!(numbers, [Some("2"), Some("10"), Some("10a"), None, Some("B1")]);
    }

    #[test]
    fn a_lot_of_either_generation_shows_what_was_changed_and_from_what() {
        let initial = r#""initialData":{"Qty":1,"L":10,"W":4.50,"H":2,"description":"Vase"}"#;
        for changed in [
            r#""overridenData":[{"L":12,"description":"Tall vase"}]"#,
            r#""itemData":{"L":12,"description":"Tall vase"}"#,
        ] {
            let lot: Lot = serde_json::from_str(&format!("{{\"id\":1,{initial},{changed}}}")).unwrap();
            assert_eq!(lot.description(), "Tall vase");
            let facts = lot.facts();
            let length = facts.iter().find(|fact| fact.name == "Length").unwrap();
            assert_eq!((length.value.as_str(), length.before.as_deref()), ("12", Some("10")));
            assert!(facts.iter().any(|fact| fact.name == "Width" && fact.before.is_none()));
        }
    }

    #[test]
    fn a_link_that_is_no_picture_of_the_web_is_none() {
        let lot: Lot = serde_json::from_str(
            r#"{"id":1,"imageLinks":[{"link":"javascript:alert(1)"},{"link":null},{"link":"https://a/b.jpg"}]}"#,
        )
        .unwrap();
        assert_eq!(lot.pictures(), ["https://a/b.jpg"]);
    }
}
