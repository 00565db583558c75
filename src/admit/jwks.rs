//! Tokens that are checked here: their signature by the keys that the issuer publishes, and what they say. The upstream
//! is not asked, so what only it knows is not seen: revocation, and rights to single keys.
//!
//! No token, and nothing that one says, goes to a log.

mod demands;
mod fetch;
mod keys;
mod refresh;

use std::{sync::Arc, time::Duration};

use crate::{
    classify::Reason, clock::Clock, config::jwks::Jwks as Config, dial::Dialler, telemetry::Telemetry,
    upstream::UpstreamUnusable,
};
use demands::{Flaw, Unproven};
use keys::NoKey;
use refresh::Keys;

/// Checks tokens.
#[derive(Debug)]
pub(super) struct Jwks {
    config: Arc<Config>,
    keys: Keys,
    clock: Clock,
    telemetry: Arc<Telemetry>,
}

impl Jwks {
    /// Fetches nothing yet.
    ///
    /// # Errors
    /// Where TLS cannot work as configured.
    pub(super) fn new(
        config: &Arc<Config>,
        clock: Clock,
        telemetry: Arc<Telemetry>,
        dialler: &Dialler,
    ) -> Result<Self, UpstreamUnusable> {
        let keys = Keys::new(Arc::clone(config), clock.clone(), Arc::clone(&telemetry), dialler)?;
        Ok(Self { config: Arc::clone(config), keys, clock, telemetry })
    }

    /// How long a token that the upstream has refused is not served.
    pub(super) fn refused_for(&self) -> Duration {
        self.config.refused_for
    }

    /// Another number after every time that a key was withdrawn: what was verified before may be so no more.
    pub(super) fn epoch(&self) -> u64 {
        self.keys.epoch()
    }

    /// Fetches the keys, so that the first request need not, and a server that is not there is said at once.
    pub(super) async fn greet(&self) {
        self.keys.greet().await;
    }

    /// Checks the token of an `Authorization` field; how long from now its yes may be remembered. Waits for keys where
    /// there is need, and hope, of them, within `keys-timeout`.
    ///
    /// # Errors
    /// The reason to forward the request: [`Reason::Token`], or [`Reason::Keys`] where there are no keys.
    pub(super) async fn verify(&self, authorization: &str) -> Result<Duration, Reason> {
        let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
        let unproven = Unproven::read(token, &self.config, self.clock.now_ms());
        let unproven = unproven.map_err(|flaw| self.refuse(flaw))?;
        let key = self.keys.find(unproven.key_id.as_deref(), unproven.algorithm).await;
        let key = key.map_err(|missing| match missing {
            NoKey::NoSet => Reason::Keys,
            NoKey::Unknown | NoKey::Several => self.refuse(Flaw::Key),
        })?;
        self.telemetry.signature_check();
        if !key.has_signed(unproven.algorithm, unproven.signed, &unproven.signature) {
            return Err(self.refuse(Flaw::Signature));
        }
        // Not until it expires: by then its key may have been withdrawn, which only who looks notices.
        Ok(unproven.lasts.min(self.config.keys_limit))
    }

    fn refuse(&self, flaw: Flaw) -> Reason {
        self.telemetry.unverified(&flaw, flaw.may_be_ours());
        Reason::Token
    }
}
