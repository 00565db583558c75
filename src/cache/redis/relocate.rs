//! Keeps what is known of the store's servers true: looks again where one of them does not do its work, and now and then
//! in any case, as a master that was replaced may not know it.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::sync::{Notify, watch};

use super::{
    connector::Role,
    locate::{Locator, Place, Reason, Unlocated},
    node::{Common, Node},
    server::Server,
    topology::Topology,
};
use crate::{deadline::Deadline, supervise};

/// Looked again at the latest after this: for so long a master that was replaced, and answers still, is believed.
const INTERVAL: Duration = Duration::from_secs(1);
/// Looked again at the earliest after this, whatever is wrong.
const PAUSE: Duration = Duration::from_millis(200);

/// Makes the nodes of what was found.
pub(super) struct Nodes {
    /// How servers are spoken to.
    template: Server,
    role: Role,
    common: Common,
    next_number: u8,
}

impl Nodes {
    pub(super) fn of(template: Server, role: Role, common: Common) -> Self {
        Self { template, role, common, next_number: 0 }
    }

    /// The topology that was found; nodes that are known already go on as they are, new ones are greeted.
    async fn found(&mut self, known: &Topology, places: Vec<Place>) -> Topology {
        let (mut nodes, mut new) = (Vec::new(), Vec::new());
        for Place { address, slots } in places {
            let same = known.nodes().iter().find(|node| node.address.as_ref() == Some(&address));
            let node = match same {
                Some(node) => Arc::clone(node),
                None => {
                    let Ok(server) = self.template.at(&address) else { continue };
                    let node =
                        Arc::new(Node::new(self.number(known), server, self.role, self.common.clone()));
                    new.push(Arc::clone(&node));
                    node
                }
            };
            nodes.push((node, slots));
        }
        join_all(new.iter().map(|node| node.greet())).await;
        Topology::of(nodes)
    }

    /// One that no node has now: there are more numbers than nodes.
    fn number(&mut self, known: &Topology) -> u8 {
        let taken = |number| known.nodes().iter().any(|node| node.number == number);
        while taken(self.next_number) {
            self.next_number = self.next_number.wrapping_add(1);
        }
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        number
    }
}

/// Where the keys are, as it is known, and who must hear when that changes.
pub(super) struct Known {
    pub(super) topology: watch::Sender<Topology>,
    pub(super) doubted: Arc<Notify>,
    /// Of the routes' generations, prefix included.
    pub(super) generations: Vec<String>,
    /// Hears the places of the generations that are on another server now: what was deleted on the one before may have come
    /// too late for it to tell its successor.
    pub(super) moved: Moved,
    /// It was looked once.
    pub(super) looked: watch::Sender<bool>,
}

/// Called with the places of generations.
pub(in crate::cache) type Moved = Box<dyn Fn(&[usize]) + Send + Sync>;

impl Known {
    /// From here on it is known that the keys are there.
    fn put(&self, found: Topology) {
        let known = self.topology.borrow().clone();
        let has_moved = |(place, key): (usize, &String)| {
            let (before, now) = (known.node_of(key)?, found.node_of(key));
            (!now.is_some_and(|now| Arc::ptr_eq(before, now))).then_some(place)
        };
        let moved: Vec<_> = self.generations.iter().enumerate().filter_map(has_moved).collect();
        // Before anybody reads there; and again for whoever was told by the old one after the first time.
        (self.moved)(&moved);
        self.topology.send_replace(found);
        (self.moved)(&moved);
    }
}

/// Looks where the keys are, again and again, until dropped.
pub(super) async fn keep_found(mut locator: Locator, mut nodes: Nodes, known: Known) {
    let mut reported = None;
    loop {
        let looking = look(&mut locator, &mut nodes, &known);
        if let Some(outcome) = supervise::caught("looking for Redis servers", looking).await {
            report(&mut reported, outcome.err(), known.topology.borrow().nodes().is_empty());
        }
        known.looked.send_replace(true);
        tokio::time::sleep(PAUSE).await;
        let _ = Deadline::after(INTERVAL).within(known.doubted.notified()).await;
    }
}

async fn look(locator: &mut Locator, nodes: &mut Nodes, known: &Known) -> Result<(), Unlocated> {
    let before = known.topology.borrow().clone();
    let there = before.nodes().iter().filter(|node| !node.is_away());
    let places = locator.locate(there.map(|node| node.server().clone()).collect()).await?;
    let found = nodes.found(&before, places).await;
    if found != before {
        let addresses = found.nodes().iter().filter_map(|node| node.address.as_ref());
        let servers: Vec<String> = addresses.map(ToString::to_string).collect();
        tracing::info!(servers = servers.join(" "), "Redis keeps the keys on these servers now");
        known.put(found);
    }
    Ok(())
}

/// Says once that nobody knows, and once that somebody does again.
fn report(reported: &mut Option<Reason>, now: Option<Unlocated>, none_known: bool) {
    let reason = now.as_ref().map(|now| now.reason);
    if *reported == reason {
        return;
    }
    match now {
        Some(why) if none_known => {
            tracing::warn!(reason = %why, "Redis is away: lists come from the upstream until it is back");
        }
        Some(why) => {
            tracing::warn!(reason = %why, "nobody says where Redis keeps the keys: they are asked for where they were")
        }
        None => tracing::info!("where Redis keeps the keys is known again"),
    }
    *reported = reason;
}
