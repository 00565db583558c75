//! Keys for which something is not tried again for a while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Keys remembered at a time; beyond, the pause of a new one is not.
const KEYS: usize = 10_000;

/// Pauses of one length, by key.
pub(super) struct Pauses {
    length: Duration,
    ends: Mutex<HashMap<Arc<str>, Instant>>,
}

impl Pauses {
    pub(super) fn of(length: Duration) -> Self {
        Self { length, ends: Mutex::default() }
    }

    /// A pause begins, or begins anew.
    pub(super) fn begin(&self, key: &Arc<str>) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if ends.len() >= KEYS {
            ends.retain(|_, end| *end > now);
        }
        if ends.len() < KEYS {
            ends.insert(Arc::clone(key), now + self.length);
        }
    }

    pub(super) fn lasts(&self, key: &str) -> bool {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.get(key).is_some_and(|end| *end > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn a_pause_lasts_its_length_for_its_key() {
        let pauses = Pauses::of(LENGTH);
        pauses.begin(&"a".into());
        assert!(pauses.lasts("a") && !pauses.lasts("b"));
        tokio::time::advance(LENGTH).await;
        assert!(!pauses.lasts("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn invented_keys_take_bounded_memory_and_make_room_when_they_end() {
        let pauses = Pauses::of(LENGTH);
        for key in 0..2 * KEYS {
            pauses.begin(&key.to_string().into());
        }
        assert_eq!(pauses.ends.lock().unwrap().len(), KEYS);
        tokio::time::advance(LENGTH).await;
        pauses.begin(&"new".into());
        assert!(pauses.lasts("new"));
        assert_eq!(pauses.ends.lock().unwrap().len(), 1);
    }
}
