//! What is recorded of a request: its span and those of its steps, which are given away together when it ends.
//!
//! Not the spans of the SDK: those are given away one by one as they end, and a look that found no answer at hand must
//! leave nothing behind.

use std::{
    borrow::Cow,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use http::{HeaderValue, Method, Request, StatusCode, Version};
use opentelemetry::{
    KeyValue, Value,
    trace::{Link as SpanLink, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{IdGenerator as _, SpanData, SpanLinks};

use super::{
    Step,
    context::{Remote, TRACEPARENT, TRACESTATE, said_of},
    tracer::Shared,
};
use crate::config::Route;

/// How a request has ended.
pub(super) const OUTCOME: &str = "catproxy.outcome";
/// So many spans of steps are kept until their request ends; more are given away before.
const KEPT: usize = 64;

/// A span that has steps.
#[derive(Debug)]
pub(super) struct Recording {
    shared: Arc<Shared>,
    context: SpanContext,
    /// Its parent, and whether that is of another process.
    parent: SpanId,
    is_remote: bool,
    /// The client said of which trace this is, and this besides.
    continues: bool,
    state: Option<HeaderValue>,
    kind: SpanKind,
    began: SystemTime,
    since: Instant,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    name: Cow<'static, str>,
    attributes: Vec<KeyValue>,
    status: Status,
    ended: Option<SystemTime>,
    steps: Vec<SpanData>,
    discarded: bool,
}

/// Points at a span of another request; at none by default.
#[derive(Clone, Debug, Default)]
pub struct Link(Option<SpanContext>);

impl Recording {
    /// Of a client's request, which goes on with the client's trace if there is one.
    pub(super) fn request(
        shared: Arc<Shared>,
        method: &Method,
        version: Version,
        parent: Option<Remote>,
    ) -> Self {
        let trace = parent.as_ref().map_or_else(|| shared.ids.new_trace_id(), |parent| parent.trace);
        let sampled = shared.samples(trace, parent.as_ref().map(|parent| parent.sampled));
        let (continues, above) = (parent.is_some(), parent.as_ref().map(|parent| parent.span));
        // Where nothing is recorded, what the upstream does is the client's span's.
        let span = above.filter(|_| !sampled).unwrap_or_else(|| shared.ids.new_span_id());
        let mut notes = Notes::default();
        if sampled {
            let method = word_of(method);
            notes.name = Cow::Borrowed(if method == OTHER { "HTTP" } else { method });
            notes.attributes = vec![
                KeyValue::new("http.request.method", method),
                KeyValue::new("url.scheme", shared.scheme),
                KeyValue::new("network.protocol.version", number_of(version)),
            ];
        }
        Self {
            context: context(trace, span, sampled),
            parent: above.unwrap_or(SpanId::INVALID),
            is_remote: continues,
            continues,
            state: parent.and_then(|parent| parent.state),
            kind: SpanKind::Server,
            began: shared.clock.now(),
            since: Instant::now(),
            notes: Mutex::new(notes),
            shared,
        }
    }

    /// Of a piece of work below this one.
    pub(super) fn below(&self, step: Step) -> Self {
        let sampled = self.context.is_sampled();
        let span = if sampled { self.shared.ids.new_span_id() } else { self.context.span_id() };
        Self {
            shared: Arc::clone(&self.shared),
            context: context(self.trace(), span, sampled),
            parent: self.context.span_id(),
            is_remote: false,
            continues: self.continues,
            state: self.state.clone(),
            kind: SpanKind::Internal,
            began: self.now(),
            since: Instant::now(),
            notes: Mutex::new(Notes { name: Cow::Borrowed(step.name()), ..Notes::default() }),
        }
    }

    pub(super) fn trace(&self) -> TraceId {
        self.context.trace_id()
    }

    pub(super) fn link(&self) -> Link {
        Link(Some(self.context.clone()))
    }

    /// By the wall's clock, as it was when this began: no span ends before it has begun.
    fn now(&self) -> SystemTime {
        self.began + self.since.elapsed()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is noted, if anything is.
    fn note(&self, change: impl FnOnce(&mut Notes)) {
        if self.context.is_sampled() {
            change(&mut self.notes());
        }
    }

    pub(super) fn route(&self, route: &Route) {
        self.note(|notes| {
            let path = route.path.to_string();
            if self.kind == SpanKind::Server {
                notes.name = format!("{} {path}", notes.name).into();
            }
            notes.attributes.push(KeyValue::new("http.route", path));
            notes.attributes.push(KeyValue::new("catproxy.route", route.name.clone()));
        });
    }

    pub(super) fn words(&self, words: [(&'static str, &'static str); 2]) {
        let words = words.map(|(name, word)| KeyValue::new(name, word));
        self.note(|notes| notes.attributes.extend(words));
    }

    pub(super) fn number(&self, name: &'static str, number: u64) {
        self.note(|notes| notes.attributes.push(integer(name, number)));
    }

    pub(super) fn failed(&self, why: &'static str) {
        self.note(|notes| fail(&mut notes.attributes, &mut notes.status, why.into()));
    }

    pub(super) fn answered(&self, status: StatusCode) {
        let now = self.now();
        self.note(|notes| {
            notes.ended = Some(now);
            notes.attributes.push(integer("http.response.status_code", status.as_u16().into()));
            if status.is_server_error() {
                fail(&mut notes.attributes, &mut notes.status, status.as_str().to_owned().into());
            }
        });
    }

    pub(super) fn discard(&self) {
        self.notes().discarded = true;
    }

    /// A step has ended.
    fn add(&self, step: SpanData) {
        let mut notes = self.notes();
        notes.steps.push(step);
        if notes.steps.len() >= KEPT && !notes.discarded {
            self.shared.queue.push(mem::take(&mut notes.steps));
        }
    }

    fn span(&self, notes: &mut Notes) -> SpanData {
        // A write has ended somehow though its client has left.
        let has_ended = notes.attributes.iter().any(|pair| pair.key.as_str() == OUTCOME);
        if self.kind == SpanKind::Server && notes.ended.is_none() && !has_ended {
            notes.attributes.push(KeyValue::new(OUTCOME, "left"));
        }
        SpanData {
            span_context: self.context.clone(),
            parent_span_id: self.parent,
            parent_span_is_remote: self.is_remote,
            span_kind: self.kind.clone(),
            name: mem::take(&mut notes.name),
            start_time: self.began,
            end_time: notes.ended.unwrap_or_else(|| self.now()),
            attributes: mem::take(&mut notes.attributes),
            dropped_attributes_count: 0,
            events: Default::default(),
            links: SpanLinks::default(),
            status: mem::take(&mut notes.status),
            instrumentation_scope: self.shared.scope.clone(),
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.context.is_sampled() {
            return;
        }
        let mut notes = mem::take(&mut *self.notes());
        if !notes.discarded {
            let mut spans = mem::take(&mut notes.steps);
            spans.push(self.span(&mut notes));
            self.shared.queue.push(spans);
        }
    }
}

/// A step that is under way; dropped, it has ended. By default nobody records it.
#[derive(Debug, Default)]
pub struct Open(Held);

#[derive(Debug, Default)]
enum Held {
    #[default]
    Nobody,
    /// What is sent to the upstream says so.
    Unsampled(Arc<Recording>),
    Sampled(Box<Ongoing>),
}

#[derive(Debug)]
struct Ongoing {
    recording: Arc<Recording>,
    id: SpanId,
    step: Step,
    began: SystemTime,
    attributes: Vec<KeyValue>,
    links: SpanLinks,
    status: Status,
    in_vain: bool,
}

impl Open {
    pub(super) fn below(recording: &Arc<Recording>, step: Step) -> Self {
        if recording.context.is_sampled() {
            return Self(Held::Sampled(Box::new(Ongoing {
                recording: Arc::clone(recording),
                id: recording.shared.ids.new_span_id(),
                step,
                began: recording.now(),
                attributes: Vec::new(),
                links: SpanLinks::default(),
                status: Status::Unset,
                in_vain: false,
            })));
        }
        Self(if step.is_request() { Held::Unsampled(Arc::clone(recording)) } else { Held::Nobody })
    }

    fn note(&mut self, change: impl FnOnce(&mut Ongoing)) {
        if let Held::Sampled(ongoing) = &mut self.0 {
            change(ongoing);
        }
    }

    pub(super) fn in_vain_so_far(mut self) -> Self {
        self.note(|ongoing| ongoing.in_vain = true);
        self
    }

    /// It has ended.
    pub fn end(mut self) {
        self.note(|ongoing| ongoing.in_vain = false);
    }

    /// Says something of it, in a word.
    pub fn word(&mut self, name: &'static str, word: &'static str) {
        self.note(|ongoing| ongoing.attributes.push(KeyValue::new(name, word)));
    }

    /// Says a number of it.
    pub fn number(&mut self, name: &'static str, number: u64) {
        self.note(|ongoing| ongoing.attributes.push(integer(name, number)));
    }

    /// It waits for what another request has begun.
    pub fn follows(&mut self, link: &Link) {
        let Some(context) = link.0.as_ref().filter(|context| context.is_sampled()) else { return };
        self.note(|ongoing| ongoing.links.links.push(SpanLink::with_context(context.clone())));
    }

    /// It is this request to the upstream, which from here on says so: whoever receives it goes on with the trace below
    /// this step, or knows that it is not sampled.
    pub fn sends<B>(&mut self, request: &mut Request<B>) {
        let (recording, span) = match &mut self.0 {
            Held::Nobody => return,
            Held::Unsampled(recording) => (&*recording, recording.context.span_id()),
            Held::Sampled(ongoing) => {
                let server = ongoing.recording.shared.server.iter().cloned();
                ongoing.attributes.extend(server);
                ongoing.attributes.push(KeyValue::new("http.request.method", word_of(request.method())));
                (&ongoing.recording, ongoing.id)
            }
        };
        let fields = request.headers_mut();
        if let Some(said) = said_of(recording.trace(), span, recording.context.is_sampled()) {
            fields.insert(TRACEPARENT, said);
        }
        if !recording.continues {
            // What a client says without a trace that is one belongs to none.
            fields.remove(TRACESTATE);
        } else if let Some(state) = &recording.state {
            fields.entry(TRACESTATE).or_insert_with(|| state.clone());
        }
    }

    /// The upstream has answered it with this status.
    pub fn answered(&mut self, status: StatusCode) {
        self.note(|ongoing| {
            ongoing.attributes.push(integer("http.response.status_code", status.as_u16().into()));
            if status.is_client_error() || status.is_server_error() {
                fail(&mut ongoing.attributes, &mut ongoing.status, status.as_str().to_owned().into());
            }
        });
    }

    /// It failed, in a word.
    pub fn failed(&mut self, why: &'static str) {
        self.note(|ongoing| fail(&mut ongoing.attributes, &mut ongoing.status, why.into()));
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        if self.in_vain {
            return;
        }
        let recording = &self.recording;
        recording.add(SpanData {
            span_context: context(recording.trace(), self.id, true),
            parent_span_id: recording.context.span_id(),
            parent_span_is_remote: false,
            span_kind: if self.step.is_request() { SpanKind::Client } else { SpanKind::Internal },
            name: self.step.name().into(),
            start_time: self.began,
            end_time: recording.now(),
            attributes: mem::take(&mut self.attributes),
            dropped_attributes_count: 0,
            events: Default::default(),
            links: mem::take(&mut self.links),
            status: mem::take(&mut self.status),
            instrumentation_scope: recording.shared.scope.clone(),
        });
    }
}

/// Without a `tracestate`: what stands in it is for the upstream alone.
fn context(trace: TraceId, span: SpanId, sampled: bool) -> SpanContext {
    let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    SpanContext::new(trace, span, flags, false, TraceState::NONE)
}

/// What went wrong first is what it failed by.
fn fail(attributes: &mut Vec<KeyValue>, status: &mut Status, why: Value) {
    if *status == Status::Unset {
        attributes.push(KeyValue::new("error.type", why));
        *status = Status::error("");
    }
}

fn integer(name: &'static str, number: u64) -> KeyValue {
    KeyValue::new(name, i64::try_from(number).unwrap_or(i64::MAX))
}

/// What a method is called that is none of HTTP's: a client may say anything there.
const OTHER: &str = "_OTHER";

fn word_of(method: &Method) -> &'static str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
        Method::CONNECT,
        Method::TRACE,
    ];
    const WORDS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
    let known = KNOWN.iter().zip(WORDS).find(|(known, _)| *known == method);
    known.map_or(OTHER, |(_, word)| word)
}

fn number_of(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
