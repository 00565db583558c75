//! A world without a network: connections are pipes, and time passes only where nobody has anything to do.

use std::{
    convert::Infallible,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use catproxy::{
    config::{
        Config,
        check::{Overrides, load},
        profile::Profile,
    },
    dial::{Dial, Dialling, Wire},
};
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

/// Fields of a request's head, as the door has it.
pub(super) const FIELDS: usize = 128;
/// Bytes of one, and what a pipe holds.
const BUFFER: usize = 64 * 1024;

/// The default profile in front of an upstream without TLS.
pub(super) fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = load(Profile::Panels.source(), Overrides::default()).expect("a profile").0;
    config.upstream.tls = false;
    change(&mut config);
    config
}

/// Runs it to its end, in no time.
pub(super) fn in_memory(work: impl Future<Output = ()>) {
    runtime().block_on(work);
}

/// Where nothing takes time.
pub(super) fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime")
}

/// Sends all of it on a connection to a server as the door has it, and gives what comes back until that closes.
pub(super) async fn converse<F, B>(answer: impl Fn(Request<Incoming>) -> F, bytes: &[u8]) -> Vec<u8>
where
    F: Future<Output = Response<B>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut client, server) = duplex(BUFFER);
    let answer = |request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    };
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(60))
        .max_headers(FIELDS)
        .max_buf_size(BUFFER)
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(server), service_fn(answer));
    let talking = async {
        // Where the server closes early, the rest is of no use.
        let _ = client.write_all(bytes).await;
        let mut answers = Vec::new();
        let _ = client.read_to_end(&mut answers).await;
        answers
    };
    tokio::join!(serving, talking).1
}

type Serve = dyn Fn(DuplexStream) -> JoinHandle<()> + Send + Sync;

/// Serves each connection that is dialled, whatever host it is to.
#[derive(Clone)]
pub(super) struct Memory {
    serve: Arc<Serve>,
    serving: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Memory {
    pub(super) fn new<F>(serve: impl Fn(DuplexStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { serve: Arc::new(move |stream| tokio::spawn(serve(stream))), serving: Arc::default() }
    }

    /// Of connections that have ended nothing is kept.
    pub(super) fn forget(&self) {
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        serving.retain(|connection| !connection.is_finished());
    }

    /// Waits for the ends of all connections; panics where one has.
    pub(super) async fn ended(&self) {
        let serving = std::mem::take(&mut *self.serving.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in serving {
            connection.await.expect("a connection that is sound");
        }
    }
}

impl Dial for Memory {
    fn dial(&self, _: &str, _: u16) -> Dialling {
        let (near, far) = duplex(BUFFER);
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        serving.push((self.serve)(far));
        Box::pin(async { Ok(Box::new(near) as Box<dyn Wire>) })
    }
}
