//! The store in Redis. Never trusted, never waited for: every command is under the caller's budget, every
//! failure is a [`Fault`], and after a few of them in a row nothing is sent until a probe succeeds.
//!
//! One server has all keys, or each server of a Cluster those of its slots; which, is looked up again where a server does
//! not do its work. What is read of two servers needs no transaction: an entry carries the generation that it is of.

mod connector;
mod entries;
mod listing;
mod locate;
mod node;
mod relocate;
mod server;
mod topology;
mod tracking;

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use redis::{ErrorKind, Pipeline, Value};
use tokio::sync::watch;

use self::{
    connector::Role,
    locate::Locator,
    node::{Answer, Common, Node, Size},
    relocate::{Known, Nodes},
    server::Server,
    topology::Topology,
};
pub(super) use self::{listing::Place, relocate::Moved};
use super::{
    entry::{Entry, Shape},
    fault::Fault,
    generation::Generation,
    near::{Giver, Near},
    snapshot::{Keys, Snapshot},
};
use crate::{
    config::redis_url::{self, Deployment},
    deadline::Deadline,
    dial::Dialler,
    supervise,
};

/// A token is far shorter: whatever else somebody put under a generation's key, no more of it is read.
const TOKEN_BYTES: usize = 1024;
/// An entry of so many bytes is written or read in less time than it takes to have that done elsewhere. What is larger
/// stalls nobody: it goes by connections of its own, which live at home, and is coded and decoded aside.
const SMALL_BYTES: usize = 64 * 1024;
/// From the first SYN to a connection that is ready for commands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Entries in Redis.
pub(super) struct Redis {
    topology: watch::Sender<Topology>,
    common: Common,
    /// Where the keys are is asked by this; `None`: one server has them for ever, or somebody is asking already.
    moving: Mutex<Option<(Locator, Nodes)>>,
    /// It was looked for the servers once, where that must be.
    looked: watch::Sender<bool>,
    max_entry_bytes: usize,
}

impl Redis {
    /// A store at `url`, whose certificate, where it has one, is of an authority in `ca_file` or else of the system's;
    /// connects when it is first asked, or by [`Redis::greet`].
    ///
    /// # Errors
    /// Where the URL is not a Redis URL, which the text does not repeat, or the file is of no use.
    pub(super) fn new(
        url: &str,
        ca_file: Option<&Path>,
        max_entry_bytes: usize,
        dialler: &Dialler,
    ) -> Result<Self, UnusableRedis> {
        // The redis crate brings rustls without a provider; a second call finds the first one's and leaves it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let common = Common::default();
        let server = |url: &String| Server::new(url, ca_file, dialler.clone());
        let servers = |urls: &[String]| urls.iter().map(server).collect::<Result<Vec<_>, _>>();
        let unusable = UnusableRedis::Url(ErrorKind::InvalidClientConfig);
        let Ok(deployment) = redis_url::read(url) else { return Err(unusable) };
        let (topology, moving) = match deployment {
            Deployment::One(url) => {
                let node = Node::new(0, server(&url)?, Role::Any, common.clone());
                (Topology::of_one(node), None)
            }
            Deployment::Sentinels { sentinels, master, server: of_master } => {
                let locator = Locator::of_master(master, servers(&sentinels)?);
                let nodes = Nodes::of(server(&of_master)?, locator.role(), common.clone());
                (Topology::default(), Some((locator, nodes)))
            }
            Deployment::Cluster(seeds) => {
                let seeds = servers(&seeds)?;
                let template = seeds.first().cloned().ok_or(unusable)?;
                let locator = Locator::of_cluster(seeds);
                let nodes = Nodes::of(template, locator.role(), common.clone());
                (Topology::default(), Some((locator, nodes)))
            }
        };
        let looked = watch::Sender::new(moving.is_none());
        let (topology, moving) = (watch::Sender::new(topology), Mutex::new(moving));
        Ok(Self { topology, common, moving, looked, max_entry_bytes })
    }

    /// Returns once it was looked where the keys are, or that has taken too long.
    pub(super) async fn looked(&self) {
        let mut looked = self.looked.subscribe();
        let _ = Deadline::after(CONNECT_TIMEOUT).within(looked.wait_for(|looked| *looked)).await;
    }

    /// Connects before the first request does.
    pub(super) async fn greet(&self) {
        let mut topology = self.topology.subscribe();
        let found = async {
            let found = topology.wait_for(|topology| !topology.nodes().is_empty()).await;
            found.map(|found| found.nodes().to_vec()).unwrap_or_default()
        };
        let nodes = Deadline::after(CONNECT_TIMEOUT).within(found).await.unwrap_or_default();
        join_all(nodes.iter().map(|node| node.greet())).await;
    }

