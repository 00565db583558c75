//! Platforms (generation 2): the bidding sites on which catalogs are listed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Store, take};

/// The platform that what a caller upserts in bulk is attached to.
pub(crate) const OF_CALLERS: i32 = 1;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Platform {
    pub(crate) id: i32,
    pub(crate) name: Option<String>,
    pub(crate) partner_id: i32,
    pub(crate) is_active: bool,
}

/// Four of them; the last is not active.
pub(super) fn generate() -> BTreeMap<i32, Platform> {
    let names = ["GavelHub", "BidHarbor", "LotWorld <beta>", "Enchères & Cie"];
    let platform = |(id, name): (i32, &str)| {
        (id, Platform { id, name: Some(name.to_owned()), partner_id: 100 + id, is_active: id != 4 })
    };
    (1..).zip(names).map(platform).collect()
}

impl Store {
    pub(crate) fn platforms(&self) -> impl Iterator<Item = &Platform> {
        self.platforms.values()
    }

    pub(crate) fn platform(&self, id: i32) -> Option<&Platform> {
        self.platforms.get(&id)
    }

    pub(crate) fn platform_mut(&mut self, id: i32) -> Option<&mut Platform> {
        self.platforms.get_mut(&id)
    }

    pub(crate) fn add_platform(&mut self, name: Option<String>, partner_id: i32, is_active: bool) -> i32 {
        let id = take(&mut self.next_id.platform);
        self.platforms.insert(id, Platform { id, name, partner_id, is_active });
        id
    }

    /// Removes a platform; nothing stays attached to it.
    pub(crate) fn remove_platform(&mut self, id: i32) -> Option<Platform> {
        let platform = self.platforms.remove(&id)?;
        for listed in self.catalogs.values_mut().filter_map(|catalog| catalog.platforms.as_mut()) {
            listed.retain(|on| on.platform_id != id);
        }
        for listed in self.changed_lots.values_mut().filter_map(|lot| lot.platforms.as_mut()) {
            listed.retain(|on| on.platform_id != id);
        }
        Some(platform)
    }
}
