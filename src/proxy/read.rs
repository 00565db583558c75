//! A read: admit, look, fill where nothing may be served, and answer – or say why the request is to be
//! forwarded as it came.

use std::{future::Future, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;

use super::Proxy;
use crate::{
    admit::{Caller, Standing},
    body::Body,
    cache::{Entry, Look},
    classify::{Read, Reason},
    config::RouteKind,
    fill::FillError,
    page::Collection,
    respond::{self, Because, CacheStatus, Served},
    telemetry::Chain,
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
            FillError::Unfit(_) | FillError::Contradiction(_) => Self::Forward(Reason::Unfit),
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
        if read.route.kind == RouteKind::Single && self.0.admission.standing(caller) == Standing::Unknown {
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
        let ttl = fresh.saturating_sub(look.age());
        if ttl.is_zero() {
            // The question took as long as the entry had to live.
            return self.miss(read, caller, &self.0.cache.look(read).await).await;
        }
        let status = CacheStatus::Hit { ttl, asked: proof.asked };
        Ok(Served { entry: Arc::clone(entry), age: read.route.ttl.saturating_sub(ttl), status })
    }

    async fn miss(&self, read: &Read, caller: &Caller, look: &Look) -> Result<Served, Declined> {
        let identity = caller.identity();
        let flight = self.0.cache.fill(read, look, identity.clone(), false, || self.work(read, caller));
        let (led, own) = (flight.led, flight.leader == identity);
        if !led {
            self.0.telemetry.joined();
        }
        // The question goes out while the flight flies; its leader's yes is not this caller's.
        let early = match self.0.admission.standing(caller) {
            Standing::Unknown if !own => Some(self.ask(read, caller).await?),
            Standing::Unknown | Standing::Admitted(_) => None,
        };
        let entry = match flight.outcome().await {
            Some(Err(FillError::Answered(answered))) if !own && answered.status.is_client_error() => {
                return self.refill(read, caller, look, Because::Miss).await;
            }
            outcome => landed(outcome)?,
        };
        let proof = match early {
            Some(proof) => proof,
            None => self.proof_after_flight(read, caller, &entry).await?,
        };
        if !proof.agrees(&entry) {
            return self.dispute(read, caller, look, &entry, proof).await;
        }
        Ok(self.filled(entry, look, Because::Miss, !led))
    }

    /// A flight may have taken long, and whoever waited for it may have lost the upstream's yes meanwhile.
    async fn proof_after_flight(
        &self,
        read: &Read,
        caller: &Caller,
        entry: &Entry,
    ) -> Result<Proof, Declined> {
        self.proof(read, &self.0.admission.again(read, caller), entry).await
    }

    /// The upstream's yes to this caller for what this entry holds: remembered, or asked for now.
    async fn proof(&self, read: &Read, caller: &Caller, entry: &Entry) -> Result<Proof, Declined> {
        if let Standing::Admitted(total) = self.0.admission.standing(caller) {
            let proof = Proof { total, asked: false };
            if proof.agrees(entry) {
                return Ok(proof);
            }
        }
        self.ask(read, caller).await
    }

    /// Asks in a task of its own: what the answer says of the token is heard even where the client left.
    async fn ask(&self, read: &Read, caller: &Caller) -> Result<Proof, Declined> {
        let (proxy, read, caller) = (self.clone(), read.clone(), caller.clone());
        let asking = tokio::spawn(async move {
            let told = proxy.0.filler.ask(&read, caller.authorization()).await;
            proxy.conclude(&read, &caller, told.as_ref().map(|total| *total));
            told
        });
        match asking.await {
            Ok(told) => Ok(Proof { total: told?, asked: true }),
            Err(_) => Err(Declined::Forward(Reason::Unfit)),
        }
    }

    /// The entry's total is not what this token was told: it is filled anew with this token, unless the last
    /// token to whom that happened is told something else even now.
    async fn dispute(
        &self,
        read: &Read,
        caller: &Caller,
        look: &Look,
        entry: &Entry,
        proof: Proof,
    ) -> Result<Served, Declined> {
        if let Some(other) = self.0.admission.dispute(read, caller) {
            let told = self.0.filler.ask(read, other.authorization()).await;
            if told.is_ok_and(|total| total != proof.total) {
                self.0.admission.differ(read);
                self.0.telemetry.differs(&read.route.name);
                return Err(Declined::Forward(Reason::Differs));
            }
        }
        tracing::debug!(
            route = read.route.name,
            entry = entry.collection.total,
            told = proof.total,
            "totals differ"
        );
        self.refill(read, caller, look, Because::Total).await
    }

    /// Fills with this caller's token, for this caller alone; what it gives is stored for all.
    async fn refill(
        &self,
        read: &Read,
        caller: &Caller,
        look: &Look,
        because: Because,
    ) -> Result<Served, Declined> {
        let flight = self.0.cache.fill(read, look, caller.identity(), true, || self.work(read, caller));
        let led = flight.led;
        let entry = landed(flight.outcome().await)?;
        // Its total is its own; only the upstream's yes may have been lost meanwhile.
        self.proof_after_flight(read, caller, &entry).await?;
        Ok(self.filled(entry, look, because, !led))
    }

    /// A fill with this caller's token. It speaks for the token, for good or ill, whoever still waits for it.
    fn work(
        &self,
        read: &Read,
        caller: &Caller,
    ) -> impl Future<Output = Result<Collection, FillError>> + Send + 'static {
        let (proxy, read, caller) = (self.clone(), read.clone(), caller.clone());
        async move {
            let filled = proxy.0.filler.fill(&read, caller.authorization()).await;
            let is_list = read.route.kind != RouteKind::Single;
            proxy.conclude(&read, &caller, filled.as_ref().map(|whole| is_list.then_some(whole.total)));
            filled
        }
    }

    fn filled(&self, entry: Arc<Entry>, look: &Look, because: Because, collapsed: bool) -> Served {
        let status = CacheStatus::Filled { because, collapsed, unstored: look.is_without_store() };
        Served { age: self.0.cache.age(&entry), entry, status }
    }

    /// What the upstream's answer to a request of our own says about the token and the collection.
    fn conclude(&self, read: &Read, caller: &Caller, answer: Result<Option<u64>, &FillError>) {
        let route = &read.route.name;
        match answer {
            Ok(total) => self.0.admission.vouch(caller, total),
            Err(FillError::Answered(answered)) => {
                if let Some(authorization) = caller.authorization() {
                    self.0.admission.heard(authorization, &[read.index], answered.status);
                }
            }
            Err(error @ FillError::TooLarge(bound)) => {
                self.0.telemetry.unfit(route, bound, error);
                self.0.cache.remember_too_large(read);
            }
            Err(error @ FillError::Unfit(_)) => self.0.telemetry.unfit(route, "not the list", error),
            Err(error @ FillError::Contradiction(_)) => self.0.telemetry.unfit(route, "contradiction", error),
            Err(error @ (FillError::Upstream(_) | FillError::Truncated | FillError::Late(_))) => {
                tracing::warn!(route, "not filled: {}", Chain(error));
            }
        }
    }
}

fn landed(outcome: Option<Result<Arc<Entry>, FillError>>) -> Result<Arc<Entry>, Declined> {
    match outcome {
        Some(ended) => ended.map_err(Declined::from),
        None => Err(Declined::Forward(Reason::Unfit)),
    }
}
