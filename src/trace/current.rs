//! The span of the work at hand: of the thread, for as long as a piece of that work is polled.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
};

use http::StatusCode;
use tracing::field::DisplayValue;

use super::{
    Step,
    recording::{Link, OUTCOME, Open, Recording},
};
use crate::config::Route;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Recording>>> = const { RefCell::new(None) };
}

/// The span of a client's request, or of a piece of its work that goes on by itself; or none. It ends when the last of
/// these handles is dropped, or when it was answered.
#[derive(Clone, Debug, Default)]
pub struct Span(Option<Arc<Recording>>);

impl Span {
    pub(super) fn of(recording: Recording) -> Self {
        Self(Some(Arc::new(recording)))
    }

    /// Makes it the current one of this thread until the result is dropped.
    #[must_use]
    pub fn enter(&self) -> Entered {
        Entered(self.0.as_ref().map(|mine| CURRENT.replace(Some(Arc::clone(mine)))))
    }

    /// Does this work as a part of it: while that is polled it is the current one.
    pub async fn around<F: Future>(self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|context| {
            let _entered = self.enter();
            work.as_mut().poll(context)
        })
        .await
    }

    /// What others can point at.
    #[must_use]
    pub fn link(&self) -> Link {
        self.0.as_ref().map_or_else(Link::default, |mine| mine.link())
    }

    /// The client's request is answered with this status.
    pub fn answered(&self, status: StatusCode) {
        if let Some(mine) = &self.0 {
            mine.answered(status);
        }
    }

    /// Nothing of it is kept: it was as if it had not been begun.
    pub fn discard(&self) {
        if let Some(mine) = &self.0 {
            mine.discard();
        }
    }
}

/// While it lives, a span is the current one.
#[derive(Debug)]
pub struct Entered(Option<Option<Arc<Recording>>>);

impl Entered {
    /// Ends it.
    pub fn leave(self) {}
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            CURRENT.set(before);
        }
    }
}

/// What the current span gives; `None` where there is none.
fn with<T>(give: impl FnOnce(&Arc<Recording>) -> T) -> Option<T> {
    CURRENT.with_borrow(|current| current.as_ref().map(give))
}

/// A step below the current span, from now until it is dropped.
#[must_use]
pub fn step(step: Step) -> Open {
    with(|current| Open::below(current, step)).unwrap_or_default()
}

/// A step that may be in vain: dropped without being ended, it was as if it had not been begun.
#[must_use]
pub fn trial(trial: Step) -> Open {
    step(trial).in_vain_so_far()
}

/// A span below the current one for work that has steps of its own.
#[must_use]
pub fn begin(step: Step) -> Span {
    Span(with(|current| Arc::new(current.below(step))))
}

/// The current span: for work that goes on elsewhere.
#[must_use]
pub fn current() -> Span {
    Span(with(Arc::clone))
}

/// The trace of the current span, for the log.
#[must_use]
pub fn id() -> Option<DisplayValue<opentelemetry::TraceId>> {
    with(|current| tracing::field::display(current.trace()))
}

/// The current span is about a request of this route.
pub fn route(route: &Route) {
    with(|current| current.route(route));
}

/// The current span's request ended so, for such a reason.
pub fn outcome((outcome, reason): (&'static str, &'static str)) {
    with(|current| current.words([(OUTCOME, outcome), ("catproxy.reason", reason)]));
}

/// Says a number of the current span.
pub fn number(name: &'static str, number: u64) {
    with(|current| current.number(name, number));
}

/// The current span's work failed, in a word.
pub fn failed(why: &'static str) {
    with(|current| current.failed(why));
}
