//! `/api/Catalog`.

use serde::Deserialize;

use super::{Answer, Asked, contains, deleted, equals};
use crate::data::{Catalog, CatalogDetail, CatalogPlatform, LotRefs, Store, catalog_dto};
use crate::moment::Moment;
use crate::options::Generation;
use crate::page::Page;
use crate::problem::Problem;
use crate::query::{self, Query};

/// A catalog in a request body of either generation.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CatalogRequest {
    #[serde(rename = "customercatalogid")]
    customer_catalog_id: Option<String>,
    agent: Option<String>,
    #[serde(rename = "agentcompanyids")]
    agent_company_ids: Option<Vec<String>>,
    title: Option<String>,
    #[serde(rename = "startdate")]
    start_date: Moment,
    #[serde(rename = "enddate")]
    end_date: Moment,
    #[serde(rename = "iscompleted")]
    is_completed: bool,
    #[serde(rename = "sellerids")]
    seller_ids: Option<Vec<i32>>,
    #[serde(rename = "sellerid")]
    seller_id: i32,
    platforms: Option<Vec<CatalogPlatform>>,
}

/// The filters of the list, read but not applied.
struct Filters<'a> {
    id: Option<i32>,
    title: Option<&'a str>,
    starts_from: Option<Moment>,
    ends_by: Option<Moment>,
    is_completed: Option<bool>,
    sellers: Vec<i32>,
    /// Those that only one generation has.
    customer_catalog_id: Option<&'a str>,
    agent: Option<&'a str>,
    agent_company_id: Option<&'a str>,
    platform_catalog_id: Option<&'a str>,
}

impl<'a> Filters<'a> {
    fn read(query: &'a Query, generation: Generation) -> Result<Self, Problem> {
        let of = |wanted: Generation, name: &'static str| query.text(name).filter(|_| generation == wanted);
        let agent_company_id = of(Generation::Second, "AgentCompanyId");
        if let Some(other) = agent_company_id.filter(|id| !is_uuid(id)) {
            return Err(query::not_valid("AgentCompanyId", other));
        }
        Ok(Self {
            id: query.int("Id")?,
            title: query.text("Title"),
            starts_from: query.moment("StartDate")?,
            ends_by: query.moment("EndDate")?,
            is_completed: query.flag("IsCompleted")?,
            sellers: query.ints("SellerIds")?,
            customer_catalog_id: of(Generation::First, "CustomerCatalogId"),
            agent: of(Generation::First, "Agent"),
            agent_company_id,
            platform_catalog_id: of(Generation::Second, "PlatformCatalogId"),
        })
    }

    fn fit(&self, catalog: &Catalog) -> bool {
        self.id.is_none_or(|id| catalog.id == id)
            && self.title.is_none_or(|title| contains(catalog.title.as_deref(), title))
            && self.starts_from.is_none_or(|from| catalog.start_date >= from)
            && self.ends_by.is_none_or(|by| catalog.end_date <= by)
            && self.is_completed.is_none_or(|is_completed| catalog.is_completed == is_completed)
            && (self.sellers.is_empty() || catalog.sellers.iter().any(|seller| self.sellers.contains(seller)))
            && self.fit_outside_ids(catalog)
    }

    fn fit_outside_ids(&self, catalog: &Catalog) -> bool {
        let mut companies = catalog.agent_company_ids.iter().flatten();
        let mut platforms = catalog.platforms.iter().flatten();
        self.customer_catalog_id.is_none_or(|id| equals(catalog.customer_catalog_id.as_deref(), id))
            && self.agent.is_none_or(|agent| equals(catalog.agent.as_deref(), agent))
            && self.agent_company_id.is_none_or(|id| companies.any(|own| own.eq_ignore_ascii_case(id)))
            && self
                .platform_catalog_id
                .is_none_or(|id| platforms.any(|on| equals(on.platform_catalog_id.as_deref(), id)))
    }
}

pub(super) fn list(store: &Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let filters = Filters::read(asked.query, store.generation())?;
    let catalogs: Vec<&Catalog> = store.catalogs().filter(|catalog| filters.fit(catalog)).collect();
    let show = |catalog| catalog_dto(store, catalog, CatalogDetail::WithLots);
    Answer::json(&Page::of(asked.page()?, catalogs.len(), catalogs.iter().copied(), show))
}

pub(super) fn get(store: &Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    shown(store, asked.id()?, CatalogDetail::WithLots)
}

pub(super) fn add(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let request: CatalogRequest = asked.body()?;
    let sellers = checked(store, &request)?;
    let id = store.next_catalog_id();
    let new = requested(store.generation(), id, request, sellers, LotRefs::Listed(Vec::new()));
    store.put_catalog(new);
    shown(store, id, CatalogDetail::WithSellers)
}

pub(super) fn update(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let id = asked.id()?;
    let request: CatalogRequest = asked.body()?;
    let old = store.catalog(id).ok_or_else(|| Problem::missing("Catalog", id))?.clone();
    let sellers = checked(store, &request)?;
    let is_completed = old.is_completed;
    let mut new = requested(store.generation(), id, request, sellers, old.lots);
    if store.generation() == Generation::First {
        // There, being completed is no field of the request.
        new.is_completed = is_completed;
    }
    store.put_catalog(new);
    shown(store, id, CatalogDetail::WithSellers)
}

pub(super) fn delete(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let id = asked.id()?;
    deleted("Catalog", id, store.remove_catalog(id).is_some())
}

pub(super) fn merge(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let (target, source) = (asked.id_at(0)?, asked.id_at(1)?);
    if target == source {
        return Err(Problem::bad_request("A catalog cannot be merged into itself."));
    }
    let missing = if store.catalog(target).is_none() { target } else { source };
    if !store.merge_catalogs(target, source) {
        return Err(Problem::missing("Catalog", missing));
    }
    shown(store, target, CatalogDetail::WithLots)
}

/// The sellers of a request that makes sense.
fn checked(store: &Store, request: &CatalogRequest) -> Result<Vec<i32>, Problem> {
    if request.end_date < request.start_date {
        return Err(Problem::invalid("EndDate", "The end date must not be before the start date."));
    }
    if let Some(other) = request.agent_company_ids.iter().flatten().find(|id| !is_uuid(id)) {
        return Err(query::not_valid("AgentCompanyIds", other));
    }
    let mut sellers = match store.generation() {
        Generation::First => request.seller_ids.clone().unwrap_or_default(),
        Generation::Second => vec![request.seller_id],
    };
    sellers.sort_unstable();
    sellers.dedup();
    match sellers.iter().find(|id| store.seller(**id).is_none()) {
        Some(missing) => Err(Problem::missing("Seller", *missing)),
        None => Ok(sellers),
    }
}

fn requested(
    generation: Generation,
    id: i32,
    request: CatalogRequest,
    sellers: Vec<i32>,
    lots: LotRefs,
) -> Catalog {
    let first = generation == Generation::First;
    Catalog {
        id,
        customer_catalog_id: request.customer_catalog_id.filter(|_| first),
        agent: request.agent.filter(|_| first),
        agent_company_ids: request.agent_company_ids.filter(|_| !first),
        title: request.title,
        start_date: request.start_date,
        end_date: request.end_date,
        is_completed: request.is_completed && !first,
        sellers,
        platforms: request.platforms.filter(|_| !first),
        lots,
    }
}

fn shown(store: &Store, id: i32, detail: CatalogDetail) -> Result<Answer, Problem> {
    let catalog = store.catalog(id).ok_or_else(|| Problem::missing("Catalog", id))?;
    Answer::json(&catalog_dto(store, catalog, detail))
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}
