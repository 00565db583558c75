//! The second panel: a seller's events, newest first.

use std::time::Instant;

use askama::Template;
use jiff::civil::Date;
use serde::Deserialize;

use super::{
    inside::{Inside, Source, Wanted, each},
    list::matches,
    sellers::{self, Page},
    trouble::Trouble,
};

const PAGE_SIZE: u32 = 200;
const PAGES_AT_A_TIME: usize = 4;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    pub(super) id: u64,
    pub(super) title: Option<String>,
    customer_catalog_id: Option<String>,
    #[serde(default)]
    platforms: Option<Vec<Platform>>,
    start_date: Option<String>,
}

/// The second generation's outside identity of an event.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Platform {
    platform_catalog_id: Option<String>,
}

impl Event {
    pub(super) fn title(&self) -> &str {
        self.title.as_deref().filter(|title| !title.trim().is_empty()).unwrap_or("Untitled event")
    }

    pub(super) fn number(&self) -> &str {
        let platform = || self.platforms.iter().flatten().find_map(|one| one.platform_catalog_id.as_deref());
        self.customer_catalog_id.as_deref().or_else(platform).unwrap_or_default()
    }

    fn date(&self) -> Option<Date> {
        self.start_date.as_deref()?.get(..10)?.parse().ok()
    }

    /// `1 Sep 2026`, or a dash.
    pub(super) fn day(&self) -> String {
        self.date().map_or_else(|| "–".to_owned(), |date| date.strftime("%-d %b %Y").to_string())
    }

    fn is_upcoming(&self, today: Date) -> bool {
        self.date().is_some_and(|date| date >= today)
    }
}

/// Which events are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Show {
    /// Those of today and later.
    #[default]
    Upcoming,
    /// Past ones, too: these are in no cache.
    All,
}

impl Show {
    pub(super) fn of(text: Option<&str>) -> Self {
        if text == Some("all") { Self::All } else { Self::Upcoming }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Upcoming => "upcoming",
            Self::All => "all",
        }
    }
}

/// What a request asks of the panel.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) seller: u64,
    pub(super) query: String,
    pub(super) show: Show,
    /// The cached ones are shown already: these are to replace them.
    pub(super) newest: bool,
    pub(super) selected: Option<u64>,
}

/// A row.
pub(super) struct Row {
    event: Event,
    upcoming: bool,
}

/// The panel's list.
#[derive(Template)]
#[template(path = "events.html")]
pub(super) struct Events {
    asked: Asked,
    seller: String,
    rows: Vec<Row>,
    total: usize,
    source: Source,
    refresh: bool,
}

impl Events {
    fn is_selected(&self, event: &u64) -> bool {
        self.asked.selected == Some(*event)
    }
}

/// The events that fit.
pub(super) async fn panel(inside: &Inside, asked: Asked, today: Date) -> Result<Events, Trouble> {
    let (events, names) = tokio::join!(all(inside, &asked), sellers::all(inside));
    let (mut events, source) = events?;
    let name = names.ok().and_then(|(all, _)| all.into_iter().find(|seller| seller.id == asked.seller));
    let seller = name.map_or_else(|| format!("Seller {}", asked.seller), |seller| seller.name().to_owned());
    if asked.show == Show::Upcoming {
        events.retain(|event| event.is_upcoming(today));
    }
    let total = events.len();
    events.retain(|event| matches(&asked.query, &[event.title(), event.number()]));
    events.sort_by(|one, other| other.date().cmp(&one.date()).then_with(|| other.id.cmp(&one.id)));
    let rows = events.into_iter().map(|event| Row { upcoming: event.is_upcoming(today), event }).collect();
    let refresh = source.is_old() && !asked.newest && asked.show == Show::Upcoming;
    Ok(Events { asked, seller, rows, total, source, refresh })
}

async fn all(inside: &Inside, asked: &Asked) -> Result<(Vec<Event>, Source), Trouble> {
    let wanted = match asked.show {
        Show::All => Wanted::Untouched,
        Show::Upcoming if asked.newest => Wanted::Newest,
        Show::Upcoming => Wanted::Usual,
    };
    let (seller, began) = (asked.seller, Instant::now());
    let page = |number: u32, wanted: Wanted| async move {
        let target = format!("/api/Catalog?PageNumber={number}&PageSize={PAGE_SIZE}&SellerIds={seller}");
        inside.get::<Page<Event>>(&target, wanted).await
    };
    let (first, mut source) = page(1, wanted).await?;
    // The further pages of what was just fetched anew are in the same entry.
    let further = if wanted == Wanted::Newest { Wanted::Usual } else { wanted };
    let mut events = first.items;
    for next in each((2..=first.total_pages).collect(), PAGES_AT_A_TIME, |number| page(number, further)).await
    {
        let (next, from) = next?;
        events.extend(next.items);
        source = source.and(from);
    }
    Ok((events, source.since(began)))
}
