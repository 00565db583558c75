//! Which server has which keys: one has all, or each of a Cluster those of its slots.

use std::{ops::RangeInclusive, sync::Arc};

use crc16::{State, XMODEM};

use super::node::Node;

/// Of a Cluster's keys (the Redis Cluster specification, "Key distribution model").
const SLOTS: u16 = 16_384;

/// The servers of a store as they were found last; none before they were found at all.
#[derive(Clone, Default)]
pub(super) struct Topology {
    nodes: Vec<Arc<Node>>,
    /// In order; each with the place of its node.
    slots: Vec<(RangeInclusive<u16>, usize)>,
}

impl Topology {
    /// All keys are on one server.
    pub(super) fn of_one(node: Node) -> Self {
        Self::of(vec![(Arc::new(node), vec![all_slots()])])
    }

    /// Each of these servers has the keys of these slots.
    pub(super) fn of(nodes: Vec<(Arc<Node>, Vec<RangeInclusive<u16>>)>) -> Self {
        let place = |(place, (_, slots)): (usize, &(_, Vec<RangeInclusive<u16>>))| {
            slots.iter().map(|slots| (slots.clone(), place)).collect::<Vec<_>>()
        };
        let mut slots: Vec<_> = nodes.iter().enumerate().flat_map(place).collect();
        slots.sort_by_key(|(slots, _)| *slots.start());
        Self { nodes: nodes.into_iter().map(|(node, _)| node).collect(), slots }
    }

    /// Who has this key. Slots that nobody has have no keys.
    pub(super) fn node_of(&self, key: &str) -> Option<&Arc<Node>> {
        let place = match &*self.slots {
            // Mostly there is one server.
            [(slots, place)] if *slots == all_slots() => *place,
            slots => {
                let slot = slot(key);
                let after = slots.partition_point(|(slots, _)| *slots.start() <= slot);
                let (slots, place) = slots.get(after.checked_sub(1)?)?;
                slots.contains(&slot).then_some(*place)?
            }
        };
        self.nodes.get(place)
    }

    pub(super) fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }
}

impl PartialEq for Topology {
    fn eq(&self, other: &Self) -> bool {
        let same = |(one, other): (&Arc<Node>, &Arc<Node>)| Arc::ptr_eq(one, other);
        self.nodes.len() == other.nodes.len()
            && self.nodes.iter().zip(&other.nodes).all(same)
            && self.slots == other.slots
    }
}

/// All slots.
pub(super) fn all_slots() -> RangeInclusive<u16> {
    0..=SLOTS - 1
}

/// The slot of a key: of what stands between its first braces, where that is anything.
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    State::<XMODEM>::calculate(hashed.as_bytes()) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::redis::{connector::Role, node::Common, server::Server},
        dial::Dialler,
    };

    #[test]
    fn slots_are_those_of_the_specification() {
        // As `CLUSTER KEYSLOT` says.
        for (key, expected) in [
            ("", 0),
            ("123456789", 12_739),
            ("foo", 12_182),
            ("{foo}.a", 12_182),
            ("x{foo}{bar}", 12_182),
            ("foo{}", 5542),
            ("{}{foo}", 2263),
        ] {
            assert_eq!(slot(key), expected, "{key}");
        }
    }

    #[tokio::test]
    async fn a_key_is_on_the_node_that_has_its_slot_and_on_none_where_none_has_it() {
        let node = |number| {
            let server = Server::new("redis://h", None, Dialler::system()).unwrap();
            Arc::new(Node::new(number, server, Role::ClusterMaster, Common::default()))
        };
        let number = |topology: &Topology, key: &str| topology.node_of(key).map(|node| node.number);
        let one = Topology::of(vec![(node(7), vec![all_slots()])]);
        assert_eq!((number(&one, "foo"), number(&Topology::default(), "foo")), (Some(7), None));
        let three =
            Topology::of(vec![(node(1), vec![12_182..=12_182, 0..=0]), (node(2), vec![12_183..=16_383])]);
        assert_eq!(
            ["foo", "", "123456789", "foo{}"].map(|key| number(&three, key)),
            [Some(1), Some(1), Some(2), None]
        );
        let part = Topology::of(vec![(node(3), vec![0..=5])]);
        assert_eq!(number(&part, "foo"), None, "of one node, too");
    }
}
