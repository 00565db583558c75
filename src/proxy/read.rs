//! A read: admit, look, fill where nothing may be served, and answer – or say why the request is to be
//! forwarded as it came.

use std::{future::Future, sync::Arc};

use http::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::{
    Proxy,
    ask::{Proof, may_read},
    begun::Begun,
    declined::Declined,
    usable::{self, REFRESH_BOUND, Usable},
};
use crate::{
    admit::{Caller, Standing},
    body::Body,
    cache::{Flight, Hit, Landed, Look, Sharing},
    classify::{Read, Reason},
    config::RouteKind,
    fill::FillError,
    page::Collection,
    respond::{
        self, Served,
        status::{Because, CacheStatus, FillDetail, HitDetail},
    },
    telemetry::outcome::Outcome,
    trace::{self, Step},
    upstream::RequestBody,
};

impl Proxy {
    pub(super) async fn read(
        &self,
        request: Request<RequestBody>,
        read: &Read,
        caller: Result<Caller, Reason>,
        begun: &Begun,
    ) -> Response<Body> {
        let caller = match caller {
            Ok(caller) => self.0.admission.verify(&caller).await.map(|()| caller),
            Err(reason) => Err(reason),
        };
        let caller = match caller {
            Ok(caller) => caller,
            // Boxed, here and below: most reads need no room for it.
            Err(reason) => {
                return Box::pin(self.forward(request, reason, Some(read.index), begun)).await;
            }
        };
        let mut step = trace::step(Step::Look);
        let (look, usable) = self.find(read).await;
        step.word("catproxy.found", found(&look));
        step.end();
        let (answer, outcome) = match self.serve(read, &caller, &look, usable).await {
            Ok(served) => {
                let _step = trace::step(Step::Respond);
                match self.0.pages.render(&served.entry, read, self.day(read)).await {
                    Ok(rendered) => {
                        let page = self.page(&served, &rendered, request.into_parts().0.headers);
                        (page, served.status.outcome())
                    }
                    Err(_) => (respond::internal(), Outcome::FailedInternal),
                }
            }
            Err(Declined::Forward(reason)) => {
                return Box::pin(self.forward(request, reason, Some(read.index), begun)).await;
            }
            Err(Declined::Failed(error)) => {
                let failed = if matches!(error, FillError::Answered(_)) {
                    Outcome::FailedAnswered
                } else {
                    Outcome::FailedUnanswered
                };
                (respond::failed(&error, usable.because()), failed)
            }
            Err(Declined::NotCached) => (respond::not_cached(), Outcome::NotCached),
        };
        self.note(Some(read.index), outcome, begun, answer.status());
        answer
    }

    /// What there is, and what it is to this request.
    async fn find(&self, read: &Read) -> (Look, Usable) {
        let look = self.0.cache.look(read).await;
        let usable = self.usable(read, &look, Instant::now());
        if usable == Usable::Not(Because::Request) && look.hit.as_ref().is_some_and(|hit| hit.near) {
            // Another process may have filled it anew a moment ago.
            let look = self.0.cache.look_in_store(read).await;
            let usable = self.usable(read, &look, Instant::now());
            return (look, usable);
        }
        (look, usable)
    }

    async fn serve(
        &self,
        read: &Read,
        caller: &Caller,
        look: &Look,
        usable: Usable,
    ) -> Result<Served, Declined> {
        // Another request's fill may have found so while this one looked.
        if self.0.cache.is_too_large(read) {
            return Err(Declined::Forward(Reason::TooLarge));
        }
        let standing = self.0.admission.standing(caller);
        if read.demand.only_if_cached {
            return cached_only(read, look, usable, standing);
        }
        // The object itself is the question, and its answer the fill.
        if read.route.kind == RouteKind::Single && standing == Standing::Unknown {
            let detail = look.hit.as_ref().map(|_| FillDetail::Question);
            return self.refill(read, caller, look, usable.because(), detail).await;
        }
        match (&look.hit, usable) {
            (Some(hit), Usable::Fresh | Usable::JustFilled) => self.hit(read, caller, hit, usable).await,
            (Some(hit), Usable::Stale(detail)) if may_read(standing, &hit.entry) => {
                if detail == HitDetail::WhileRevalidate && !self.0.cache.is_unrenewed(read) {
                    // Nobody waits for it. Where one flies already, that is it.
                    drop(self.flight(read, caller, look, Sharing::default()));
                }
                Ok(served(read, hit, Some(detail), Instant::now()))
            }
            // Past its ttl it serves nobody whose right to it is not known.
            _ => self.miss(read, caller, look, usable.because()).await,
        }
    }

