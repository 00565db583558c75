//! What the endpoints do to the data. No HTTP here but statuses and JSON.

mod bulk;
mod catalogs;
mod lots;
mod platforms;
mod sellers;

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data::Store;
use crate::json;
use crate::page::Wanted;
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::routes::Action;

/// A good answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// JSON; `None` is no body.
    pub(crate) body: Option<Bytes>,
}

impl Answer {
    fn json<T: Serialize>(value: &T) -> Result<Self, Problem> {
        Ok(Self { status: StatusCode::OK, body: Some(json::to_json(value)?) })
    }

    fn empty(status: StatusCode) -> Self {
        Self { status, body: None }
    }
}

/// One request to the API, whose caller may make it.
pub(crate) struct Asked<'a> {
    pub(crate) action: Action,
    /// What stood in the path where the endpoint has placeholders.
    pub(crate) segments: &'a [String],
    pub(crate) query: &'a Query,
    pub(crate) body: &'a [u8],
    /// The number of the user.
    pub(crate) caller: i32,
    /// The greatest page size, and the usual one.
    pub(crate) page_sizes: (usize, usize),
}

impl Asked<'_> {
    /// The first id of the path.
    fn id(&self) -> Result<i32, Problem> {
        self.id_at(0)
    }

    fn id_at(&self, index: usize) -> Result<i32, Problem> {
        query::int("id", self.segments.get(index).map_or("", String::as_str))
    }

    fn page(&self) -> Result<Wanted, Problem> {
        Wanted::read(self.query, self.page_sizes.0, self.page_sizes.1)
    }

    fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        if self.body.is_empty() {
            return Err(Problem::invalid("", "A non-empty request body is required."));
        }
        json::from_json(self.body).map_err(|error| {
            Problem::invalid("$", format!("The JSON value could not be converted: {error}."))
        })
    }
}

/// Answers what only looks.
pub(crate) fn read(store: &Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    match asked.action {
        Action::SellerList => sellers::list(store, asked),
        Action::SellerGet => sellers::get(store, asked),
        Action::CatalogList => catalogs::list(store, asked),
        Action::CatalogGet => catalogs::get(store, asked),
        Action::LotList => lots::list(store, asked),
        Action::LotGet => lots::get(store, asked),
        Action::LotOverrides => lots::overrides(store, asked),
        Action::LotItemData => lots::item_data(store, asked),
        Action::ClientItemList => lots::client_items(store, asked),
        Action::PlatformList => platforms::list(store, asked),
        Action::PlatformGet => platforms::get(store, asked),
        _ => Err(Problem::bare(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}

/// Does what changes the data: all of it or, where it is refused, nothing.
pub(crate) fn write(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    match asked.action {
        Action::SellerAdd => sellers::add(store, asked),
        Action::SellerUpdate => sellers::update(store, asked),
        Action::SellerDelete => sellers::delete(store, asked),
        Action::CatalogAdd => catalogs::add(store, asked),
        Action::CatalogUpdate => catalogs::update(store, asked),
        Action::CatalogDelete => catalogs::delete(store, asked),
        Action::CatalogMerge => catalogs::merge(store, asked),
        Action::LotAdd => lots::add(store, asked),
        Action::LotUpdate => lots::update(store, asked),
        Action::LotDelete => lots::delete(store, asked),
        Action::LotMerge => lots::merge(store, asked),
        Action::ClientItemAdd => lots::add_client_item(store, asked),
        Action::ClientItemDelete => lots::delete_client_item(store, asked),
        Action::BulkInsert => bulk::insert(store, asked),
        Action::BulkUpsert => bulk::upsert(store, asked),
        Action::PlatformAdd => platforms::add(store, asked),
        Action::PlatformUpdate => platforms::update(store, asked),
        Action::PlatformDelete => platforms::delete(store, asked),
        _ => Err(Problem::bare(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}

fn contains(text: Option<&str>, part: &str) -> bool {
    text.is_some_and(|text| text.to_lowercase().contains(&part.to_lowercase()))
}

fn equals(text: Option<&str>, other: &str) -> bool {
    text.is_some_and(|text| text.to_lowercase() == other.to_lowercase())
}

/// The removed thing became 204; nothing removed is a 404.
fn deleted(kind: &str, id: i32, existed: bool) -> Result<Answer, Problem> {
    if existed { Ok(Answer::empty(StatusCode::NO_CONTENT)) } else { Err(Problem::missing(kind, id)) }
}
