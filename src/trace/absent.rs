//! What stands in the place of traces in a program without the feature `otel`: nothing. The types have no size and the
//! functions no code, so that no step of a request costs an instruction for what is not there.

use std::future::Future;

use http::{Method, Request, StatusCode, Version};

use super::{Step, Untraceable};
use crate::{
    clock::Clock,
    config::{Config, Route},
    telemetry::Telemetry,
};

/// Held across waits, kept in connections, handed to hits: all for nothing.
const _: () = assert!(size_of::<(Tracer, Parent, Span, Entered, Link, Open)>() == 0);

/// Begins no spans.
#[derive(Clone, Debug)]
pub struct Tracer;

impl Tracer {
    /// Of whatever configuration: it cannot ask for traces.
    ///
    /// # Errors
    /// None.
    pub fn new(
        _config: &Config,
        _clock: &Clock,
        _telemetry: &std::sync::Arc<Telemetry>,
    ) -> Result<Self, Untraceable> {
        Ok(Self)
    }

    /// The same for another configuration.
    ///
    /// # Errors
    /// None.
    pub fn successor(
        &self,
        _config: &Config,
        _clock: &Clock,
        _telemetry: &std::sync::Arc<Telemetry>,
    ) -> Result<Self, Untraceable> {
        Ok(Self)
    }

    /// Never.
    #[inline(always)]
    #[must_use]
    pub fn is_on(&self) -> bool {
        false
    }

    /// No span of a client's request.
    #[inline(always)]
    #[must_use]
    pub fn request(&self, _method: &Method, _version: Version, _parent: impl FnOnce() -> Parent) -> Span {
        Span
    }

    /// There is nothing to be sent yet.
    #[expect(clippy::unused_async, reason = "with the feature there is something to wait for")]
    pub async fn close(&self) {}
}

/// What a client says of its trace, which nobody wants to know.
#[derive(Clone, Debug, Default)]
pub struct Parent;

impl Parent {
    /// Of these fields.
    #[inline(always)]
    pub fn of<'f>(_fields: impl Iterator<Item = (&'f str, &'f [u8])>) -> Self {
        Self
    }
}

/// No span.
#[derive(Clone, Debug, Default)]
pub struct Span;

impl Span {
    /// Makes nothing the current span.
    #[inline(always)]
    #[must_use]
    pub fn enter(&self) -> Entered {
        Entered
    }

    /// The work itself.
    #[inline(always)]
    pub fn around<F: Future>(self, work: F) -> F {
        work
    }

    /// Nothing to point at.
    #[inline(always)]
    #[must_use]
    pub fn link(&self) -> Link {
        Link
    }

    /// Notes nothing.
    #[inline(always)]
    pub fn answered(&self, _status: StatusCode) {}

    /// There is nothing to be forgotten.
    #[inline(always)]
    pub fn discard(&self) {}
}

/// While it lives, nothing is different.
#[derive(Clone, Debug)]
pub struct Entered;

impl Entered {
    /// Ends it.
    #[inline(always)]
    pub fn leave(self) {}
}

/// Points at nothing.
#[derive(Clone, Debug, Default)]
pub struct Link;

/// No step.
#[derive(Clone, Debug)]
pub struct Open;

impl Open {
    /// Ends it.
    #[inline(always)]
    pub fn end(self) {}

    /// Notes nothing.
    #[inline(always)]
    pub fn word(&mut self, _name: &'static str, _word: &'static str) {}

    /// Notes nothing.
    #[inline(always)]
    pub fn number(&mut self, _name: &'static str, _number: u64) {}

    /// Notes nothing.
    #[inline(always)]
    pub fn follows(&mut self, _link: &Link) {}

    /// Notes nothing, and leaves the request as it is.
    #[inline(always)]
    pub fn sends<B>(&mut self, _request: &mut Request<B>) {}

    /// Notes nothing.
    #[inline(always)]
    pub fn answered(&mut self, _status: StatusCode) {}

    /// Notes nothing.
    #[inline(always)]
    pub fn failed(&mut self, _why: &'static str) {}
}

/// No step below no span.
#[inline(always)]
#[must_use]
pub fn step(_step: Step) -> Open {
    Open
}

/// No step below no span.
#[inline(always)]
#[must_use]
pub fn trial(_step: Step) -> Open {
    Open
}

/// No span below no span.
#[inline(always)]
#[must_use]
pub fn begin(_step: Step) -> Span {
    Span
}

/// No span.
#[inline(always)]
#[must_use]
pub fn current() -> Span {
    Span
}

/// There is no trace.
#[inline(always)]
#[must_use]
pub fn id() -> Option<&'static str> {
    None
}

/// Notes nothing.
#[inline(always)]
pub fn route(_route: &Route) {}

/// Notes nothing.
#[inline(always)]
pub fn outcome(_labels: (&'static str, &'static str)) {}

/// Notes nothing.
#[inline(always)]
pub fn number(_name: &'static str, _number: u64) {}

/// Notes nothing.
#[inline(always)]
pub fn failed(_why: &'static str) {}
