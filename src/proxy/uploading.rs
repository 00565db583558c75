//! An upload that is passed on as bytes. It is a write: before the first byte of its answer goes out, what it may have
//! changed is void, and again before the last one where that came later.

use std::future::Future;

use http::{Method, Response};
use tokio::io::AsyncRead;

use super::{Begun, Inner, Proxy, is_refused};
use crate::{
    body::{Afterwards, Body},
    classify::{Effect, Reason},
    forward::{Passed, Plain, Sent},
    respond,
    upstream::{Upload, UpstreamError},
};

/// Such a request, of which nothing has been sent yet, or some of its body.
pub struct Uploading {
    proxy: Proxy,
    effect: Effect,
    begun: Begun,
    /// For the upstream.
    head: Vec<u8>,
}

impl Proxy {
    /// A plain request with a body of so many bytes that is to be [passed on](Uploading::send), and what there is of it to be
    /// sent. `None` where the upstream does not take it as it is.
    #[must_use]
    pub fn uploading(&self, request: &Plain<'_>, length: u64) -> Option<(Uploading, Upload)> {
        let Inner { forwarder, classifier, pace, .. } = &*self.0;
        if !forwarder.takes_plain() {
            return None;
        }
        let effect = classifier.written_plainly(request.method, request.target)?;
        let head = forwarder.plain_head(request);
        let upload = Upload::new(&head, length, forwarder.body_timeout(), *pace)?;
        let method = Method::from_bytes(request.method.as_bytes()).ok()?;
        let begun = Begun::plain(&method, request.target);
        Some((Uploading { proxy: self.clone(), effect, begun, head }, upload))
    }
}

impl Uploading {
    /// Sends it, its body as it comes from `client`; returns when all of it is on its way, the upstream takes no more of it,
    /// or has answered early. What comes of that is to be [waited for](Self::answered) in any case.
    ///
    /// # Errors
    /// Why there will be no answer.
    pub async fn send(
        &self,
        upload: &mut Upload,
        client: &mut (impl AsyncRead + Unpin),
    ) -> Result<Sent, UpstreamError> {
        let (name, value) = respond::forwarded_field(Reason::Method);
        let (forwarder, own) = (&self.proxy.0.forwarder, (&name, &value));
        forwarder.upload(&self.head, upload, client, own, || self.proxy.date()).await
    }

    /// Waits for the answer's head, in a task of its own: a client that leaves does not cancel its write.
    ///
    /// # Errors
    /// What the client gets where the upstream gave no answer.
    pub fn answered(
        self,
        sent: Result<Sent, UpstreamError>,
    ) -> impl Future<Output = Result<Passed, Response<Body>>> + Send {
        let (proxy, routes) = (self.proxy.clone(), self.effect.routes.clone());
        let task = proxy.0.common.tasks.spawn(self.concluded(sent));
        async move {
            match task.await {
                Ok(answer) => answer,
                Err(_) => Err(proxy.dated(proxy.failed_write(&routes).await)),
            }
        }
    }

    /// What the client gets where [sending](Self::send) it has panicked.
    pub async fn failed(self) -> Response<Body> {
        self.proxy.dated(self.proxy.failed_write(&self.effect.routes).await)
    }

    async fn concluded(self, sent: Result<Sent, UpstreamError>) -> Result<Passed, Response<Body>> {
        let Self { proxy, effect, begun, head } = self;
        let passed = match sent {
            Ok(sent) => {
                let (name, value) = respond::forwarded_field(Reason::Method);
                sent.answer((&name, &value), || proxy.date()).await
            }
            Err(error) => Err(error),
        };
        let (status, answer) = proxy.passed(passed, Reason::Method, &head, &begun);
        if is_refused(status, answer.is_ok(), effect.partial) {
            return answer;
        }
        proxy.void(&effect.routes).await;
        // An upstream may say how it will go before it is done: what was filled until its answer's end is void, too.
        answer.map(|mut passed| {
            if !passed.body.has_ended() {
                passed.after = Some(Afterwards::of(async move { proxy.void(&effect.routes).await }));
            }
            passed
        })
    }
}