    /// Looks after the store until the task is dropped: where its keys are, and, for copies near, what it says of them.
    /// `moved` hears which of the routes' generations are on another server than before: what was stored under them, or
    /// deleted, counts no more.
    pub(super) fn attend(
        &self,
        prefix: &str,
        near: Option<Arc<Near>>,
        generations: Vec<String>,
        moved: Moved,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        let moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (topology, looked) = (self.topology.clone(), self.looked.clone());
        let known = Known { topology, doubted: Arc::clone(&self.common.doubted), generations, moved, looked };
        let relocating = async move {
            if let Some((locator, nodes)) = moving {
                relocate::keep_found(locator, nodes, known).await;
            }
        };
        let (topology, prefix) = (self.topology.subscribe(), prefix.to_owned());
        let following = async move {
            if let Some(near) = near {
                let follow = move || tracking::follow(topology.clone(), prefix.clone(), Arc::clone(&near));
                supervise::until_done("following Redis", follow).await;
            }
        };
        async move {
            tokio::join!(relocating, following);
        }
    }

    /// Nodes, and how many of them are known not to answer. None were found: all that there may be are away.
    pub(super) fn standing(&self) -> Standing {
        let topology = self.topology.borrow();
        let away = topology.nodes().iter().filter(|node| node.is_away()).count();
        Standing { nodes: topology.nodes().len(), away }
    }

    /// Whether what all nodes say of their keys arrives here.
    pub(super) fn is_followed(&self, near: &Near) -> bool {
        let topology = self.topology.borrow();
        !topology.nodes().is_empty() && topology.nodes().iter().all(|node| near.is_live(node.number))
    }

    /// Returns once it makes sense to ask for this key again.
    pub(super) async fn back(&self, key: &str) {
        let mut topology = self.topology.subscribe();
        loop {
            let node = topology.borrow_and_update().node_of(key).cloned();
            let back = async {
                match node {
                    Some(node) => node.back().await,
                    None => std::future::pending().await,
                }
            };
            // Another one may take its place.
            tokio::select! {
                () = back => return,
                changed = topology.changed() => if changed.is_err() { return },
            }
        }
    }

    pub(super) async fn look(
        &self,
        keys: &Keys,
        shape: &Shape,
        known: Option<Arc<Entry>>,
        by: Deadline,
    ) -> Result<Snapshot, Fault> {
        let small = SMALL_BYTES.min(self.max_entry_bytes);
        let (home, place) = (self.node(&keys.generation)?, self.node(&keys.entry)?);
        let (mut token, mut pipeline) = (redis::pipe(), redis::pipe());
        get_token(&mut token, &keys.generation);
        entries::get(&mut pipeline, &keys.entry, small);
        let (token, mut entry) = ask_both(&home, token, &place, pipeline, Size::Small, by).await?;
        let generation = read_token(token.replies.first(), &token.run_id);
        if matches!(entry.replies.first(), Some(Value::BulkString(bytes)) if bytes.len() > small) {
            let mut pipeline = redis::pipe();
            // Whatever somebody put there: no more than an entry may have is read. Cut off, it does not decode.
            entries::get(&mut pipeline, &keys.entry, self.max_entry_bytes);
            entry = place.ask(Size::Large, &pipeline, by).await?;
        }
        let givers = [
            Giver { node: home.number, run_id: token.run_id },
            Giver { node: place.number, run_id: entry.run_id },
        ];
        let entry = entries::got(entry.replies, shape, known).await;
        Ok(Snapshot { generation, entry, givers: Some(givers) })
    }

    pub(super) async fn establish(
        &self,
        key: &str,
        life: Duration,
        by: Deadline,
    ) -> Result<Generation, Fault> {
        let set_and_read = |token: &Generation| {
            let mut pipeline = redis::pipe();
            pipeline.cmd("SET").arg(key).arg(token.as_str()).arg("NX").arg("PX").arg(milliseconds(life));
            get_token(&mut pipeline, key);
            pipeline
        };
        let home = self.node(key)?;
        let run_id = home.run_id(by).await?;
        for attempt in 0..2 {
            // A new one each time: a token that may have stood there for a moment is never put there again.
            let token = Generation::random(&run_id).map_err(|_| Fault::Internal)?;
            let Answer { run_id, mut replies } = home.ask(Size::Small, &set_and_read(&token), by).await?;
            if let Some(Value::BulkString(bytes)) = replies.pop() {
                if let Some(generation) = Generation::read(&bytes, &run_id) {
                    return Ok(generation);
                }
                // It takes nothing now, and nothing is there.
                if bytes.is_empty() && matches!(replies.first(), Some(Value::ServerError(_))) {
                    return Err(Fault::Refused);
                }
            }
            // Another server's token, or something that is none: voiding it is always safe.
            if attempt == 0 {
                self.delete(key, by).await?;
            }
        }
        Err(Fault::Refused)
    }

