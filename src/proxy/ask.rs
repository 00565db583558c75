//! The upstream's yes to a caller: remembered, or asked for; and what its answers say of a token.

use http::StatusCode;

use super::{Proxy, declined::Declined};
use crate::{
    admit::{Caller, Standing},
    cache::Entry,
    classify::{Read, Reason},
    fill::FillError,
    telemetry::Chain,
    trace::{self, Step},
};

/// The upstream's yes to a caller.
#[derive(Clone, Copy)]
pub(super) struct Proof {
    /// The total that it told with it; `None`: no total is compared.
    pub(super) total: Option<u64>,
    /// It was asked for this request.
    pub(super) asked: bool,
}

impl Proof {
    pub(super) fn agrees(self, entry: &Entry) -> bool {
        agree(self.total, entry)
    }
}

/// Whether the upstream's yes is remembered, and was to just so many items.
pub(super) fn may_read(standing: Standing, entry: &Entry) -> bool {
    match standing {
        Standing::Admitted(total) => agree(total, entry),
        Standing::Unknown => false,
    }
}

fn agree(told: Option<u64>, entry: &Entry) -> bool {
    told.is_none_or(|total| total == entry.collection.total)
}

impl Proxy {
    /// A flight may have taken long, and whoever waited for it may have lost the upstream's yes meanwhile.
    pub(super) async fn proof_after_flight(
        &self,
        read: &Read,
        caller: &Caller,
        entry: &Entry,
    ) -> Result<Proof, Declined> {
        self.proof(read, &self.0.admission.again(read, caller), entry).await
    }

    /// The upstream's yes to this caller for what this entry holds: remembered, or asked for now.
    pub(super) async fn proof(&self, read: &Read, caller: &Caller, entry: &Entry) -> Result<Proof, Declined> {
        if let Standing::Admitted(total) = self.0.admission.standing(caller) {
            let proof = Proof { total, asked: false };
            if proof.agrees(entry) {
                return Ok(proof);
            }
        }
        self.ask(read, caller).await
    }

    /// Asks in a task of its own: what the answer says of the token is heard even where the client left.
    pub(super) async fn ask(&self, read: &Read, caller: &Caller) -> Result<Proof, Declined> {
        let (proxy, read, caller) = (self.clone(), read.clone(), caller.clone());
        let asking = tokio::spawn(trace::begin(Step::Question).around(async move {
            let told = proxy.0.filler.ask(&read, caller.authorization()).await;
            proxy.conclude(&read, &caller, told.as_ref().map(|total| *total));
            told
        }));
        match asking.await {
            Ok(told) => Ok(Proof { total: told?, asked: true }),
            Err(_) => Err(Declined::Forward(Reason::Unfit)),
        }
    }

    /// Whether the last token that was told another total than an entry's is told something else than this one
    /// even now: then the two see different collections.
    pub(super) async fn differs(&self, read: &Read, caller: &Caller, proof: Proof) -> bool {
        let Some(other) = self.0.admission.dispute(read, caller) else { return false };
        // What it is answered is heard, like any answer: a token that is refused now is served no more.
        let told = self.ask(read, &other).await;
        let differs = told.is_ok_and(|told| told.total != proof.total);
        if differs {
            self.0.admission.differ(read);
            self.0.common.telemetry.differs(&read.route.name);
        }
        differs
    }

    /// Where something stale may be served, a failure is remembered for a moment – but not one that is the token's
    /// matter: others may fare better.
    fn remember_failure(&self, read: &Read, error: &FillError) {
        let is_refused = match error {
            FillError::Answered(answered) => {
                matches!(answered.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            }
            _ => false,
        };
        if read.route.life() > read.route.ttl && !is_refused {
            self.0.cache.remember_unrenewed(read);
            if error.is_outage() {
                self.0.cache.remember_failed(read);
            }
        }
    }

    /// What the upstream's answer to a request of our own says about the token and the collection.
    pub(super) fn conclude(&self, read: &Read, caller: &Caller, answer: Result<Option<u64>, &FillError>) {
        let route = &read.route.name;
        if let Err(error) = answer {
            self.remember_failure(read, error);
        }
        match answer {
            Ok(total) => self.0.admission.vouch(caller, total),
            Err(FillError::Answered(answered)) => {
                if let Some(authorization) = caller.authorization() {
                    self.0.admission.heard(authorization, &[read.index], answered.status);
                }
            }
            Err(error @ FillError::TooLarge(bound)) => {
                self.0.common.telemetry.unfit(route, bound, error);
                self.0.cache.remember_too_large(read);
            }
            // It was not asked.
            Err(FillError::Busy) => {}
            Err(error @ FillError::Unfit(_)) => self.0.common.telemetry.unfit(route, "not the list", error),
            Err(error @ FillError::Contradiction(_)) => {
                self.0.common.telemetry.unfit(route, "contradiction", error)
            }
            Err(error @ (FillError::Upstream(_) | FillError::Truncated | FillError::Late(_))) => {
                tracing::warn!(route, trace_id = trace::id(), "not filled: {}", Chain(error));
            }
        }
    }
}