    pub(super) fn usable(&self, read: &Read, look: &Look, now: Instant) -> Usable {
        let failed = || self.0.cache.has_failed(read);
        match &look.hit {
            Some(hit) => usable::judge(&read.route, &read.demand, hit.age.by(now), failed),
            None => Usable::Not(Because::Miss),
        }
    }

    async fn hit(&self, read: &Read, caller: &Caller, hit: &Hit, usable: Usable) -> Result<Served, Declined> {
        let proof = self.proof(read, caller, &hit.entry).await?;
        if !proof.agrees(&hit.entry) {
            return self.dispute(read, caller, hit, proof).await;
        }
        if hit.age.by(Instant::now()) >= read.route.ttl {
            // The question took as long as the entry had to live.
            return self.miss(read, caller, &self.0.cache.look(read).await, Because::Stale).await;
        }
        let detail = match usable {
            Usable::JustFilled => Some(HitDetail::RefreshBounded),
            _ if proof.asked => Some(HitDetail::Asked),
            _ => hit.near.then_some(HitDetail::Near),
        };
        Ok(served(read, hit, detail, Instant::now()))
    }

    async fn miss(
        &self,
        read: &Read,
        caller: &Caller,
        look: &Look,
        because: Because,
    ) -> Result<Served, Declined> {
        let identity = caller.identity();
        let flight = self.flight(read, caller, look, sharing(read));
        let (led, own) = (flight.led, flight.leader == identity);
        let bounded = flight.bounded.then_some(FillDetail::RefreshBounded);
        if !led {
            self.0.common.telemetry.joined();
        }
        // The question goes out while the flight flies; its leader's yes is not this caller's.
        if !own && self.0.admission.standing(caller) == Standing::Unknown {
            self.ask(read, caller).await?;
        }
        let landed = match awaited(flight).await {
            Some(Err(FillError::Answered(answered))) if !own && answered.status.is_client_error() => {
                return self.refill(read, caller, look, because, None).await;
            }
            Some(Err(error)) => match self.stale_if_error(read, caller, &error).await {
                Some(served) => return Ok(served),
                None => return Err(error.into()),
            },
            outcome => landed(outcome)?,
        };
        // An early yes is not enough: it may have been lost before the flight landed.
        let proof = self.proof_after_flight(read, caller, &landed.entry).await?;
        if !proof.agrees(&landed.entry) {
            let hit = Hit { entry: landed.entry, age: landed.age, near: false };
            return self.dispute(read, caller, &hit, proof).await;
        }
        Ok(filled(landed, look, because, !led, bounded))
    }

    /// What there is past its ttl, where the upstream fails and the route allows it. Only for a caller whose right
    /// is known, and never in place of the upstream's word on that right or on the thing.
    async fn stale_if_error(&self, read: &Read, caller: &Caller, error: &FillError) -> Option<Served> {
        if !read.demand.is_plain() || !error.is_outage() || read.route.stale.if_error.is_zero() {
            return None;
        }
        let (look, again) = (self.0.cache.look(read).await, self.0.admission.again(read, caller));
        let hit = look.hit.as_ref()?;
        let age = hit.age.by(Instant::now());
        let within = age < read.route.ttl + read.route.stale.if_error;
        let admitted = may_read(self.0.admission.standing(&again), &hit.entry);
        (within && admitted).then(|| served(read, hit, Some(HitDetail::IfError), Instant::now()))
    }

    /// The entry's total is not what this token was told: it is filled anew with this token, unless the last
    /// token to whom that happened is told something else even now.
    async fn dispute(
        &self,
        read: &Read,
        caller: &Caller,
        hit: &Hit,
        proof: Proof,
    ) -> Result<Served, Declined> {
        if self.differs(read, caller, proof).await {
            return Err(Declined::Forward(Reason::Differs));
        }
        tracing::debug!(
            route = read.route.name,
            entry = hit.entry.collection.total,
            told = proof.total,
            "totals differ"
        );
        let look = self.0.cache.look_in_store(read).await;
        self.refill(read, caller, &look, Because::Request, Some(FillDetail::Total)).await
    }

