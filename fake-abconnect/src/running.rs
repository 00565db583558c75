//! Starting a stand-in, and what a test can ask of one that runs.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::calls::Call;
use crate::data::{
    CatalogDetail, Store, WITH_MANY_CATALOGS, WITHOUT_CATALOGS, catalog_dto, lot_dto, seller_expanded_dto,
};
use crate::gate::{Gate, Stage};
use crate::knobs::{Knobs, Rule};
use crate::matching::Matching;
use crate::options::Options;
use crate::server;
use crate::stand::Stand;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Starts stand-ins.
#[derive(Debug)]
pub struct FakeAbconnect;

impl FakeAbconnect {
    /// Starts a stand-in on the tokio runtime of the caller. It answers as soon as this returns.
    ///
    /// # Errors
    ///
    /// Outside a runtime, and where the address cannot be listened on.
    pub fn start(options: Options) -> io::Result<Running> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let (running, serve) = prepared(options)?;
        runtime.spawn(serve);
        Ok(running)
    }

    /// Starts a stand-in on so many threads of its own, with a runtime of its own: for benchmarks, and for callers
    /// without a runtime.
    ///
    /// # Errors
    ///
    /// Where threads cannot be started or the address cannot be listened on.
    pub fn start_on_own_threads(options: Options, threads: usize) -> io::Result<Running> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("fake-abconnect")
            .enable_all()
            .build()?;
        let (running, serve) = {
            let _within = runtime.enter();
            prepared(options)?
        };
        thread::Builder::new().name("fake-abconnect".to_owned()).spawn(move || {
            runtime.block_on(serve);
            runtime.shutdown_background();
        })?;
        Ok(running)
    }
}

fn prepared(options: Options) -> io::Result<(Running, impl Future<Output = ()> + Send + 'static)> {
    let listener = listen(options.listen)?;
    let addr = listener.local_addr()?;
    let url = options.public_url.clone().unwrap_or_else(|| format!("http://{addr}"));
    let stand = Stand::new(options, &url).map_err(|_| io::Error::other("the test key cannot be read"))?;
    let stand = Arc::new(stand);
    let (done, is_done) = oneshot::channel();
    let serve = server::serve(Arc::clone(&stand), listener, done);
    Ok((Running { addr, url, stand, is_done: Some(is_done) }, serve))
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// A stand-in that runs. Dropping it stops it soon; [`Running::stop`] stops it and says when.
pub struct Running {
    addr: SocketAddr,
    url: String,
    stand: Arc<Stand>,
    is_done: Option<oneshot::Receiver<Infallible>>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stand.stop.send_replace(true);
    }
}

/// Where it is, and its end.
impl Running {
    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base of all URLs, without a slash at the end: `http://127.0.0.1:4567`, or [`Options::public_url`].
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it: no more connections, and those there are closed at once. When this returns, its port is free.
    pub async fn stop(mut self) {
        self.stand.stop.send_replace(true);
        if let Some(is_done) = self.is_done.take() {
            // An error is what is waited for: the sender has gone.
            let _ = is_done.await;
        }
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.stand.connections.load(Ordering::Relaxed)
    }

    /// Closes all idle connections, without a word; busy ones close after their answer, which may say so.
    pub fn close_connections(&self) {
        self.stand.sweeps.send_modify(|sweeps| *sweeps += 1);
    }
}

/// Tokens.
impl Running {
    /// A new token for this user, as the token endpoint would give it. A user who does not exist gets one too: it is
    /// valid, and good for nothing but 403s.
    pub fn token(&self, user: &str) -> String {
        signed(self.stand.identity.mint_usual(user))
    }

    /// A new token for this user, valid for so many seconds from now.
    pub fn token_for_seconds(&self, user: &str, seconds: i64) -> String {
        signed(self.stand.identity.mint(user, seconds))
    }

    /// A token for this user that expired an hour ago.
    pub fn expired_token(&self, user: &str) -> String {
        self.token_for_seconds(user, -3600)
    }

    /// From now on this token gets 401s.
    pub fn revoke(&self, token: &str) {
        self.stand.identity.revoke(token);
    }

    /// The header and the claims of a new token for this user, for a test to change before [`Running::sign`].
    pub fn header_and_claims(&self, user: &str) -> (Value, Value) {
        let claims = signed(self.stand.identity.claims(user, 3600));
        (self.stand.identity.signer.header(), value(&claims))
    }

    /// A token of exactly this header and these claims. It is signed by the published key and the algorithm that the
    /// header names; where no such key is published, by the newest, and where that key cannot, not at all.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        signed(self.stand.identity.signer.sign(header, claims))
    }

    /// From now on tokens are signed by a new key, ES256; the keys before are still published, and their tokens good.
    pub fn rotate_keys(&self) {
        signed(self.stand.identity.rotate_keys());
    }

    /// Only the newest key is published from now on; tokens that others signed get 401s.
    pub fn retire_keys(&self) {
        self.stand.identity.retire_keys();
    }
}

