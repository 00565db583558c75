//! Who answers a request: the guard, then the frontend or the proxy, whichever are in office when it comes.

use std::{
    net::IpAddr,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderValue, Request, Response, Version, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::seat::{Seat, Visit};
use crate::{
    body::Body,
    config::Clients,
    guard::{self, Refusal},
    proxy::Proxy,
    respond,
    ui::Ui,
    upstream::BodyError,
};

/// What answers, as of one configuration.
pub(super) struct Answers {
    pub(super) proxy: Proxy,
    pub(super) ui: Option<Ui>,
    pub(super) limits: Clients,
}

/// The answers in office; exchanged as a whole.
pub(super) type Office = Arc<ArcSwap<Answers>>;

/// Answers one request that came on this seat. A panic on the way is one failed request.
pub(super) async fn answer(office: Office, request: Request<Incoming>, seat: Arc<Seat>) -> Response<Visited> {
    let (mut visit, clear) = seat.visit();
    let second = request.version() == Version::HTTP_2;
    let answers = office.load_full();
    let work = AssertUnwindSafe(answers.answer(request, clear, seat.from)).catch_unwind();
    let answer = work.await.unwrap_or_else(|_| {
        answers.proxy.telemetry().panicked();
        respond::internal()
    });
    if second {
        visit.offer();
    }
    answer.map(|body| Visited { body, visit })
}

impl Answers {
    async fn answer(&self, request: Request<Incoming>, clear: bool, from: IpAddr) -> Response<Body> {
        if !clear {
            return last(respond::refused(&Refusal::Framing));
        }
        let (method, uri, version) = (request.method(), request.uri(), request.version());
        if let Err(refusal) = guard::check(method, uri, version, request.headers(), &self.limits) {
            return respond::refused(&refusal);
        }
        match &self.ui {
            Some(ui) => ui.handle(request, from).await,
            None => self.proxy.handle(request).await,
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
    visit: Visit,
}

impl http_body::Body for Visited {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = Pin::new(&mut self.body).poll_frame(context);
        self.visit.asked(piece.is_ready());
        piece
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
