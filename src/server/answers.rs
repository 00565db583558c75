//! Who answers a request: the guard, then the frontend or the proxy, whichever are in office when it comes.

use std::{
    convert::Infallible,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::{Either, ready as now};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::{body::Incoming, service::Service};

use super::seat::{Seat, Visit};
use crate::{
    body::Body,
    classify::{Asked, Reason},
    config::{Clients, Config},
    forward::Plain,
    guard::{self, Refusal},
    proxy::{Answering, Passing, Proxy, Uploading},
    respond::{self, text::Text},
    telemetry::Telemetry,
    trace::{self, Parent, Span, Step, Tracer},
    ui::{self, Ui},
    upstream::{BodyError, Spelling, Upload},
};

/// What answers, as of one configuration.
pub(super) struct Answers {
    pub(super) proxy: Proxy,
    pub(super) ui: Option<Ui>,
    pub(super) tracer: Tracer,
    pub(super) limits: Clients,
    /// For the operator's eyes.
    pub(super) configuration: Arc<str>,
}

/// The answers in office; exchanged as a whole.
pub(super) type Office = Arc<ArcSwap<Answers>>;

/// What hyper does not say of a request.
struct Came {
    spelling: Option<Arc<Spelling>>,
    /// It must be answered: its head does not contradict itself.
    clear: bool,
    from: IpAddr,
}

/// Answers the requests of one connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Answerer {
    pub(super) office: Office,
    pub(super) seat: Arc<Seat>,
}

impl Service<Request<Incoming>> for Answerer {
    type Response = Response<Visited>;
    type Error = Infallible;
    type Future = Visiting;

    fn call(&self, request: Request<Incoming>) -> Visiting {
        let (visit, clear) = self.seat.visit();
        let came = Came { spelling: visit.spelling(), clear, from: self.seat.from };
        let second = request.version() == Version::HTTP_2;
        self.seat.note_bodied(!request.body().is_end_stream());
        let answers = self.office.load();
        let span = answers.tracer.request(request.method(), request.version(), || {
            let fields = request.headers().iter();
            Parent::of(fields.map(|(name, value)| (name.as_str(), value.as_bytes())))
        });
        let entered = span.enter();
        let begun = catch_unwind(AssertUnwindSafe(|| answers.answer(request, came)));
        entered.leave();
        let work = begun.unwrap_or_else(|_| Either::Left(now(failed(answers.proxy.telemetry()))));
        // Who is answered at once shares nothing with other threads.
        let telemetry = matches!(work, Either::Right(_)).then(|| Arc::clone(answers.proxy.telemetry()));
        Visiting { work, visit: Some(visit), second, telemetry, span }
    }
}

/// A request that is being answered. A panic on the way is one failed request.
pub(super) struct Visiting {
    work: Answering,
    visit: Option<Visit>,
    /// It came over HTTP/2.
    second: bool,
    telemetry: Option<Arc<Telemetry>>,
    span: Span,
}

impl Future for Visiting {
    type Output = Result<Response<Visited>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let _entered = this.span.enter();
        let answer = match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.work).poll(context))) {
            Ok(answer) => ready!(answer),
            Err(_) => this.telemetry.as_deref().map_or_else(respond::internal, failed),
        };
        this.span.answered(answer.status());
        let mut visit = this.visit.take();
        if let (Some(visit), true) = (&mut visit, this.second) {
            visit.offer();
        }
        Poll::Ready(Ok(answer.map(|body| Visited { body, visit })))
    }
}

fn failed(telemetry: &Telemetry) -> Response<Body> {
    telemetry.panicked();
    respond::internal()
}

impl Answers {
    pub(super) fn of(config: &Config, proxy: Proxy, ui: Option<Ui>, tracer: Tracer) -> Self {
        Self { proxy, ui, tracer, limits: config.clients.clone(), configuration: config.report().into() }
    }

    /// The answer to a plain request that asks for this, if its one `Authorization` is known, and it is there. `heeded` are
    /// those of its fields that decide on it.
    pub(super) fn at_hand(
        &self,
        request: &Plain<'_>,
        host: &[u8],
        asked: Arc<Asked>,
        authorization: &[u8],
        heeded: &HeaderMap,
    ) -> Option<Text> {
        let parent = || Parent::of(request.lines.iter().map(|line| (line.name, line.value)));
        let span = self.tracer.request(&Method::GET, Version::HTTP_11, parent);
        let _entered = span.enter();
        let step = trace::step(Step::Guard);
        let checked = guard::check_plain(request.target, host, &self.limits);
        step.end();
        let at_hand = |()| self.proxy.at_hand(request.target, asked, authorization, heeded);
        let answer = checked.ok().and_then(at_hand);
        match &answer {
            Some(answer) => span.answered(answer.status()),
            // Whoever reads it next begins one of his own.
            None => span.discard(),
        }
        answer
    }

    /// What a GET without a body asks the proxy for, or why that passes it on. `None`: it may be the frontend's, or is not
    /// understood by its target alone.
    pub(super) fn asked(&self, target: &str) -> Option<Result<Arc<Asked>, Reason>> {
        if self.may_be_pages(target) { None } else { self.proxy.asked(target) }
    }

    fn may_be_pages(&self, target: &str) -> bool {
        self.ui.is_some() && ui::is_under(target)
    }

    /// A plain request that the proxy passes on for this reason. `None` where requests are traced: spans are hyper's way.
    pub(super) fn passing(&self, request: &Plain<'_>, host: &[u8], reason: Reason) -> Option<Passing> {
        guard::check_plain(request.target, host, &self.limits).ok()?;
        if self.tracer.is_on() { None } else { self.proxy.passing(request, reason) }
    }

    /// An upload of so many bytes that the proxy passes on, and what there is of it to be sent. `None`: it may be the
    /// frontend's, or it is not understood by its target alone, or requests are traced.
    pub(super) fn uploading(
        &self,
        request: &Plain<'_>,
        host: &[u8],
        length: u64,
    ) -> Option<(Uploading, Upload)> {
        guard::check_plain(request.target, host, &self.limits).ok()?;
        if self.may_be_pages(request.target) || self.tracer.is_on() {
            None
        } else {
            self.proxy.uploading(request, length)
        }
    }

    fn answer(&self, request: Request<Incoming>, came: Came) -> Answering {
        let (method, uri, version) = (request.method(), request.uri(), request.version());
        let refused = |refusal: &Refusal| {
            let answer = respond::refused(refusal);
            self.proxy.note_refused(method, uri, answer.status());
            answer
        };
        if !came.clear {
            return Either::Left(now(last(refused(&Refusal::Framing))));
        }
        let step = trace::step(Step::Guard);
        let checked = guard::check(method, uri, version, request.headers(), &self.limits);
        step.end();
        if let Err(refusal) = checked {
            return Either::Left(now(refused(&refusal)));
        }
        match &self.ui {
            Some(ui) => ui.handle(request, came.spelling, came.from),
            None => self.proxy.handle(request, came.spelling),
        }
    }
}

/// Nothing that comes after this answer is believed.
fn last(mut answer: Response<Body>) -> Response<Body> {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// An answer's body; while it lasts its connection is not idle.
pub(super) struct Visited {
    body: Body,
    visit: Option<Visit>,
}

impl http_body::Body for Visited {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = Pin::new(&mut self.body).poll_frame(context);
        if let Some(visit) = &self.visit {
            visit.asked(piece.is_ready());
        }
        piece
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