#[expect(
    clippy::expect_used,
    reason = "only memory or the system's randomness can fail here, and nothing a client sends"
)]
fn signed<T>(made: Result<T, ring::error::Unspecified>) -> T {
    made.expect("keys can be made, and sign")
}

/// Knobs, gates and calls.
impl Running {
    /// Turns knobs, from the next request on.
    pub fn knobs(&self, change: impl FnOnce(&mut Knobs)) {
        self.stand.turn(change);
    }

    /// The knobs as they are: rules that count have counted down.
    pub fn knobs_now(&self) -> Knobs {
        self.stand.board.now()
    }

    /// Adds a rule after those there are.
    pub fn rule(&self, rule: Rule) {
        self.knobs(|knobs| knobs.rules.push(rule));
    }

    /// Removes all rules.
    pub fn clear_rules(&self) {
        self.knobs(|knobs| knobs.rules.clear());
    }

    /// Holds the answers to requests that fit: they are made at once, and sent when the gate lets them.
    #[must_use = "a gate that is dropped is open"]
    pub fn gate(&self, matching: Matching) -> Gate {
        self.stand.gates.close(matching, Stage::Answer)
    }

    /// Holds requests that fit before anything is done about them: they see the data as it is after the release.
    #[must_use = "a gate that is dropped is open"]
    pub fn gate_before(&self, matching: Matching) -> Gate {
        self.stand.gates.close(matching, Stage::Arrival)
    }

    /// The calls received, oldest first, but for those to `/_fake/knobs` and `/_fake/calls`.
    pub fn calls(&self) -> Vec<Call> {
        self.calls_that(&Matching::all())
    }

    /// Those whose path starts with this; case does not count.
    pub fn calls_to(&self, path: &str) -> Vec<Call> {
        self.calls_that(&Matching::path(path))
    }

    /// Those that fit.
    pub fn calls_that(&self, fit: &Matching) -> Vec<Call> {
        self.stand.log.calls(fit)
    }

    /// Forgets the calls so far.
    pub fn clear_calls(&self) {
        self.stand.log.clear();
    }

    /// Switches the log of calls.
    pub fn log_calls(&self, on: bool) {
        self.stand.log.switch(on);
    }

    /// Waits until the log has at least `count` calls that fit, and gives them. For ever, if they do not come.
    pub async fn wait_for_calls(&self, fit: &Matching, count: usize) -> Vec<Call> {
        self.stand.log.wait_for(fit, count).await
    }
}

/// The data, as the API would answer it at this moment.
impl Running {
    /// The id of the seller with 230 catalogs, one a day: 115 start before today, one today at midnight and 114 later.
    /// It is 42, where there is any seller.
    pub fn seller_with_many_catalogs(&self) -> i32 {
        WITH_MANY_CATALOGS
    }

    /// The id of the seller without catalogs. It is 2, where there are two sellers or more.
    pub fn seller_without_catalogs(&self) -> i32 {
        WITHOUT_CATALOGS
    }

    /// All items of `GET /api/Seller`, in order.
    pub fn sellers(&self) -> Vec<Value> {
        self.stand
            .look(|store| store.sellers().map(|seller| value(&seller_expanded_dto(store, seller))).collect())
    }

    /// `GET /api/Seller/{id}`.
    pub fn seller(&self, id: i32) -> Option<Value> {
        self.stand.look(|store| store.seller(id).map(|seller| value(&seller_expanded_dto(store, seller))))
    }

    /// All items of `GET /api/Catalog`, in order. There are thousands, with their lots: filter where possible.
    pub fn catalogs(&self) -> Vec<Value> {
        self.stand.look(|store| shown_catalogs(store, |_| true))
    }

    /// All items of `GET /api/Catalog?SellerIds={seller}`, in order.
    pub fn catalogs_of(&self, seller: i32) -> Vec<Value> {
        self.stand.look(|store| shown_catalogs(store, |sellers| sellers.contains(&seller)))
    }

    /// `GET /api/Catalog/{id}`.
    pub fn catalog(&self, id: i32) -> Option<Value> {
        self.stand.look(|store| {
            let catalog = store.catalog(id)?;
            Some(value(&catalog_dto(store, catalog, CatalogDetail::WithLots)))
        })
    }

    /// `GET /api/Lot/{id}`.
    pub fn lot(&self, id: i32) -> Option<Value> {
        self.stand.look(|store| store.lot(id).map(|lot| value(&lot_dto(store.generation(), lot))))
    }
}

fn shown_catalogs(store: &Store, of: impl Fn(&[i32]) -> bool) -> Vec<Value> {
    let wanted = store.catalogs().filter(|catalog| of(&catalog.sellers));
    wanted.map(|catalog| value(&catalog_dto(store, catalog, CatalogDetail::WithLots))).collect()
}

fn value<T: serde::Serialize>(shown: &T) -> Value {
    // Through the text, so that numbers are what a client reads.
    let text = crate::json::to_json(shown).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}
