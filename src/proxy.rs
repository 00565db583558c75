//! The life of a request, start to finish. Only this module knows the order of the steps.

mod ask;
mod at_once;
mod begun;
mod declined;
pub mod operate;
mod passing;
mod read;
mod uploading;
mod usable;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::future::{BoxFuture, Either, Ready, ready};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::begun::Begun;
pub use self::{passing::Passing, uploading::Uploading};
use crate::{
    admit::{Admission, Caller, token},
    body::Body,
    cache::{Cache, StoreHealth, Told, UnusableStore},
    classify::{Asked, Class, Classifier, Effect, Read, Reason},
    clock::Clock,
    config::{Config, StoreKind},
    deadline::Pace,
    dial::Dialler,
    fill::{FillError, Filler},
    forward::Forwarder,
    respond::{self, rendered::Pages, text::Text},
    telemetry::{Chain, NO_ROUTE, Telemetry, outcome::Outcome, route::RouteTelemetry},
    trace::{self, Step},
    upstream::{RequestBody, Spelling, Upstream, UpstreamError, UpstreamUnusable},
};

/// Answers requests. Cheap to clone.
#[derive(Clone)]
pub struct Proxy(Arc<Inner>);

struct Inner {
    classifier: Classifier,
    admission: Admission,
    cache: Cache<FillError>,
    filler: Filler,
    pages: Pages,
    forwarder: Forwarder,
    /// What is counted of each route, by its place.
    watched: Vec<Arc<RouteTelemetry>>,
    /// Of what is of none.
    unrouted: Arc<RouteTelemetry>,
    /// At which clients must send.
    pace: Pace,
    ground: Ground,
    common: Common,
}

/// An answer: there at once, or when whoever is asked for it has answered.
pub type Answering = Either<Ready<Response<Body>>, BoxFuture<'static, Response<Body>>>;

/// Where a proxy's writes make entries void.
#[derive(PartialEq)]
struct Ground {
    store: StoreKind,
    prefix: String,
    routes: Vec<String>,
}

impl Ground {
    fn of(config: &Config) -> Self {
        let routes = config.routes.iter().map(|route| route.name.clone()).collect();
        Self { store: config.store.kind.clone(), prefix: config.store.prefix.clone(), routes }
    }
}

/// What the proxies of one server have in common: the one in office, and those that finish what they have begun.
#[derive(Clone)]
struct Common {
    clock: Clock,
    dialler: Dialler,
    telemetry: Arc<Telemetry>,
    /// What goes on without its request: writes whose client has left, tunnels.
    tasks: TaskTracker,
    /// Ends the tunnels.
    cut: CancellationToken,
    siblings: Siblings,
}

/// All of them. None is kept alive by it.
type Siblings = Arc<Mutex<Vec<Weak<Inner>>>>;

