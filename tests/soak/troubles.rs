//! When something was broken.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// What is over for so long concerns no request any more.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// The times in which one neighbour was broken.
#[derive(Default)]
pub struct Troubles(Mutex<Vec<(Instant, Option<Instant>)>>);

/// Lasts until it is dropped.
pub struct Trouble<'t>(&'t Troubles, Instant);

impl Troubles {
    pub fn begin(&self) -> Trouble<'_> {
        let now = Instant::now();
        let mut spans = self.0.lock().unwrap();
        spans.retain(|(_, end)| end.is_none_or(|end| now - end < FORGOTTEN));
        spans.push((now, None));
        Trouble(self, now)
    }

    /// Whether it was broken at some time since then, or not for longer than `grace` before.
    pub fn since(&self, then: Instant, grace: Duration) -> bool {
        self.0.lock().unwrap().iter().any(|(_, end)| end.is_none_or(|end| end + grace >= then))
    }
}

impl Drop for Trouble<'_> {
    fn drop(&mut self) {
        let mut spans = self.0.0.lock().unwrap();
        let mine = spans.iter_mut().find(|(begin, end)| *begin == self.1 && end.is_none());
        mine.expect("it was begun").1 = Some(Instant::now());
    }
}
