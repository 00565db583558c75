//! `/api/Platform` (generation 2).

use serde::Deserialize;

use super::{Answer, Asked, contains, deleted};
use crate::data::{Platform, Store};
use crate::page::Page;
use crate::problem::Problem;

#[derive(Default, Deserialize)]
#[serde(default)]
struct PlatformRequest {
    name: Option<String>,
    #[serde(rename = "partnerid")]
    partner_id: i32,
    #[serde(rename = "isactive")]
    is_active: bool,
}

pub(super) fn list(store: &Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let query = asked.query;
    let (id, name) = (query.int("Id")?, query.text("Name"));
    let (partner_id, is_active) = (query.int("PartnerId")?, query.flag("IsActive")?);
    let fits = |platform: &&Platform| {
        id.is_none_or(|id| platform.id == id)
            && name.is_none_or(|name| contains(platform.name.as_deref(), name))
            && partner_id.is_none_or(|id| platform.partner_id == id)
            && is_active.is_none_or(|is_active| platform.is_active == is_active)
    };
    let platforms: Vec<&Platform> = store.platforms().filter(fits).collect();
    Answer::json(&Page::of(asked.page()?, platforms.len(), platforms.iter(), |platform| platform))
}

pub(super) fn get(store: &Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let id = asked.id()?;
    Answer::json(store.platform(id).ok_or_else(|| Problem::missing("Platform", id))?)
}

pub(super) fn add(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let PlatformRequest { name, partner_id, is_active } = asked.body()?;
    let id = store.add_platform(name, partner_id, is_active);
    Answer::json(&store.platform(id))
}

pub(super) fn update(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let id = asked.id()?;
    let request: PlatformRequest = asked.body()?;
    let platform = store.platform_mut(id).ok_or_else(|| Problem::missing("Platform", id))?;
    platform.name = request.name;
    platform.partner_id = request.partner_id;
    platform.is_active = request.is_active;
    Answer::json(platform)
}

pub(super) fn delete(store: &mut Store, asked: &Asked<'_>) -> Result<Answer, Problem> {
    let id = asked.id()?;
    deleted("Platform", id, store.remove_platform(id).is_some())
}
