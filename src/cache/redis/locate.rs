//! Where the keys are: asks Sentinels which server is the master, or the servers of a Cluster who has which slots.
//!
//! All are asked at once, and of what they say the newest counts: one that was cut off from the others does not know
//! that it knows nothing new.

use std::{
    collections::{HashMap, HashSet},
    ops::RangeInclusive,
    time::Duration,
};

use futures_util::future::join_all;
use redis::{AsyncConnectionConfig, FromRedisValue as _, RedisError, Value, aio::MultiplexedConnection};

use super::{
    connector::Role,
    server::{Address, Server},
    topology::all_slots,
};
use crate::deadline::{Deadline, Elapsed};

/// Who has not said it by then is not waited for.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);
/// Of a Cluster's servers so many are asked, beside those that the configuration names.
const ASKED: usize = 8;
/// More masters than anybody has for a cache. Each is followed by a connection of its own, and has a number below 256, also
/// while others take their places.
pub(super) const MOST_MASTERS: usize = 100;

/// A server and the slots of which it has the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) address: Address,
    pub(super) slots: Vec<RangeInclusive<u16>>,
}

/// Asks where the keys are.
pub(super) struct Locator {
    kind: Kind,
    /// Those of the configuration.
    known: Vec<Server>,
    /// Kept from one time to the next.
    connections: HashMap<Address, MultiplexedConnection>,
}

enum Kind {
    /// By this name.
    Master(String),
    Cluster,
}

/// Why nobody knows.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}{}", if .said.is_empty() { String::new() } else { format!(" ({})", .said.join(", ")) })]
pub(super) struct Unlocated {
    pub(super) reason: Reason,
    /// Of those that were asked, with what came.
    said: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Reason {
    #[error("none of the Sentinels names the master")]
    NoMaster,
    #[error("no server of the Cluster says who has which slots")]
    NoSlots,
    #[error("the Cluster has more than {MOST_MASTERS} masters")]
    TooMany,
}

impl Locator {
    pub(super) fn of_master(name: String, sentinels: Vec<Server>) -> Self {
        Self { kind: Kind::Master(name), known: sentinels, connections: HashMap::new() }
    }

    pub(super) fn of_cluster(seeds: Vec<Server>) -> Self {
        Self { kind: Kind::Cluster, known: seeds, connections: HashMap::new() }
    }

    /// What those must be that are found.
    pub(super) fn role(&self) -> Role {
        match self.kind {
            Kind::Master(_) => Role::Master,
            Kind::Cluster => Role::ClusterMaster,
        }
    }

    /// Where the keys are now, as far as anybody knows. `nodes` have some, and are not away: of a Cluster, they are asked
    /// too.
    pub(super) async fn locate(&mut self, nodes: Vec<Server>) -> Result<Vec<Place>, Unlocated> {
        // Connections to those that are not asked any more end here.
        let mut connections = std::mem::take(&mut self.connections);
        let answers = join_all(self.asked(nodes).into_iter().map(|(address, server)| {
            let (kind, kept) = (&self.kind, connections.remove(&address));
            async move {
                let asking = kind.ask(&server, &address, kept);
                let said = match Deadline::after(ANSWER_LIMIT).within(asking).await {
                    Ok(said) => said.map_err(|error| in_a_word(&error)),
                    Err(Elapsed) => Err("no answer".to_owned()),
                };
                (address, said)
            }
        }));
        let (mut newest, mut failed): (Option<Said>, _) = (None, Vec::new());
        for (address, said) in answers.await {
            match said {
                Ok((said, connection)) => {
                    self.connections.insert(address, connection);
                    if said.counts_before(newest.as_ref()) {
                        newest = Some(said);
                    }
                }
                Err(error) => failed.push(format!("{address}: {error}")),
            }
        }
        let reason = match (newest.map(|said| said.places), &self.kind) {
            (Some(places), _) if places.len() <= MOST_MASTERS => return Ok(places),
            (Some(_), _) => Reason::TooMany,
            (None, Kind::Master(_)) => Reason::NoMaster,
            (None, Kind::Cluster) => Reason::NoSlots,
        };
        Err(Unlocated { reason, said: failed })
    }

