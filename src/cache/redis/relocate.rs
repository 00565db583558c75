//! Keeps what is known of the store's servers true: looks again where one of them does not do its work, and now and then
//! in any case, as a master that was replaced may not know it.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::sync::{Notify, watch};

use super::{
    locate::{Locator, Place, Unlocated},
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
    common: Common,
    next_number: u8,
}

impl Nodes {
    pub(super) fn of(template: Server, common: Common) -> Self {
        Self { template, common, next_number: 0 }
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
                    let node = Arc::new(Node::new(self.number(known), server, self.common.clone()));
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

/// Looks where the keys are, again and again, until dropped.
pub(super) async fn keep_found(
    mut locator: Locator,
    mut nodes: Nodes,
    topology: watch::Sender<Topology>,
    doubted: Arc<Notify>,
) {
    let mut reported = None;
    loop {
        let looking = look(&mut locator, &mut nodes, &topology);
        if let Some(outcome) = supervise::caught("looking for Redis servers", looking).await {
            report(&mut reported, outcome.err(), topology.borrow().nodes().is_empty());
        }
        tokio::time::sleep(PAUSE).await;
        let _ = Deadline::after(INTERVAL).within(doubted.notified()).await;
    }
}

async fn look(
    locator: &mut Locator,
    nodes: &mut Nodes,
    topology: &watch::Sender<Topology>,
) -> Result<(), Unlocated> {
    let known = topology.borrow().clone();
    let servers = known.nodes().iter().map(|node| node.server().clone()).collect();
    let places = locator.locate(servers).await?;
    let found = nodes.found(&known, places).await;
    if found != known {
        let addresses = found.nodes().iter().filter_map(|node| node.address.as_ref());
        let servers: Vec<String> = addresses.map(ToString::to_string).collect();
        tracing::info!(servers = servers.join(" "), "Redis keeps the keys on these servers now");
        topology.send_replace(found);
    }
    Ok(())
}

/// Says once that nobody knows, and once that somebody does again.
fn report(reported: &mut Option<Unlocated>, now: Option<Unlocated>, none_known: bool) {
    if *reported != now {
        match now {
            Some(reason) if none_known => {
                tracing::warn!(%reason, "Redis is away: lists come from the upstream until it is back");
            }
            Some(reason) => {
                tracing::warn!(%reason, "where Redis keeps the keys is not known to have changed")
            }
            None => tracing::info!("where Redis keeps the keys is known again"),
        }
        *reported = now;
    }
}
