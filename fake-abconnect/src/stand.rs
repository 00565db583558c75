//! The state of a running stand-in: one for all its connections.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, RwLock};

use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use ring::error::Unspecified;
use tokio::sync::watch;

use crate::api::{self, Answer, Asked};
use crate::calls::Log;
use crate::compress::Compressor;
use crate::data::{Origin, Store};
use crate::gate::Gates;
use crate::identity::{Caller, Identity};
use crate::knobs::{Board, Knobs};
use crate::locks::{lock, read, write};
use crate::options::{Access, Generation, Options};
use crate::pages::Pages;
use crate::problem::Problem;
use crate::query::Query;
use crate::routes::{self, Action, Found};

pub(crate) struct Stand {
    generation: Generation,
    store: RwLock<Store>,
    /// Good answers to `GET`s by their target as spelled. Filled while the store is locked for reading and emptied
    /// while it is locked for writing, so a page is never older than the data.
    pages: Mutex<Pages>,
    pub(crate) identity: Identity,
    pub(crate) board: Board,
    pub(crate) gates: Arc<Gates>,
    pub(crate) log: Log,
    pub(crate) compressor: Compressor,
    /// Turns true when everything is to end.
    pub(crate) stop: watch::Sender<bool>,
    /// Counts the orders to close the connections.
    pub(crate) sweeps: watch::Sender<u64>,
    pub(crate) connections: AtomicUsize,
}

/// Why a request got no good answer from the API.
pub(crate) enum Refused {
    Problem(Problem),
    /// The path knows these methods only.
    OtherMethod(String),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Stand {
    /// `url` is where clients find this stand-in.
    pub(crate) fn new(options: Options, url: &str) -> Result<Self, Unspecified> {
        let origin = Origin {
            generation: options.generation,
            seed: options.seed,
            sellers: options.knobs.sellers.unwrap_or(options.sellers),
            today: options.today.unwrap_or_else(|| crate::moment::Moment::now().0.date()),
            base_url: url.to_owned(),
        };
        Ok(Self {
            generation: options.generation,
            store: RwLock::new(Store::generate(origin)),
            pages: Mutex::default(),
            identity: Identity::new(url.to_owned(), &options)?,
            board: Board::new(options.knobs),
            gates: Arc::default(),
            log: Log::new(options.log_calls, options.call_limit),
            compressor: Compressor::default(),
            stop: watch::Sender::new(false),
            sweeps: watch::Sender::new(0),
            connections: AtomicUsize::new(0),
        })
    }

    /// Looks at the data.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Store) -> T) -> T {
        at(&read(&self.store))
    }

    /// Turns knobs, and makes the data anew where their number was turned.
    pub(crate) fn turn(&self, change: impl FnOnce(&mut Knobs)) {
        let (before, after) = self.board.turn(change);
        let mut store = write(&self.store);
        if let Some(sellers) = after.sellers.filter(|_| before.sellers != after.sellers) {
            *store = Store::generate(Origin { sellers, ..store.origin().clone() });
        }
        lock(&self.pages).clear();
    }

    /// Answers a request to the API.
    pub(crate) fn api(&self, parts: &Parts, body: &[u8]) -> Result<Answer, Refused> {
        let (action, segments) = match routes::find(self.generation, &parts.method, parts.uri.path()) {
            Found::Endpoint(action, segments) => (action, segments),
            Found::OtherMethod(allow) => return Err(Refused::OtherMethod(allow)),
            Found::Nothing => return Err(Problem::bare(StatusCode::NOT_FOUND).into()),
        };
        let caller = self.identity.caller(&parts.headers)?;
        if !may(caller, action) {
            return Err(Problem::bare(StatusCode::FORBIDDEN).into());
        }
        if !body.is_empty() && !is_json(&parts.headers) {
            return Err(Problem::bare(StatusCode::UNSUPPORTED_MEDIA_TYPE).into());
        }
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let query = Query::parse(parts.uri.query());
        let asked = Asked {
            action,
            segments: &segments,
            query: &query,
            body,
            caller: caller.number,
            page_sizes: (0, 0),
        };
        let answer = if action.is_read() { self.read(target, asked) } else { self.write(&asked) };
        answer.map_err(Refused::Problem)
    }

    fn read(&self, target: &str, asked: Asked<'_>) -> Result<Answer, Problem> {
        let store = read(&self.store);
        // Reads by POST have no body here only if they are wrong, so the body need not be part of the key.
        let by_get = asked.body.is_empty();
        let kept = by_get.then(|| lock(&self.pages).get(target)).flatten();
        if let Some(body) = kept {
            return Ok(Answer { status: StatusCode::OK, body: Some(body) });
        }
        let answer = api::read(&store, &Asked { page_sizes: self.board.page_sizes(), ..asked })?;
        if let Some(body) = answer.body.as_ref().filter(|_| by_get) {
            lock(&self.pages).keep(target, body);
        }
        Ok(answer)
    }

    fn write(&self, asked: &Asked<'_>) -> Result<Answer, Problem> {
        let mut store = write(&self.store);
        let answer = api::write(&mut store, asked)?;
        lock(&self.pages).clear();
        Ok(answer)
    }
}

fn may(caller: Caller, action: Action) -> bool {
    match caller.access {
        Access::Full => true,
        Access::Nothing => false,
        Access::ReadsWithoutSellerList => action.is_read() && action != Action::SellerList,
    }
}

/// `application/json`, `text/json` and `application/…+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let structured = media_type.starts_with("application/") && media_type.ends_with("+json");
    structured || media_type == "application/json" || media_type == "text/json"
}