    /// Fills with this caller's token, for this caller alone; what it gives is stored for all.
    async fn refill(
        &self,
        read: &Read,
        caller: &Caller,
        look: &Look,
        because: Because,
        detail: Option<FillDetail>,
    ) -> Result<Served, Declined> {
        let flight = self.flight(read, caller, look, Sharing { alone: true, ..sharing(read) });
        let (led, bounded) = (flight.led, flight.bounded.then_some(FillDetail::RefreshBounded));
        let landed = landed(awaited(flight).await)?;
        // Its total is its own; only the upstream's yes may have been lost meanwhile.
        self.proof_after_flight(read, caller, &landed.entry).await?;
        Ok(filled(landed, look, because, !led, bounded.or(detail)))
    }

    fn flight(
        &self,
        read: &Read,
        caller: &Caller,
        look: &Look,
        sharing: Sharing,
    ) -> Flight<Landed, FillError> {
        self.0.cache.fill(read, look, caller.identity(), sharing, || self.work(read, caller))
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
            if read.route.life() > read.route.ttl && filled.as_ref().is_err_and(|error| ends(error, &caller))
            {
                proxy.0.cache.retire(&read).await;
            }
            filled
        }
    }
}

/// What a look has found, in a word.
pub(super) fn found(look: &Look) -> &'static str {
    match &look.hit {
        Some(hit) if hit.near => "near",
        Some(_) => "store",
        None => "nothing",
    }
}

/// How a flight ends.
async fn awaited(flight: Flight<Landed, FillError>) -> Option<Result<Landed, FillError>> {
    let mut step = trace::step(Step::Flight);
    step.word("catproxy.flight", if flight.led { "led" } else { "joined" });
    if !flight.led {
        step.follows(&flight.span);
    }
    flight.outcome().await
}

/// Which flights a request may join: who wants the newest takes none that began long before.
fn sharing(read: &Read) -> Sharing {
    let since = read.demand.max_age.and_then(|max| Instant::now().checked_sub(max.max(REFRESH_BOUND)));
    Sharing { alone: false, since }
}

/// Whether the upstream's word ends the entry: nobody is to be shown what is not there, or is for nobody, while
/// or because the upstream says so. What it says of one token is that token's matter.
fn ends(error: &FillError, caller: &Caller) -> bool {
    let FillError::Answered(answered) = error else { return false };
    match answered.status {
        StatusCode::NOT_FOUND | StatusCode::GONE => true,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => matches!(caller, Caller::Anyone { .. }),
        _ => false,
    }
}

/// An answer without a call of the upstream, or none.
fn cached_only(read: &Read, look: &Look, usable: Usable, standing: Standing) -> Result<Served, Declined> {
    match (&look.hit, usable) {
        (Some(hit), Usable::Fresh) if may_read(standing, &hit.entry) => {
            Ok(served(read, hit, hit.near.then_some(HitDetail::Near), Instant::now()))
        }
        _ => Err(Declined::NotCached),
    }
}

/// What is there, as of `now`.
pub(super) fn served(read: &Read, hit: &Hit, detail: Option<HitDetail>, now: Instant) -> Served {
    let age = hit.age.by(now);
    let status = CacheStatus::Hit { age, ttl: read.route.ttl, detail };
    Served { entry: Arc::clone(&hit.entry), age, status }
}

fn filled(
    landed: Landed,
    look: &Look,
    because: Because,
    collapsed: bool,
    detail: Option<FillDetail>,
) -> Served {
    let away = look.is_without_store().then_some(FillDetail::StoreAway);
    let status = CacheStatus::Filled { because, collapsed, stored: landed.stored, detail: detail.or(away) };
    Served { entry: landed.entry, age: landed.age.by(Instant::now()), status }
}

fn landed(outcome: Option<Result<Landed, FillError>>) -> Result<Landed, Declined> {
    match outcome {
        Some(ended) => ended.map_err(Declined::from),
        None => Err(Declined::Forward(Reason::Unfit)),
    }
}
