//! The keys that count now, and when they are fetched again: after `keys-limit`, or when a token names one that is
//! not among them. Fetches are one at a time and rarely, however many tokens name keys that there are not.
//!
//! A fetch belongs to no request. Where it fails, the keys from before count on, up to an upper age. A request waits for
//! a fetch only if it has no key otherwise, or one that should have been fetched again long ago; and not even then
//! where the last fetch failed.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::watch;

use super::{
    fetch::{FetchError, Source},
    keys::{Key, KeySet, NoKey},
};
use crate::{
    clock::Clock,
    config::jwks::{Algorithm, Jwks as Config},
    dial::Dialler,
    telemetry::{Chain, Telemetry},
    upstream::UpstreamUnusable,
};

/// From the beginning of a fetch to that of the next one.
const PAUSE_MS: u64 = 10_000;
/// So many times `keys-limit` and no fetch: nobody came, and a key that was withdrawn meanwhile should not count for the
/// first who does.
const LONG_AGO: u64 = 2;
/// Keys that could not be fetched again for so long count no more: one of them may long have been withdrawn.
const OLDEST_MS: u64 = 24 * 3_600_000;

/// The published keys. Cheap to clone.
#[derive(Clone)]
pub(super) struct Keys(Arc<Inner>);

struct Inner {
    config: Arc<Config>,
    source: Source,
    clock: Clock,
    telemetry: Arc<Telemetry>,
    state: Mutex<State>,
    epoch: AtomicU64,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// When the last fetch began.
    begun_ms: Option<u64>,
    /// Closed at the end of the last fetch.
    running: Option<watch::Receiver<()>>,
    /// The last fetch failed, and that was said.
    down: bool,
}

struct Held {
    keys: KeySet,
    /// When the fetch began that brought them.
    since_ms: u64,
}

