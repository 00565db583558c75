//! Accepts connections and hands their requests to who answers them; stops in order.
//!
//! Only this module knows how many runtimes there are.

mod answers;
mod converse;
mod heads;
pub mod reload;
mod seat;
mod seated;
mod seats;

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use self::{
    answers::{Answers, Office},
    converse::converse,
    reload::Reload,
    seated::Seated,
    seats::Seats,
};
use crate::{
    clock::Clock,
    config::Config,
    deadline::Deadline,
    proxy::{Proxy, Unusable},
    ui::{Ui, session::SessionsUnusable},
};

/// After accepting failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What was cut short may take this long to end.
const LAST_MOMENTS: Duration = Duration::from_secs(1);
/// So much of an answer may wait in the system for the client to take what is before it.
const UNSENT_BYTES: u32 = 128 * 1024;
/// A client of whom nothing was heard for so long is asked by the system whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// To a client for whom there is no seat.
const TURNED_AWAY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
    Cache-Control: no-store\r\nContent-Type: application/problem+json\r\nContent-Length: 97\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"too many connections\"}";

/// Runs `work` and everything that it starts, on as many threads as there are cores.
///
/// # Errors
/// Those of `work`, or that the operating system gives no threads.
pub fn block_on<T, E: From<StartError>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = built.map_err(StartError::Threads)?;
    let outcome = runtime.block_on(work);
    // Not waiting for what computes on threads of its own: nobody is there any more for what it makes.
    runtime.shutdown_background();
    outcome
}

/// A proxy with its door open.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    office: Office,
    seats: Seats,
    clock: Clock,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be run.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// The frontend cannot be run.
    #[error("the frontend at /ui")]
    Frontend(#[from] SessionsUnusable),
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
    /// All requests that were in flight were finished.
    Drained,
    /// Some of them took too long and were cut off.
    CutOff,
}

impl Server {
    /// Opens the door. From here on connections queue; [`Server::run`] answers them.
    ///
    /// # Errors
    /// Where the configuration cannot be run, or the port is in use.
    pub async fn bind(config: &Config, clock: Clock) -> Result<Self, StartError> {
        let proxy = Proxy::new(config, clock.clone())?;
        let ui = config.ui.as_ref().map(|_| Ui::new(config, proxy.clone(), clock.clone())).transpose()?;
        let failed = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let limits = config.clients.clone();
        let seats = Seats::new(limits.clone(), Arc::clone(proxy.telemetry()));
        let office = Arc::new(ArcSwap::from_pointee(Answers { proxy, ui, limits }));
        Ok(Self { listener, address, office, seats, clock })
    }

    /// Where clients connect: with port 0 configured, the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The proxy that is in office now.
    #[must_use]
    pub fn proxy(&self) -> Proxy {
        self.office.load().proxy.clone()
    }

    /// By which another configuration takes office while the server runs.
    #[must_use]
    pub fn reload(&self) -> Reload {
        Reload::new(Arc::clone(&self.office), self.seats.clone(), self.clock.clone())
    }

    /// Answers until `stop` ends; then closes the door, finishes what is in flight, and closes what is left
    /// after `clients.drain-timeout`: tunnels, and requests that take longer.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Stopped {
        let proxy = self.proxy();
        tokio::spawn(async move { proxy.greet().await });
        let seats = self.seats.clone();
        let _looked_after = AbortOnDropHandle::new(tokio::spawn(async move { seats.look_after().await }));
        let tasks = TaskTracker::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => self.welcome(stream, peer.ip(), &tasks),
                    // Too many descriptors, or a client that was gone at once: the next one may fare better.
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
        drop(self.listener);
        drain(&self.office, &self.seats, &tasks).await
    }

    fn welcome(&self, stream: TcpStream, from: IpAddr, tasks: &TaskTracker) {
        match self.seats.take(from) {
            Ok(held) => {
                prepare(&stream);
                let (office, limits) = (Arc::clone(&self.office), self.seats.limits());
                tasks.spawn(converse(Seated::new(stream, held), office, limits));
            }
            Err(_) => {
                // Its buffer is empty, so this is all written or the client is gone.
                let _ = stream.try_write(TURNED_AWAY);
            }
        }
    }
}

/// A socket that refuses one of these is slower, or its client's absence is noticed later; not wrong.
fn prepare(stream: &TcpStream) {
    // Without it small answers wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    // What the system has taken is not what the client has: a write goes on when the client takes, not when a buffer of
    // megabytes has room again.
    let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4));
}

async fn drain(office: &Office, seats: &Seats, tasks: &TaskTracker) -> Stopped {
    seats.close();
    tasks.close();
    let settled = async || {
        tasks.wait().await;
        office.load_full().proxy.settle().await;
    };
    if Deadline::after(seats.limits().drain_timeout).within(settled()).await.is_ok() {
        return Stopped::Drained;
    }
    seats.clear();
    office.load_full().proxy.cut_tunnels();
    // A tunnel has no end of its own, so it is nobody's loss; a write whose client has left still is one.
    let ended = Deadline::after(LAST_MOMENTS).within(settled()).await;
    if ended.is_ok() && !seats.cut_somebody() { Stopped::Drained } else { Stopped::CutOff }
}
