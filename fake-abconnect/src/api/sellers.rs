//! `/api/Seller`.

use serde::Deserialize;

use super::{Answer, Asked, contains, deleted};
use crate::data::{Seller, Store, seller_dto, seller_expanded_dto};
use crate::page::Page;
use crate::problem::Problem;

/// A seller in a request body; field names in lower case, as [`crate::json::from_json`] wants them.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct SellerRequest {
    pub(super) name: Option<String>,
    #[serde(rename = "customerdisplayid")]
    pub(super) customer_display_id: i32,
    #[serde(rename = "isactive")]
    pub(super) is_active: bool,
}

pub(super) fn list(store: &Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let query = asked.query;
    let (id, name) = (query.int("Id")?, query.text("Name"));
    let (display_id, is_active) = (query.int("CustomerDisplayId")?, query.flag("IsActive")?);
    let fits = |seller: &&Seller| {
        id.is_none_or(|id| seller.id == id)
            && name.is_none_or(|name| contains(seller.name.as_deref(), name))
            && display_id.is_none_or(|id| seller.customer_display_id == id)
            && is_active.is_none_or(|is_active| seller.is_active == is_active)
    };
    let sellers: Vec<&Seller> = store.sellers().filter(fits).collect();
    let show = |seller| seller_expanded_dto(store, seller);
    Answer::json(&Page::of(asked.page()?, sellers.len(), sellers.iter().copied(), show))
}

pub(super) fn get(store: &Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let id = asked.id()?;
    let seller = store.seller(id).ok_or_else(|| Problem::missing("Seller", id))?;
    Answer::json(&seller_expanded_dto(store, seller))
}

pub(super) fn add(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let SellerRequest { name, customer_display_id, is_active } = asked.body()?;
    let id = store.add_seller(name, customer_display_id, is_active);
    shown(store, id)
}

pub(super) fn update(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let id = asked.id()?;
    let request: SellerRequest = asked.body()?;
    let seller = store.seller_mut(id).ok_or_else(|| Problem::missing("Seller", id))?;
    seller.name = request.name;
    seller.customer_display_id = request.customer_display_id;
    seller.is_active = request.is_active;
    shown(store, id)
}

pub(super) fn delete(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let id = asked.id()?;
    deleted("Seller", id, store.remove_seller(id).is_some())
}

fn shown(store: &Store, id: i32) -> Result<Answer, Problem> {
    Answer::json(&store.seller(id).map(seller_dto))
}