    /// Some of the nodes, and all that the configuration names: those are there still when all nodes are others.
    fn asked(&self, nodes: Vec<Server>) -> Vec<(Address, Server)> {
        let most = if matches!(self.kind, Kind::Cluster) { ASKED } else { 0 };
        let all = nodes.into_iter().take(most).chain(self.known.iter().cloned());
        let mut seen = HashSet::new();
        let new = all.filter_map(|server| {
            let address = server.address()?;
            seen.insert(address.clone()).then_some((address, server))
        });
        new.collect()
    }
}

/// What one of them says.
struct Said {
    /// Counts the changes that it knows of.
    epoch: u64,
    /// It can do its work, as far as it knows: one that was cut off from most of the others cannot.
    serves: bool,
    /// Of a server that was taken out of a Cluster, none.
    places: Vec<Place>,
}

impl Said {
    fn counts_before(&self, other: Option<&Self>) -> bool {
        let rank = |said: &Self| (said.epoch, said.serves);
        !self.places.is_empty() && other.is_none_or(|other| rank(other) < rank(self))
    }
}

/// What an error is, without what a server may have repeated of us.
fn in_a_word(error: &RedisError) -> String {
    error.code().unwrap_or_else(|| error.category()).to_owned()
}

impl Kind {
    async fn ask(
        &self,
        server: &Server,
        address: &Address,
        kept: Option<MultiplexedConnection>,
    ) -> Result<(Said, MultiplexedConnection), RedisError> {
        let mut connection = match kept {
            Some(connection) => connection,
            None => server.connect(AsyncConnectionConfig::new()).await?,
        };
        let said = match self {
            Self::Master(name) => master(&mut connection, name).await?,
            Self::Cluster => slots(&mut connection, &address.host).await?,
        };
        Ok((said, connection))
    }
}

/// Where the master is, and after how many failovers. `SENTINEL MASTER` has both; but the Sentinel that leads a failover says
/// there where the old one is until all replicas have heard of the new one, which one of them may keep it from for minutes.
async fn master(connection: &mut MultiplexedConnection, name: &str) -> Result<Said, RedisError> {
    let mut pipeline = redis::pipe();
    pipeline.cmd("SENTINEL").arg("MASTER").arg(name);
    pipeline.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let (said, (host, port)): (HashMap<String, String>, (String, u16)) =
        pipeline.query_async(connection).await?;
    let epoch = said.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    let place = Place { address: Address { host, port }, slots: vec![all_slots()] };
    let is_place = !place.address.host.is_empty() && port > 0;
    Ok(Said { epoch, serves: true, places: is_place.then_some(place).into_iter().collect() })
}

/// `CLUSTER SLOTS`, and of which state of the Cluster that is.
async fn slots(connection: &mut MultiplexedConnection, asked: &str) -> Result<Said, RedisError> {
    let mut pipeline = redis::pipe();
    pipeline.cmd("CLUSTER").arg("INFO");
    pipeline.cmd("CLUSTER").arg("SLOTS");
    let (info, ranges): (String, Vec<Value>) = pipeline.query_async(connection).await?;
    let epoch = info.lines().find_map(|line| line.strip_prefix("cluster_current_epoch:"));
    let epoch = epoch.and_then(|epoch| epoch.trim().parse().ok()).unwrap_or(0);
    let mut places: Vec<Place> = Vec::new();
    for (slots, address) in ranges.into_iter().filter_map(|range| read_range(range, asked)) {
        match places.iter_mut().find(|place| place.address == address) {
            Some(place) => place.slots.push(slots),
            None => places.push(Place { address, slots: vec![slots] }),
        }
    }
    // Whoever says it, in whichever order: the same is the same.
    places.sort_by(|one, other| one.address.cmp(&other.address));
    Ok(Said { epoch, serves: info.contains("cluster_state:ok"), places })
}

/// First slot, last slot, and the master, which stands before its replicas; one without a host is who was asked.
fn read_range(range: Value, asked: &str) -> Option<(RangeInclusive<u16>, Address)> {
    let Value::Array(parts) = range else { return None };
    let mut parts = parts.into_iter();
    let (first, last) =
        (u16::from_redis_value(parts.next()?).ok()?, u16::from_redis_value(parts.next()?).ok()?);
    let Value::Array(master) = parts.next()? else { return None };
    let mut master = master.into_iter();
    let host = Option::<String>::from_redis_value(master.next()?).ok()?.filter(|host| !host.is_empty());
    let port = u16::from_redis_value(master.next()?).ok().filter(|port| *port > 0)?;
    let host = host.unwrap_or_else(|| asked.to_owned());
    // "?": it has not heard of it yet.
    let known = host != "?" && first <= last && all_slots().contains(&last);
    known.then_some((first..=last, Address { host, port }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn range(first: i64, last: i64, host: Value, port: i64) -> Value {
        let master = Value::Array(vec![host, Value::Int(port), text("id"), Value::Array(vec![])]);
        let replica = Value::Array(vec![text("replica"), Value::Int(1)]);
        Value::Array(vec![Value::Int(first), Value::Int(last), master, replica])
    }

    #[test]
    fn of_a_range_the_master_is_told_and_who_was_asked_where_it_names_none() {
        let place = |first, last, host: &str, port| Some((first..=last, Address { host: host.into(), port }));
        for (told, expected) in [
            (range(0, 5460, text("10.0.0.1"), 7000), place(0, 5460, "10.0.0.1", 7000)),
            (range(0, 0, Value::Nil, 7000), place(0, 0, "asked", 7000)),
            (range(0, 16_383, text(""), 65_535), place(0, 16_383, "asked", 65_535)),
            (range(0, 5, text("?"), 7000), None),
            (range(0, 16_384, text("h"), 7000), None),
            (range(5, 4, text("h"), 7000), None),
            (range(-1, 4, text("h"), 7000), None),
            (range(0, 4, text("h"), 0), None),
            (range(0, 4, text("h"), 65_536), None),
            (Value::Array(vec![Value::Int(0), Value::Int(1)]), None),
            (Value::Array(vec![Value::Int(0), Value::Int(1), Value::Array(vec![])]), None),
            (Value::Nil, None),
        ] {
            assert_eq!(read_range(told.clone(), "asked"), expected, "{told:?}");
        }
    }
}
