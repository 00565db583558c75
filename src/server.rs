//! Accepts connections and hands their requests to who answers them; stops in order.
//!
//! Only this module knows how many runtimes there are: one for each thread that serves connections, and the caller's,
//! which looks after them.

mod administered;
mod answers;
mod converse;
mod doors;
mod heads;
mod plain;
mod relay;
pub mod reload;
mod seat;
mod seated;
mod seats;
mod threads;
mod tls;
mod written;

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use self::{
    administered::Administered,
    answers::{Answerer, Answers, Office},
    converse::converse,
    doors::Place,
    reload::Reload,
    seated::Seated,
    seats::Seats,
    threads::{Failure, Threads, Welcome},
    tls::{Tls, TlsUnusable},
};
use crate::{
    admin::Admin,
    clock::Clock,
    config::Config,
    deadline::Deadline,
    proxy::{Proxy, Unusable},
    supervise,
    trace::{Tracer, Untraceable},
    ui::{Ui, session::SessionsUnusable},
};

/// What was cut short may take this long to end.
const LAST_MOMENTS: Duration = Duration::from_secs(1);
/// To a client for whom there is no seat.
const TURNED_AWAY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
    Cache-Control: no-store\r\nContent-Type: application/problem+json\r\nContent-Length: 97\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"too many connections\"}";

/// Runs `work` and everything that it starts, on this thread.
///
/// # Errors
/// Those of `work`, or that the operating system gives no threads.
pub fn block_on<T, E: From<StartError>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = built.map_err(StartError::Threads)?;
    let outcome = runtime.block_on(work);
    // Not waiting for what computes on threads of its own: nobody is there any more for what it makes.
    runtime.shutdown_background();
    outcome
}

/// A proxy with its door open.
pub struct Server {
    threads: Threads,
    welcome: Welcome,
    tasks: TaskTracker,
    office: Office,
    seats: Seats,
    tls: Option<Tls>,
    clock: Clock,
    admin: Option<Admin>,
    /// It was told to stop.
    stopping: CancellationToken,
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
    /// The certificate that clients should be shown.
    #[error("clients.tls")]
    Tls(#[from] TlsUnusable),
    /// There can be no traces as configured.
    #[error(transparent)]
    Untraceable(#[from] Untraceable),
    /// The operating system gives no threads.
    #[error("no threads to run on")]
    Threads(#[source] io::Error),
    /// The operator's address cannot be listened on.
    #[error("cannot listen on {address} for the operator (another address: --admin-listen)")]
    AdminListen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address} (another address: --listen)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The socket that was passed cannot be used.
    #[error("cannot let clients in by the socket that was passed")]
    Passed(#[source] io::Error),
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
        Self::at(Place::Address(config.listen), config, clock).await
    }

    /// The same with a door that somebody else has opened, and keeps open: what `config` says of `listen` has no effect.
    /// Who queues when the server stops waits for the next one that takes it.
    ///
    /// # Errors
    /// Where the configuration cannot be run, or the socket cannot be used.
    pub async fn take(config: &Config, clock: Clock, door: TcpListener) -> Result<Self, StartError> {
        Self::at(Place::Passed(door), config, clock).await
    }

    async fn at(place: Place, config: &Config, clock: Clock) -> Result<Self, StartError> {
        let proxy = Proxy::new(config, clock.clone())?;
        let ui = config.ui.as_ref().map(|_| Ui::new(config, proxy.clone(), clock.clone())).transpose()?;
        let tls = tls(config, &clock, &proxy).await?;
        let seats = Seats::new(config.clients.clone(), Arc::clone(proxy.telemetry()));
        let tracer = Tracer::new(config, &clock, proxy.telemetry())?;
        let office = Arc::new(ArcSwap::from_pointee(Answers::of(config, proxy, ui, tracer)));
        let stopping = CancellationToken::new();
        let administered =
            Administered { office: Arc::clone(&office), seats: seats.clone(), stopping: stopping.clone() };
        let admin = admin(config, administered).await?;
        let tasks = TaskTracker::new();
        let welcome = welcome(Arc::clone(&office), seats.clone(), tasks.clone(), tls.clone());
        let count = thread::available_parallelism().map_or(1, usize::from);
        let is_passed = matches!(place, Place::Passed(_));
        let threads = Threads::wait(place, count, &welcome).map_err(|failure| match failure {
            Failure::Door(source) if is_passed => StartError::Passed(source),
            Failure::Door(source) => StartError::Listen { address: config.listen, source },
            Failure::Thread(source) => StartError::Threads(source),
        })?;
        Ok(Self { threads, welcome, tasks, office, seats, tls, clock, admin, stopping })
    }

    /// Where clients connect: with port 0 configured, the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.threads.address()
    }

    /// Where the operator connects, if anywhere.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::address)
    }

