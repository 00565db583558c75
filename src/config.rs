//! What the program runs on. These types cannot hold nonsense: `raw` is what a file says, [`check`]
//! turns it into this and reports every problem at its place.

pub mod certificate;
pub mod check;
pub mod jwks;
pub mod pattern;
pub mod profile;
mod raw;
pub(crate) mod redis_url;
pub mod report;
pub mod secret;
mod summary;
pub(crate) mod units;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use http::uri::Authority;
use jiff::tz::TimeZone;

use crate::project::Projection;
use pattern::{PathPattern, WritePattern};
use secret::Secret;

/// Everything that a proxy needs to know before it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// The profile's name or the file's path, for the start line.
    pub name: String,
    /// A word to the operator at the end of the start line.
    pub note: Option<String>,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// The operator's own listener; `None`: there is none.
    pub admin: Option<Admin>,
    /// What clients' TLS is made of; `None`: they speak in the clear.
    pub tls: Option<Tls>,
    /// What clients may take of this process.
    pub clients: Clients,
    /// The one server that this proxy fronts.
    pub upstream: Upstream,
    /// Where entries are kept.
    pub store: Store,
    /// Who may read an entry.
    pub admission: Admission,
    /// The bounds of a fill.
    pub fill: Fill,
    /// The bundled frontend; `None`: it is switched off.
    pub ui: Option<Ui>,
    /// Where traces go; `None`: there are none.
    pub traces: Option<Traces>,
    /// The zone whose calendar says what today is.
    pub time_zone: TimeZone,
    /// The intercepted requests; names, keys and paths are distinct.
    pub routes: Vec<Arc<Route>>,
    /// Writes that change no route, whatever their outcome.
    pub harmless: Vec<WritePattern>,
    /// Writes that may have been half done although a 4xx other than 401 and 403 was answered.
    pub partial: Vec<WritePattern>,
}

/// The operator's own listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Another address than clients connect to; one that only this machine reaches, or there is a token.
    pub listen: SocketAddr,
    /// What must be said for everything but health. Visible ASCII, at least [`ADMIN_TOKEN_BYTES`] of it.
    pub token: Option<Secret<String>>,
}

/// A shorter token could be guessed.
pub const ADMIN_TOKEN_BYTES: usize = 16;

/// Where a server's certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM: the server's certificate, and those between it and an authority.
    pub certificate: PathBuf,
    /// PEM: the certificate's key.
    pub key: PathBuf,
}

/// What clients may take of this process, and the patience with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    /// Connections at a time.
    pub connections: usize,
    /// Connections at a time of one address; an IPv6 address counts by its first 64 bits.
    pub connections_per_address: usize,
    /// From a connection's opening, or the first byte of a later request, to the whole head.
    pub head_timeout: Duration,
    /// From an answer to the next request's first byte.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of what is there for it.
    pub stall_timeout: Duration,
    /// Bytes for each second that a client is waited for, either way, after the first 20 s; 0: any pace will do.
    pub min_rate: u64,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Fields of a request's head.
    pub head_fields: usize,
    /// Bytes of a request's target.
    pub target_bytes: usize,
    /// Requests at a time on a connection of HTTP/2.
    pub streams: u32,
    /// Methods that are none of GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE are forwarded.
    pub other_methods: bool,
    /// Plain requests whose answers are at hand are read and answered by a loop of our own; else hyper reads all.
    pub hit_loop: bool,
    /// Plain requests that are passed on whatever their fields say are passed on by a loop of our own; else by hyper.
    pub relay_loop: bool,
    /// What is in flight may take this long once the process is told to stop.
    pub drain_timeout: Duration,
}

/// The upstream and the patience with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// HTTPS where true.
    pub tls: bool,
    /// Host and optional port; what `Host` says upstream.
    pub authority: Authority,
    /// PEM file of certificate authorities in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// HTTP/2 is offered, where there is TLS.
    pub http2: bool,
    /// From the first SYN to a usable connection, TLS included.
    pub connect_timeout: Duration,
    /// From the last piece of the request sent to the answer's head.
    pub head_timeout: Duration,
    /// Between two pieces of a body, either way.
    pub body_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// How many unused connections are kept.
    pub idle_connections: usize,
    /// Requests on their way at a time; over HTTP/1 each has a connection of its own.
    pub connections: usize,
}

impl Upstream {
    /// The base URL as it enters an entry's shape.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.authority)
    }
}

/// The store and what is common to all kinds of it.
#[derive(Clone, Debug)]
pub struct Store {
    /// Which store.
    pub kind: StoreKind,
    /// PEM file of certificate authorities for a Redis with TLS, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// Every key begins with it; not empty.
    pub prefix: String,
    /// What all store work of one request may take together.
    pub budget: Duration,
    /// An entry of more bytes than this is not stored.
    pub max_entry_bytes: usize,
    /// The in-process copies of what is in Redis; `None`: none are kept.
    pub near: Option<Near>,
    /// Pages that were made of entries, in all their codings, are kept up to so many bytes.
    pub page_bytes: u64,
}

/// The in-process copies of what is in Redis.
#[derive(Clone, Debug)]
pub struct Near {
    /// All copies together.
    pub max_bytes: u64,
    /// How long a copy may be served before Redis is asked again, whatever it says of itself.
    pub limit: Duration,
}

/// Which store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A Redis server, by URL.
    Redis(Secret<String>),
    /// This process's memory, bounded by bytes.
    Memory {
        /// The bound.
        max_bytes: u64,
    },
    /// None: the environment's Redis URL was not usable. Every list is filled from the upstream.
    Absent,
}