impl Keys {
    /// Fetches nothing yet.
    ///
    /// # Errors
    /// Where TLS cannot work as configured.
    pub(super) fn new(
        config: Arc<Config>,
        clock: Clock,
        telemetry: Arc<Telemetry>,
        dialler: &Dialler,
    ) -> Result<Self, UpstreamUnusable> {
        let source = Source::new(Arc::clone(&config), dialler)?;
        let (state, epoch) = (Mutex::default(), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner { config, source, clock, telemetry, state, epoch })))
    }

    /// Counts how often a key was withdrawn. Whoever reads it and looks for a key after that finds none that was
    /// withdrawn before.
    pub(super) fn epoch(&self) -> u64 {
        self.0.epoch.load(Ordering::Acquire)
    }

    /// Fetches the keys for the first time.
    pub(super) async fn greet(&self) {
        let running = self.begin(&mut self.lock(), self.0.clock.now_ms());
        ended(running).await;
    }

    /// The key for a token. Waits for a fetch where there is need, and hope, of it.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Key, NoKey> {
        let (found, running) = self.look(id, algorithm);
        if running.is_none() {
            return found;
        }
        ended(running).await;
        let now = self.0.clock.now_ms();
        found_in(self.lock().held.as_ref(), now, id, algorithm)
    }

    /// The key as far as it is known now, and the fetch to wait for before that is the last word.
    fn look(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> (Result<Key, NoKey>, Option<watch::Receiver<()>>) {
        let now = self.0.clock.now_ms();
        let mut state = self.lock();
        let found = found_in(state.held.as_ref(), now, id, algorithm);
        let limit = u64::try_from(self.0.config.keys_limit.as_millis()).unwrap_or(u64::MAX);
        let age = state.held.as_ref().map_or(u64::MAX, |held| held.age_ms(now));
        let is_sought = found.as_ref().is_err_and(|missing| *missing != NoKey::Several);
        let running = if is_sought || age >= limit { self.begin(&mut state, now) } else { None };
        let is_worth_waiting = (is_sought || age >= limit.saturating_mul(LONG_AGO)) && !state.down;
        (found, running.filter(|_| is_worth_waiting))
    }

    /// The fetch that is running, or a new one; `None` shortly after the last one.
    fn begin(&self, state: &mut State, now: u64) -> Option<watch::Receiver<()>> {
        let running = state.running.as_ref().filter(|running| running.has_changed().is_ok());
        if let Some(running) = running {
            return Some(running.clone());
        }
        if state.begun_ms.is_some_and(|begun| now.abs_diff(begun) < PAUSE_MS) {
            return None;
        }
        state.begun_ms = Some(now);
        let (ending, running) = watch::channel(());
        state.running = Some(running.clone());
        let keys = self.clone();
        tokio::spawn(async move {
            keys.0.telemetry.key_fetch();
            let outcome = keys.0.source.fetch().await;
            keys.land(outcome, now);
            drop(ending);
        });
        Some(running)
    }

    fn land(&self, outcome: Result<KeySet, FetchError>, since_ms: u64) {
        match outcome {
            Ok(keys) => self.replace(keys, since_ms),
            Err(error) => self.miss(&error),
        }
    }

    fn replace(&self, keys: KeySet, since_ms: u64) {
        let count = keys.len();
        let mut state = self.lock();
        let withdrawn = state.held.as_ref().is_some_and(|held| !held.keys.is_within(&keys));
        state.held = Some(Held { keys, since_ms });
        if withdrawn {
            // Only now: whoever sees the new number sees the new keys.
            self.0.epoch.fetch_add(1, Ordering::AcqRel);
        }
        let was_down = std::mem::take(&mut state.down);
        drop(state);
        let issuer = &self.0.config.issuer;
        if was_down {
            tracing::info!("the keys of {issuer} are there again: {count}");
        } else {
            tracing::debug!(count, withdrawn, "keys of {issuer}");
        }
        if count == 0 {
            self.0.telemetry.no_usable_key(issuer);
        }
    }

    fn miss(&self, error: &FetchError) {
        let mut state = self.lock();
        let was_down = std::mem::replace(&mut state.down, true);
        let fallback = if state.held.is_some() {
            "those from before count, at most for a day"
        } else {
            "all is forwarded"
        };
        drop(state);
        let (issuer, error) = (&self.0.config.issuer, Chain(error));
        if was_down {
            tracing::debug!("still no keys of {issuer}: {error}");
        } else {
            tracing::warn!("no keys of {issuer}, {fallback}: {error}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends with the fetch, whatever came of it.
async fn ended(running: Option<watch::Receiver<()>>) {
    if let Some(mut running) = running {
        // Nothing is sent: an error says that the sender has gone.
        let _ = running.changed().await;
    }
}

impl Held {
    /// Also where the clock was put back: nobody knows how long ago that is.
    fn age_ms(&self, now: u64) -> u64 {
        now.abs_diff(self.since_ms)
    }
}

fn found_in(held: Option<&Held>, now: u64, id: Option<&str>, algorithm: Algorithm) -> Result<Key, NoKey> {
    let held = held.filter(|held| held.age_ms(now) < OLDEST_MS).ok_or(NoKey::NoSet)?;
    held.keys.find(id, algorithm).cloned()
}

impl fmt::Debug for Keys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Keys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::config::{Upstream, jwks::KeysAt};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Log {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn keys() -> Keys {
        let second = Duration::from_secs(1);
        let identity = Upstream {
            tls: false,
            authority: "127.0.0.1:1".parse().unwrap(),
            ca_file: None,
            http2: false,
            connect_timeout: second,
            head_timeout: second,
            body_timeout: second,
            idle_timeout: second,
            idle_connections: 0,
            connections: 16,
        };
        let config = Config {
            issuer: "https://login.example".to_owned(),
            identity,
            keys: KeysAt::Keys("/keys".to_owned()),
            audience: vec!["catalog".to_owned()],
            algorithms: vec![Algorithm::Rs256],
            leeway: second,
            required_claims: Vec::new(),
            keys_limit: second,
            keys_timeout: second,
            refused_for: second,
        };
        Keys::new(Arc::new(config), Clock::system(), Arc::default(), &Dialler::system()).unwrap()
    }

    #[test]
    fn an_issuer_that_goes_and_comes_back_is_a_line_each() {
        let log = Log::default();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_writer(log.clone()).finish();
        let keys = keys();
        let set = || {
            let key = serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43) });
            KeySet::read(serde_json::json!({ "keys": [key] }).to_string().as_bytes())
        };
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..2 {
                for _ in 0..3 {
                    keys.land(Err(FetchError::NoJson), 0);
                }
                for _ in 0..3 {
                    keys.land(set().map_err(FetchError::Keys), 0);
                }
            }
        });
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = log.lines().collect();
        for (line, part) in lines.iter().zip([
            "all is forwarded: the answer is not JSON",
            "the keys of https://login.example are there again: 1",
            "those from before count",
            "are there again",
        ]) {
            assert!(line.contains(part), "{log}");
        }
        assert_eq!(lines.len(), 4, "{log}");
    }
}