/// Why a configuration cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The upstream.
    #[error("the upstream cannot be used")]
    Upstream(#[from] UpstreamUnusable),
    /// The server that publishes keys.
    #[error("the identity server cannot be used")]
    Identity(#[source] UpstreamUnusable),
    /// The store.
    #[error("the store cannot be used")]
    Store(#[from] UnusableStore),
}

impl Proxy {
    /// A proxy as configured. Connects to nothing yet.
    ///
    /// # Errors
    /// Where TLS or the store cannot work as configured.
    pub fn new(config: &Config, clock: Clock) -> Result<Self, Unusable> {
        Self::dialling(config, clock, Dialler::system())
    }

    /// A proxy as configured that opens its connections by `dialler`. Connects to nothing yet.
    ///
    /// # Errors
    /// As [`Proxy::new`].
    pub fn dialling(config: &Config, clock: Clock, dialler: Dialler) -> Result<Self, Unusable> {
        let common = Common {
            clock,
            dialler,
            telemetry: Arc::default(),
            tasks: TaskTracker::new(),
            cut: CancellationToken::new(),
            siblings: Siblings::default(),
        };
        let Common { clock, dialler, telemetry, .. } = common.clone();
        let proxy = Self::around(Cache::new(config, clock, telemetry, dialler)?, config, common)?;
        proxy.join_siblings();
        Ok(proxy)
    }

    /// A proxy as configured that may take over from this one: it goes on with its counts and, where that stays the
    /// same, its store in memory. What this one remembers of tokens, and its copies, it does not know.
    ///
    /// # Errors
    /// As [`Proxy::new`].
    pub fn successor(&self, config: &Config) -> Result<Self, Unusable> {
        let Inner { common, cache, .. } = &*self.0;
        Self::around(cache.successor(config, common.dialler.clone())?, config, common.clone())
    }

    fn around(cache: Cache<FillError>, config: &Config, common: Common) -> Result<Self, Unusable> {
        let Common { clock, telemetry, dialler, tasks, cut, .. } = &common;
        let upstream = Arc::new(Upstream::new(&config.upstream, dialler)?);
        Ok(Self(Arc::new(Inner {
            classifier: Classifier::new(config),
            admission: Admission::new(config, clock.clone(), Arc::clone(telemetry), dialler)
                .map_err(Unusable::Identity)?,
            cache,
            filler: Filler::new(config, Arc::clone(&upstream), Arc::clone(telemetry)),
            pages: Pages::new(config, Arc::clone(telemetry)),
            forwarder: Forwarder::new(upstream, tasks.clone(), cut.clone()),
            watched: config.routes.iter().map(|route| telemetry.route(&route.name)).collect(),
            unrouted: telemetry.route(NO_ROUTE),
            pace: Pace::of(config.clients.min_rate),
            ground: Ground::of(config),
            common,
        })))
    }

    /// From here on what a write through this proxy changes is void in that one, too; to be called before that one
    /// answers its first request.
    pub async fn hand_over(&self, successor: &Self) {
        successor.join_siblings();
        // The store has not heard of a write yet: that one must not believe it either, until it has. And what lies where
        // this one did not look, or under routes that it did not have, may have been changed meanwhile.
        if self.0.cache.owes() || self.0.ground != successor.0.ground {
            successor.void_all().await;
        }
    }

    /// Connects to the store and fetches the published keys, so that the first request need not; says so once where
    /// they are away.
    pub async fn greet(&self) {
        tokio::join!(self.0.cache.greet(), self.0.admission.greet());
    }

    /// Returns once it is known where the store is, as far as that must be asked; after a second in any case. From
    /// [`Proxy::greet`] on.
    pub async fn looked(&self) {
        self.0.cache.looked().await;
    }

    /// What the store says of its keys, unasked. `None` where no copies are kept in this process.
    #[must_use]
    pub fn told_by_store(&self) -> Option<watch::Receiver<Told>> {
        self.0.cache.told()
    }

    /// How the store is.
    #[must_use]
    pub fn store_health(&self) -> StoreHealth {
        self.0.cache.health()
    }

    /// Waits for what goes on without a client: writes that one has left behind, tunnels. For the end, when no
    /// more requests come.
    pub async fn settle(&self) {
        self.0.common.tasks.close();
        self.0.common.tasks.wait().await;
    }

    /// Closes all tunnels, those of this server's other proxies too. For the end.
    pub fn cut_tunnels(&self) {
        self.0.common.cut.cancel();
    }

    /// What was counted so far.
    #[must_use]
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.0.common.telemetry
    }

    /// Commands sent to the store so far.
    #[must_use]
    pub fn store_commands(&self) -> u64 {
        self.0.cache.store_commands()
    }

    /// Answers one request of a client, whose fields are spelled so. See [`Proxy::answer`].
    pub fn handle(&self, request: Request<Incoming>, spelling: Option<Arc<Spelling>>) -> Answering {
        let (limit, pace) = (self.0.forwarder.body_timeout(), self.0.pace);
        self.answer(request.map(|body| RequestBody::of_client(body, limit, pace).behind(spelling)))
    }

    /// Answers one request. Whoever leaves drops this; fills and writes go on without it.
    pub fn answer(&self, mut request: Request<RequestBody>) -> Answering {
        let (body, begun) = (!request.body().is_empty(), Begun::now(request.method(), request.uri()));
        let proxy = self.clone();
        let step = trace::step(Step::Classify);
        let class = self.0.classifier.classify(request.method(), request.uri(), request.headers(), body);
        step.end();
        Either::Right(match class {
            Class::Read(read) => {
                trace::route(&read.route);
                let caller = self.caller(&read, request.headers(), begun.at());
                if let Ok(caller) = &caller
                    && let Some(page) = self.at_once(&read, caller, &begun)
                {
                    let fields = std::mem::take(request.headers_mut());
                    return Either::Left(ready(self.answer_at_once(&read, &page, fields, &begun)));
                }
                Box::pin(async move { proxy.read(request, &read, caller, &begun).await })
            }
            Class::Forward(reason) => {
                Box::pin(async move { proxy.forward(request, reason, None, &begun).await })
            }
            Class::Write(effect) => Box::pin(async move { proxy.write(request, effect, begun).await }),
        })
    }

    /// What a GET without a body asks for, or why it is passed on whatever its fields say. `None`: that is not clear from
    /// its target alone.
    #[must_use]
    pub fn asked(&self, target: &str) -> Option<Result<Arc<Asked>, Reason>> {
        self.0.classifier.asked_plainly(target)
    }

    /// The answer to a GET without a body that asks for this with this target, if its one `Authorization` is known, and it
    /// is there. `fields` are the others.
    #[must_use]
    pub fn at_hand(
        &self,
        target: &str,
        asked: Arc<Asked>,
        authorization: &[u8],
        fields: &HeaderMap,
    ) -> Option<Text> {
        let begun = Begun::plain(&Method::GET, target);
        let step = trace::step(Step::Classify);
        let read = Classifier::plain_read(asked, fields)?;
        step.end();
        trace::route(&read.route);
        let step = trace::step(Step::Admit);
        let caller = self.0.admission.known(&read, authorization, begun.at())?;
        step.end();
        if self.0.cache.is_too_large(&read) {
            return None;
        }
        let page = self.at_once(&read, &caller, &begun)?;
        Some(self.say_at_once(&read, &page, fields, &begun))
    }

    /// Who asks for this, or why the request is to be forwarded.
    fn caller(&self, read: &Read, fields: &HeaderMap, now: Instant) -> Result<Caller, Reason> {
        let _step = trace::step(Step::Admit);
        let caller = self.0.admission.caller(read, fields, now)?;
        if self.0.cache.is_too_large(read) { Err(Reason::TooLarge) } else { Ok(caller) }
    }

    /// Passes a request on, of this route where it is of one.
    async fn forward(
        &self,
        request: Request<RequestBody>,
        reason: Reason,
        route: Option<usize>,
        begun: &Begun,
    ) -> Response<Body> {
        let sender = Sender::of(&request);
        let sent = Instant::now();
        let passed = self.0.forwarder.pass(request).await;
        self.note_upstream(sent, passed.as_ref().err());
        let answer = match passed {
            Ok(answer) => {
                self.heard(|| sender, answer.status());
                respond::forwarded(answer, reason)
            }
            Err(error) => unforwarded(&error, reason),
        };
        self.note(route, Outcome::Forwarded(reason), begun, answer.status());
        answer
    }

    /// A request that was sent then has the head of its answer, or none for this reason.
    fn note_upstream(&self, sent: Instant, failed: Option<&UpstreamError>) {
        // A client that breaks off says nothing of the upstream.
        if !matches!(failed, Some(UpstreamError::ClientLate | UpstreamError::ClientBroken)) {
            let answered = failed.map_or_else(|| Ok(sent.elapsed()), |error| Err(error.kind()));
            self.0.common.telemetry.upstream(answered);
        }
    }

    /// A request has an answer's head, of this kind.
    fn note(&self, route: Option<usize>, outcome: Outcome, begun: &Begun, status: StatusCode) {
        let route = route.and_then(|route| self.0.watched.get(route)).unwrap_or(&self.0.unrouted);
        let took = begun.end(route.name(), outcome, status);
        self.0.common.telemetry.request(route, outcome, took);
        trace::outcome(outcome.labels());
    }

    /// A request was refused before it came here, with this status.
    pub fn note_refused(&self, method: &Method, target: &Uri, status: StatusCode) {
        self.note(None, Outcome::Refused, &Begun::now(method, target), status);
    }

    /// A write runs in a task of its own: a client that leaves does not cancel it. Before the first byte of
    /// its answer goes out, what it may have changed is void.
    async fn write(&self, request: Request<RequestBody>, effect: Effect, begun: Begun) -> Response<Body> {
        let (proxy, routes) = (self.clone(), effect.routes.clone());
        let task = self.0.common.tasks.spawn(trace::current().around(async move {
            let answer = proxy.forward(request, Reason::Method, None, &begun).await;
            let by_upstream = matches!(answer.body(), Body::Passed(_));
            if is_refused(answer.status(), by_upstream, effect.partial) {
                return answer;
            }
            proxy.void(&effect.routes).await;
            // An upstream may say how it will go before it is done: what was filled meanwhile is void, too.
            answer.map(|body| body.followed_by(async move { proxy.void(&effect.routes).await }))
        }));
        match task.await {
            Ok(answer) => answer,
            Err(_) => self.failed_write(&routes).await,
        }
    }

    /// What the client gets where a write has panicked, perhaps after it was sent.
    async fn failed_write(&self, routes: &[usize]) -> Response<Body> {
        self.0.common.telemetry.panicked();
        self.void(routes).await;
        respond::internal()
    }

    /// A write that changed these routes was answered. Where there are other proxies of the same server, all that they
    /// have is void: their routes may have other names.
    async fn void(&self, routes: &[usize]) {
        self.0.cache.void(routes).await;
        for sibling in self.siblings() {
            sibling.void_all().await;
        }
    }

    async fn void_all(&self) {
        self.0.cache.void(&self.0.classifier.all_routes()).await;
    }

    /// What the upstream's answer to a forwarded request says about its token.
    fn heard(&self, sender: impl FnOnce() -> Sender, status: StatusCode) {
        // Of the others nothing is to be learnt.
        if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return;
        }
        let sender = sender();
        let Some(token) = sender.authorization.as_ref().and_then(token::bearer_in) else { return };
        self.0.admission.heard(&token, &self.0.classifier.routes_at(sender.target.path()), status);
        for sibling in self.siblings() {
            sibling.0.admission.heard(&token, &sibling.0.classifier.all_routes(), status);
        }
    }

    fn join_siblings(&self) {
        let mut all = self.0.common.siblings.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|sibling| sibling.strong_count() > 0);
        all.push(Arc::downgrade(&self.0));
    }

    /// The others that still answer requests; seldom any.
    fn siblings(&self) -> Vec<Self> {
        let all = self.0.common.siblings.lock().unwrap_or_else(PoisonError::into_inner);
        let living = all.iter().filter_map(Weak::upgrade);
        living.filter(|sibling| !Arc::ptr_eq(sibling, &self.0)).map(Self).collect()
    }
}

/// What a client gets whose request was passed on and not answered.
fn unforwarded(error: &UpstreamError, reason: Reason) -> Response<Body> {
    tracing::warn!(trace_id = trace::id(), "not forwarded: {}", Chain(error));
    respond::unforwarded(error, reason)
}

/// Whether the upstream certainly did nothing. Our own 502 and 504 are no word of the upstream's.
fn is_refused(status: StatusCode, by_upstream: bool, partial: bool) -> bool {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => by_upstream,
        StatusCode::REQUEST_TIMEOUT => false,
        _ => by_upstream && !partial && status.is_client_error(),
    }
}

/// Who sent a forwarded request, for what its answer says about the token.
struct Sender {
    authorization: Option<HeaderValue>,
    target: Uri,
}

impl Sender {
    fn of(request: &Request<RequestBody>) -> Self {
        let authorization = token::only(request.headers()).flatten().cloned();
        Self { authorization, target: request.uri().clone() }
    }
}