    /// The proxy that is in office now.
    #[must_use]
    pub fn proxy(&self) -> Proxy {
        self.office.load().proxy.clone()
    }

    /// By which another configuration takes office while the server runs.
    #[must_use]
    pub fn reload(&self) -> Reload {
        Reload::new(Arc::clone(&self.office), self.seats.clone(), self.tls.clone(), self.clock.clone())
    }

    /// Answers what comes on a connection that somebody else has accepted, in the background of the caller's runtime.
    pub fn serve(&self, connection: TcpStream, peer: SocketAddr) {
        (self.welcome)(connection, peer);
    }

    /// Answers until `stop` ends; then closes the door, finishes what is in flight, and closes what is left
    /// after `clients.drain-timeout`: tunnels, and requests that take longer.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Stopped {
        let proxy = self.proxy();
        let greeted = proxy.clone();
        tokio::spawn(async move { greeted.greet().await });
        let _certified = self.tls.map(|tls| {
            AbortOnDropHandle::new(tokio::spawn(supervise::until_done(
                "looking after the certificate",
                move || {
                    let tls = tls.clone();
                    async move { tls.look_after().await }
                },
            )))
        });
        let seats = self.seats.clone();
        let _looked_after = AbortOnDropHandle::new(tokio::spawn(async move { seats.look_after().await }));
        // Until the end: while it stops, it says so.
        let _administered = self.admin.map(|admin| AbortOnDropHandle::new(tokio::spawn(admin.serve())));
        // A write of the first client's would not be heard of by other replicas where nobody can be told yet.
        proxy.looked().await;
        self.threads.open();
        stop.await;
        self.stopping.cancel();
        self.threads.close().await;
        let stopped = drain(&self.office, &self.seats, &self.tasks).await;
        self.office.load_full().tracer.close().await;
        stopped
    }
}

async fn admin(config: &Config, administered: Administered) -> Result<Option<Admin>, StartError> {
    let Some(config) = &config.admin else { return Ok(None) };
    let failed = |source| StartError::AdminListen { address: config.listen, source };
    Admin::bind(config, administered).await.map(Some).map_err(failed)
}

async fn tls(config: &Config, clock: &Clock, proxy: &Proxy) -> Result<Option<Tls>, TlsUnusable> {
    let Some(files) = &config.tls else { return Ok(None) };
    Tls::new(files, clock.clone(), Arc::clone(proxy.telemetry())).await.map(Some)
}

/// Gives who comes a seat, and serves them on the thread that has let them in.
fn welcome(office: Office, seats: Seats, tasks: TaskTracker, tls: Option<Tls>) -> Welcome {
    Arc::new(move |stream, peer| match seats.take(peer.ip()) {
        Ok(held) => {
            let answerer = Answerer { office: Arc::clone(&office), seat: Arc::clone(&held.seat) };
            let limits = seats.limits();
            match tls.clone() {
                None => tasks.spawn(converse(Seated::new(stream, held), answerer, limits)),
                Some(tls) => tasks.spawn(async move {
                    // Boxed: of a handshake nothing stays.
                    if let Some(stream) = Box::pin(tls.welcome(stream, held)).await {
                        converse(stream, answerer, limits).await;
                    }
                }),
            };
        }
        // Who speaks TLS would not understand it.
        Err(_) if tls.is_some() => {}
        Err(_) => {
            // Its buffer is empty, so this is all written or the client is gone.
            let _ = stream.try_write(TURNED_AWAY);
        }
    })
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