    pub(super) async fn put(
        &self,
        keys: &Keys,
        entry: &Arc<Entry>,
        ttl: Duration,
        life: Duration,
        by: Deadline,
    ) -> Result<(), Fault> {
        let set = entries::set(&keys.entry, entry, ttl, self.max_entry_bytes).await?;
        let is_small = entry.collection.text.len() <= SMALL_BYTES;
        let size = if is_small { Size::Small } else { Size::Large };
        let (home, place) = (self.node(&keys.generation)?, self.node(&keys.entry)?);
        let mut left = redis::pipe();
        left.cmd("PTTL").arg(&keys.generation);
        let (left, set) = ask_both(&home, left, &place, set, size, by).await?;
        if let Some(Value::ServerError(_)) = set.replies.last() {
            return Err(Fault::Refused);
        }
        // Renewed at half its life and not at each fill: a change of its life is a push to all replicas.
        if let Some(Value::Int(left)) = left.replies.first()
            && u64::try_from(*left).is_ok_and(|left| left < milliseconds(life) / 2)
        {
            let mut pipeline = redis::pipe();
            pipeline.cmd("PEXPIRE").arg(&keys.generation).arg(milliseconds(life));
            home.ask(Size::Small, &pipeline, by).await?;
        }
        Ok(())
    }

    pub(super) async fn delete(&self, key: &str, by: Deadline) -> Result<(), Fault> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("DEL").arg(key);
        let answer = self.node(key)?.ask(Size::Small, &pipeline, by).await?;
        if matches!(*answer.replies, [Value::Int(_)]) { Ok(()) } else { Err(Fault::Refused) }
    }

    /// Who has this key.
    fn node(&self, key: &str) -> Result<Arc<Node>, Fault> {
        self.topology.borrow().node_of(key).cloned().ok_or(Fault::Open)
    }

    /// Commands sent since the start, probes not counted.
    #[must_use]
    pub(super) fn commands(&self) -> u64 {
        self.common.commands.load(Ordering::Relaxed)
    }
}

/// How many servers have keys, and how many of them are known not to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Those that have keys.
    pub nodes: usize,
    /// Those of them that do not answer.
    pub away: usize,
}

impl fmt::Debug for Redis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Redis").field("standing", &self.standing()).finish_non_exhaustive()
    }
}

/// Asks two nodes at once, or one in one go; the commands for the first are few.
async fn ask_both(
    first: &Node,
    few: Pipeline,
    second: &Node,
    mut commands: Pipeline,
    size: Size,
    by: Deadline,
) -> Result<(Answer, Answer), Fault> {
    if first.number != second.number {
        // What the one says is of no use without the other.
        if first.is_away() || second.is_away() {
            return Err(Fault::Open);
        }
        return tokio::try_join!(first.ask(Size::Small, &few, by), second.ask(size, &commands, by));
    }
    let count = commands.len();
    for command in few.cmd_iter() {
        commands.add_command(command.clone());
    }
    let Answer { run_id, mut replies } = second.ask(size, &commands, by).await?;
    let of_first = replies.split_off(count.min(replies.len()));
    Ok((Answer { run_id: Arc::clone(&run_id), replies: of_first }, Answer { run_id, replies }))
}

fn get_token(pipeline: &mut Pipeline, key: &str) {
    pipeline.cmd("GETRANGE").arg(key).arg(0).arg(TOKEN_BYTES);
}

/// What the answer to [`get_token`] is.
fn read_token(reply: Option<&Value>, run_id: &str) -> Option<Generation> {
    match reply {
        Some(Value::BulkString(bytes)) => Generation::read(bytes, run_id),
        _ => None,
    }
}

/// Why a Redis cannot be used; its URL may hold a password and is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum UnusableRedis {
    /// The URL.
    #[error("not a usable Redis URL ({0:?})")]
    Url(ErrorKind),
    /// The file of certificate authorities.
    #[error("store.ca-file {file}: {why}")]
    CaFile {
        /// Its path.
        file: String,
        /// What is wrong with it.
        why: String,
    },
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
