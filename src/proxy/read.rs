//! A read: admit, look, fill where nothing may be served, and answer – or say why the request is to be
//! forwarded as it came.

use std::{sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;

use super::Proxy;
use crate::{
    admit::Caller,
    body::Body,
    cache::{Entry, Look},
    classify::{Read, Reason},
    config::RouteKind,
    fill::FillError,
    respond::{self, Because, CacheStatus, Served},
};

/// Why a read is not answered from an entry.
enum Declined {
    /// The upstream's own answer to the client's own request is the right one.
    Forward(Reason),
    /// There is no entry, and this is what the client is told.
    Failed(FillError),
}

impl From<FillError> for Declined {
    fn from(error: FillError) -> Self {
        match error {
            FillError::TooLarge(_) => Self::Forward(Reason::TooLarge),
            FillError::Unfit(_) => Self::Forward(Reason::Unfit),
            failed => Self::Failed(failed),
        }
    }
}

/// The upstream's yes to a caller.
#[derive(Clone, Copy)]
struct Proof {
    /// The total that it told with it; `None`: no total is compared.
    total: Option<u64>,
    /// It was asked for this request.
    asked: bool,
}

impl Proof {
    fn agrees(self, entry: &Entry) -> bool {
        self.total.is_none_or(|total| total == entry.collection.total)
    }
}

impl Proxy {
    pub(super) async fn read(&self, request: Request<Incoming>, read: &Read) -> Response<Body> {
        let answered = match self.0.admission.caller(read, request.headers()) {
            Ok(_) if self.0.cache.is_too_large(read) => Err(Declined::Forward(Reason::TooLarge)),
            Ok(caller) => self.serve(read, &caller).await,
            Err(reason) => Err(Declined::Forward(reason)),
        };
        match answered {
            Ok(served) => respond::page(&served, read),
            Err(Declined::Forward(reason)) => self.forward(request, reason).await,
            Err(Declined::Failed(error)) => respond::failed(&error),
        }
    }

    async fn serve(&self, read: &Read, caller: &Caller) -> Result<Served, Declined> {
        let look = self.0.cache.look(read).await;
        // The object itself is the question, and its answer the fill.
        if let (Caller::Unknown { .. }, RouteKind::Single) = (caller, read.route.kind) {
            let because = if look.hit.is_some() { Because::Question } else { Because::Miss };
            return self.refill(read, caller, &look, because).await;
        }
        match &look.hit {
            Some((entry, fresh)) => self.hit(read, caller, &look, entry, *fresh).await,
            None => self.miss(read, caller, &look).await,
        }
    }

    async fn hit(
        &self,
        read: &Read,
        caller: &Caller,
        look: &Look,
        entry: &Arc<Entry>,
        fresh: Duration,
    ) -> Result<Served, Declined> {
        let proof = self.proof(read, caller, entry).await?;
        if !proof.agrees(entry) {
            return self.dispute(read, caller, look, entry, proof).await;
        }
        let status = CacheStatus::Hit { ttl: fresh, asked: proof.asked };
        Ok(Served { entry: Arc::clone(entry), age: read.route.ttl.saturating_sub(fresh), status })
    }

    async fn miss(&self, read: &Read, caller: &Caller, look: &Look) -> Result<Served, Declined> {
        let token = caller.token().cloned();
        let flight = self.0.cache.fill(read, look, token.clone(), false, || self.work(read, caller));
        let (led, own) = (flight.led, flight.leader == token);
        if led || own {
            let entry = self.landed(read, caller, flight.outcome().await)?;
            return Ok(filled(entry, look, Because::Miss, !led));
        }
        // The question goes out while the flight flies; its leader's yes is not this caller's.
        let early = match caller {
            Caller::Unknown { .. } => Some(self.ask(read, caller).await?),
            Caller::Anyone { .. } | Caller::Vouched { .. } => None,
        };
        let entry = match flight.outcome().await {
            Some(Ok(entry)) => entry,
            Some(Err(FillError::Answered(answered))) if answered.status.is_client_error() => {
                return self.refill(read, caller, look, Because::Miss).await;
            }
            outcome => self.landed(read, caller, outcome)?,
        };
        let proof = match early {
            Some(proof) => proof,
            None => self.proof(read, caller, &entry).await?,
        };
        if !proof.agrees(&entry) {
            return self.dispute(read, caller, look, &entry, proof).await;
        }
        Ok(filled(entry, look, Because::Miss, true))
    }

    /// The upstream's yes to this caller for what this entry holds: remembered, or asked for now.
    async fn proof(&self, read: &Read, caller: &Caller, entry: &Entry) -> Result<Proof, Declined> {
        let remembered = match caller {
            Caller::Anyone { .. } => Some(Proof { total: None, asked: false }),
            Caller::Vouched { total, .. } => Some(Proof { total: *total, asked: false }),
            Caller::Unknown { .. } => None,
        };
        match remembered.filter(|proof| proof.agrees(entry)) {
            Some(proof) => Ok(proof),
            None => self.ask(read, caller).await,
        }
    }

    async fn ask(&self, read: &Read, caller: &Caller) -> Result<Proof, Declined> {
        match self.0.filler.ask(read, caller.token().map(AsRef::as_ref)).await {
            Ok(total) => {
                self.0.admission.vouch(caller, total);
                Ok(Proof { total, asked: true })
            }
            Err(error) => Err(self.declined(read, caller, error)),
        }
    }

    /// The entry's total is not what this token was told: it is filled anew with this token, unless that
    /// was tried before and tokens do see different collections.
    async fn dispute(
        &self,
        read: &Read,
        caller: &Caller,
        look: &Look,
        entry: &Entry,
        proof: Proof,
    ) -> Result<Served, Declined> {
        let told = proof.total.unwrap_or(entry.collection.total);
        if self.0.admission.dispute(read, entry.collection.total, told) {
            self.0.telemetry.differs(&read.route.name);
            return Err(Declined::Forward(Reason::Differs));
        }
        self.refill(read, caller, look, Because::Total).await
    }

    /// Fills with this caller's token, for this token alone; what it gives is stored for all.
    async fn refill(
        &self,
        read: &Read,
        caller: &Caller,
        look: &Look,
        because: Because,
    ) -> Result<Served, Declined> {
        let token = caller.token().cloned();
        let flight = self.0.cache.fill(read, look, token, true, || self.work(read, caller));
        let led = flight.led;
        let entry = self.landed(read, caller, flight.outcome().await)?;
        Ok(filled(entry, look, because, !led))
    }

    fn work(
        &self,
        read: &Read,
        caller: &Caller,
    ) -> impl Future<Output = Result<crate::page::Collection, FillError>> + Send + 'static {
        let (filler, read, token) = (self.0.filler.clone(), read.clone(), caller.token().cloned());
        async move { filler.fill(&read, token.as_deref()).await }
    }

    /// What a fill with this caller's token gave: it speaks for the token, for good or ill.
    fn landed(
        &self,
        read: &Read,
        caller: &Caller,
        outcome: Option<Result<Arc<Entry>, FillError>>,
    ) -> Result<Arc<Entry>, Declined> {
        match outcome {
            Some(Ok(entry)) => {
                let total =
                    matches!(read.route.kind, RouteKind::List { .. }).then_some(entry.collection.total);
                self.0.admission.vouch(caller, total);
                Ok(entry)
            }
            Some(Err(error)) => Err(self.declined(read, caller, error)),
            None => Err(Declined::Forward(Reason::Unfit)),
        }
    }

    fn declined(&self, read: &Read, caller: &Caller, error: FillError) -> Declined {
        match &error {
            FillError::Answered(answered) => {
                if let Some(token) = caller.token() {
                    self.0.admission.heard(token, &[read.index], answered.status);
                }
            }
            FillError::TooLarge(bound) => {
                tracing::warn!(
                    route = read.route.name,
                    "a collection is larger than the configured {bound}: forwarded"
                );
                self.0.cache.remember_too_large(read, self.0.too_large_for);
            }
            FillError::Unfit(why) => {
                self.0.telemetry.say_once(&format!("{}: forwarded, {why}", read.route.name))
            }
            FillError::Upstream(_) | FillError::Truncated | FillError::Late(_) => {
                tracing::warn!(route = read.route.name, %error, "not filled");
            }
        }
        error.into()
    }
}

fn filled(entry: Arc<Entry>, look: &Look, because: Because, collapsed: bool) -> Served {
    let status = CacheStatus::Filled { because, collapsed, unstored: look.is_without_store() };
    Served { entry, age: Duration::ZERO, status }
}
