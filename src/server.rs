//! Accepts connections and hands their requests to the proxy; stops in order.
//!
//! Only this module knows how many runtimes there are.

mod steady;

use std::{convert::Infallible, future::Future, io, net::SocketAddr, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::task::TaskTracker;

use self::steady::Steady;
use crate::{
    clock::Clock,
    config::Config,
    deadline::Deadline,
    proxy::{Proxy, Unusable},
};

/// From a connection's opening, or its last answer, to a whole request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Fields of a request's head.
const FIELDS: usize = 128;
/// Bytes of a request's head.
const HEAD_BYTES: usize = 64 * 1024;
/// A client that takes nothing for so many times the body timeout has gone. Not one time: the system tells of
/// progress only when a good part of its buffer is free again.
const SLOW_READER: u32 = 4;
/// What is in flight may take this long once the door is closed.
const GRACE: Duration = Duration::from_secs(10);
/// After accepting failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Runs `work` and everything that it starts, on as many threads as there are cores.
///
/// # Errors
/// Those of `work`, or that the operating system gives no threads.
pub fn block_on<T>(work: impl Future<Output = Result<T, StartError>>) -> Result<T, StartError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(StartError::Threads)?;
    runtime.block_on(work)
}

/// A proxy with its door open.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    proxy: Proxy,
    write_timeout: Duration,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be run.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// The operating system gives no threads.
    #[error("no threads to run on")]
    Threads(#[source] io::Error),
    /// The address cannot be listened on.
    #[error("cannot listen on {address} (another address: --listen)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// How a server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// All that was in flight was finished.
    Drained,
    /// Some of it took too long and was cut off.
    CutOff,
}

impl Server {
    /// Opens the door. From here on connections queue; [`Server::run`] answers them.
    ///
    /// # Errors
    /// Where the configuration cannot be run, or the port is in use.
    pub async fn bind(config: &Config, clock: Clock) -> Result<Self, StartError> {
        let proxy = Proxy::new(config, clock)?;
        let failed = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let write_timeout = config.upstream.body_timeout * SLOW_READER;
        Ok(Self { listener, address, proxy, write_timeout })
    }

    /// Where clients connect: with port 0 configured, the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The proxy behind the door.
    #[must_use]
    pub fn proxy(&self) -> Proxy {
        self.proxy.clone()
    }

    /// Answers until `stop` ends; then closes the door, finishes what is in flight, and gives up after a
    /// grace period.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Stopped {
        let proxy = self.proxy.clone();
        tokio::spawn(async move { proxy.greet().await });
        let tasks = TaskTracker::new();
        let (closing, closed) = watch::channel(false);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let stream = self.prepared(stream);
                        tasks.spawn(converse(stream, self.proxy.clone(), closed.clone()));
                    }
                    // Too many descriptors, or a client that was gone at once: the next one may fare better.
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
        drop(self.listener);
        closing.send_replace(true);
        tasks.close();
        let settled = async {
            tasks.wait().await;
            self.proxy.settle().await;
        };
        match Deadline::after(GRACE).within(settled).await {
            Ok(()) => Stopped::Drained,
            Err(_) => Stopped::CutOff,
        }
    }

    fn prepared(&self, stream: TcpStream) -> Steady<TcpStream> {
        // Without it small answers wait for the client's acknowledgement; a socket that refuses is slow, not wrong.
        let _ = stream.set_nodelay(true);
        Steady::new(stream, self.write_timeout)
    }
}

/// One connection, from its first byte to its last.
async fn converse(stream: Steady<TcpStream>, proxy: Proxy, mut closed: watch::Receiver<bool>) {
    let answer = service_fn(move |request| {
        let proxy = proxy.clone();
        async move { Ok::<_, Infallible>(proxy.handle(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(FIELDS)
        .max_buf_size(HEAD_BYTES)
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(stream), answer)
        .with_upgrades();
    tokio::pin!(connection);
    tokio::select! {
        // A connection's error is its client's: it left, or sent what is no HTTP.
        _ = connection.as_mut() => return,
        _ = closed.wait_for(|closed| *closed) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
