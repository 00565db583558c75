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
use redis::{
    AsyncConnectionConfig, ErrorKind, FromRedisValue as _, RedisError, Value, aio::MultiplexedConnection,
};

use super::{
    server::{Address, Server},
    topology::all_slots,
};
use crate::deadline::Deadline;

/// Who has not said it by then is not waited for.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);
/// Of a Cluster's servers so many are asked.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unlocated {
    #[error("none of the Sentinels names such a master")]
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

    /// Where the keys are now, as far as anybody knows. `nodes` have some: of a Cluster, they are asked first.
    pub(super) async fn locate(&mut self, nodes: Vec<Server>) -> Result<Vec<Place>, Unlocated> {
        let asked = self.asked(nodes);
        let answers = join_all(asked.into_iter().map(|(address, server)| {
            let (kind, kept) = (&self.kind, self.connections.remove(&address));
            async move {
                let said = Deadline::after(ANSWER_LIMIT).within(kind.ask(&server, &address, kept)).await;
                said.ok().and_then(Result::ok).map(|(said, connection)| (address, said, connection))
            }
        }));
        let mut newest: Option<Said> = None;
        for (address, said, connection) in answers.await.into_iter().flatten() {
            self.connections.insert(address, connection);
            if newest.as_ref().is_none_or(|newest| newest.epoch < said.epoch) {
                newest = Some(said);
            }
        }
        let places = newest.map(|said| said.places).filter(|places| !places.is_empty());
        match (places, &self.kind) {
            (Some(places), _) if places.len() > MOST_MASTERS => Err(Unlocated::TooMany),
            (Some(places), _) => Ok(places),
            (None, Kind::Master(_)) => Err(Unlocated::NoMaster),
            (None, Kind::Cluster) => Err(Unlocated::NoSlots),
        }
    }

    fn asked(&self, nodes: Vec<Server>) -> Vec<(Address, Server)> {
        let (nodes, most) = match &self.kind {
            Kind::Master(_) => (Vec::new(), usize::MAX),
            Kind::Cluster => (nodes, ASKED),
        };
        let mut seen = HashSet::new();
        let all = nodes.into_iter().chain(self.known.iter().cloned());
        let new = all.filter_map(|server| {
            let address = server.address()?;
            seen.insert(address.clone()).then_some((address, server))
        });
        new.take(most).collect()
    }
}

/// What one of them says.
struct Said {
    /// Counts the changes that it knows of.
    epoch: u64,
    places: Vec<Place>,
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

/// `SENTINEL MASTER`.
async fn master(connection: &mut MultiplexedConnection, name: &str) -> Result<Said, RedisError> {
    let mut asked = redis::cmd("SENTINEL");
    let said: HashMap<String, String> = asked.arg("MASTER").arg(name).query_async(connection).await?;
    let number = |name: &str| said.get(name).and_then(|text| text.parse::<u64>().ok());
    let host = said.get("ip").filter(|host| !host.is_empty()).cloned();
    let port = number("port").and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    let address = host.zip(port).map(|(host, port)| Address { host, port });
    let address = address.ok_or_else(|| unexpected("a master without an address"))?;
    let epoch = number("config-epoch").unwrap_or(0);
    Ok(Said { epoch, places: vec![Place { address, slots: vec![all_slots()] }] })
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
    Ok(Said { epoch, places })
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

fn unexpected(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::UnexpectedReturnType, what))
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