/// Who may read an entry.
#[derive(Clone, Debug)]
pub enum Admission {
    /// A token that the upstream has accepted, at most this long ago, for what it asks.
    Upstream {
        /// How long the upstream's yes is remembered.
        vouch_limit: Duration,
        /// For what else it counts.
        vouch_for: VouchFor,
    },
    /// A token that was checked here against published keys.
    Jwks(Arc<jwks::Jwks>),
    /// Everybody: for an upstream that asks for no token.
    Open,
}

/// What the upstream's yes to a token counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VouchFor {
    /// The key that was asked for, and no other.
    #[default]
    Key,
    /// All keys of the route: for an upstream whose rights go by role. Totals are then not compared.
    Route,
}

/// The bounds of a fill.
#[derive(Clone, Debug)]
pub struct Fill {
    /// `PageSize` of a fill's requests.
    pub page_size: u32,
    /// Pages asked for at a time.
    pub parallel_pages: usize,
    /// Fills at a time, in the whole process.
    pub parallel_fills: usize,
    /// Fills that wait for their turn; what comes beyond is forwarded.
    pub waiting_fills: usize,
    /// Pages of one collection.
    pub max_pages: u32,
    /// Items of one collection.
    pub max_items: usize,
    /// Bytes of one page, before and after decoding.
    pub max_page_bytes: usize,
    /// Bytes of one projected collection.
    pub max_bytes: usize,
    /// From the start of a fill to its end, waiting for its turn included.
    pub timeout: Duration,
    /// How long a collection that was too large is remembered as such.
    pub too_large_for: Duration,
}

/// The bundled frontend: how its users sign in, and what keeps their sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ui {
    /// The identity server, whose token endpoint is `/connect/token`; one connection is kept.
    pub identity: Upstream,
    /// From a question to the identity server to its whole answer, connecting included.
    pub identity_timeout: Duration,
    /// What a sign-in asks for: `scope` of the password grant; not empty.
    pub scope: String,
    /// As whom the frontend asks for tokens; `None`: nobody can sign in.
    pub client: Option<Client>,
    /// What sessions are sealed with.
    pub key: SessionKey,
    /// From a sign-in to the next one, however often the token is refreshed.
    pub session_limit: Duration,
    /// Browsers send the session over HTTPS only.
    pub secure_cookie: bool,
    /// The demo's user, whose password is its name: the sign-in page has both filled in.
    pub demo_user: Option<String>,
}

/// A client as the identity server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// `client_id`; not empty.
    pub id: String,
    /// `client_secret`; not empty.
    pub secret: Secret<String>,
}

/// What sessions are sealed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionKey {
    /// The operator's: sessions outlive this process, and all replicas know them.
    Given(Secret<[u8; 32]>),
    /// Made at the start and known to nobody else.
    Random,
}

/// Traces: who collects them, of which requests there are some, and as whose.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// The collector, which speaks OTLP over HTTP.
    pub collector: Upstream,
    /// Path and query there.
    pub target: String,
    /// The part of those traces that begin here, from 0 to 1.
    pub ratio: f64,
    /// What the client has decided counts, where it says; the ratio is for the others.
    pub parent_based: bool,
    /// The name of this service; not empty.
    pub service: String,
    /// What else is said of it.
    pub resource: Vec<(String, String)>,
}

/// One configured intercepted request.
#[derive(Debug)]
pub struct Route {
    /// Letters, digits and `-`; in the generation's key, logs and metrics.
    pub name: String,
    /// A paged list or a single object.
    pub kind: RouteKind,
    /// The path of the request.
    pub path: PathPattern,
    /// Query parameters that name the collection, each required exactly once.
    pub query: Vec<String>,
    /// The key without the prefix: literals and parameters in turn.
    pub key: Vec<KeyPart>,
    /// What of each item is kept.
    pub projection: Projection,
    /// Which items are kept: those whose date is today or later.
    pub keep: Option<Keep>,
    /// How long an entry may be served as fresh.
    pub ttl: Duration,
    /// When it may be served although it is not.
    pub stale: Stale,
    /// Known writes that change this route's collections.
    pub invalidated_by: Vec<WritePattern>,
    /// All of the above in one line, from which the shape of entries is made.
    pub description: String,
}

impl Route {
    /// The age at which an entry is served to nobody any more.
    #[must_use]
    pub fn life(&self) -> Duration {
        self.ttl + self.stale.while_revalidate.max(self.stale.if_error)
    }
}

/// How long past its ttl an entry may be served (RFC 5861); zero: not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stale {
    /// At once, while it is filled anew.
    pub while_revalidate: Duration,
    /// Where filling it anew fails: no answer, or a 500, 502, 503 or 504.
    pub if_error: Duration,
}

/// A paged list or a single object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// Pages in the upstream's envelope.
    List {
        /// The upstream's page size where a request names none; `None`: such requests are forwarded.
        default_page_size: Option<u32>,
        /// Requests for larger pages are forwarded.
        max_page_size: u32,
    },
    /// One object, without an envelope.
    Single,
}

/// A piece of a route's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// Text as it stands.
    Literal(String),
    /// The value of a parameter: first those of the path in order, then those of `query`.
    Parameter(usize),
}

/// Only items whose date is today or later are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The projected field, at the top of an item, that holds the date.
    pub field: String,
}
