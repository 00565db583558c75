//! The threads that serve connections. Each has a runtime and a listening socket of its own, and a connection stays on
//! the thread that let it in: a request that is answered from a copy wakes no other thread.

use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::doors::{self, Place};

/// After accepting failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who is told of a connection, on the thread that has let it in.
pub(super) type Welcome = Arc<dyn Fn(TcpStream, SocketAddr) + Send + Sync>;

/// Threads that wait behind their doors. Dropped, they end as they are.
pub(super) struct Threads {
    address: SocketAddr,
    opened: CancellationToken,
    closed: CancellationToken,
    /// Those whose doors are not closed yet.
    accepting: TaskTracker,
    ended: DropGuard,
}

impl Threads {
    /// So many threads with sockets at this place. From here on connections queue.
    ///
    /// # Errors
    /// Those of the operating system: of listening, or of threads.
    pub(super) fn wait(place: Place, count: usize, welcome: &Welcome) -> Result<Self, Failure> {
        let (address, doors) = doors::open(place, count).map_err(Failure::Door)?;
        let threads = Self {
            address,
            opened: CancellationToken::new(),
            closed: CancellationToken::new(),
            accepting: TaskTracker::new(),
            ended: CancellationToken::new().drop_guard(),
        };
        doors.into_iter().try_for_each(|door| threads.start(door, Arc::clone(welcome)))?;
        threads.accepting.close();
        Ok(threads)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From here on connections are let in.
    pub(super) fn open(&self) {
        self.opened.cancel();
    }

    /// Lets nobody in any more; returns when the last one has been who was on its way in.
    pub(super) async fn close(&self) {
        self.closed.cancel();
        self.accepting.wait().await;
    }

    fn start(&self, door: std::net::TcpListener, welcome: Welcome) -> Result<(), Failure> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::Thread)?;
        let door = {
            let _entered = runtime.enter();
            TcpListener::from_std(door).map_err(Failure::Door)?
        };
        let (opened, closed) = (self.opened.clone(), self.closed.clone());
        let accepting = self.accepting.track_future(async move {
            opened.cancelled().await;
            tokio::select! {
                () = closed.cancelled() => {}
                () = accept(door, welcome) => {}
            }
        });
        let ended = self.ended.token().clone();
        let work = move || run(runtime, accepting, ended);
        thread::Builder::new().name("connections".to_owned()).spawn(work).map(drop).map_err(Failure::Thread)
    }
}

/// Serves until the end; what is still going on then ends with it.
fn run(runtime: Runtime, accepting: impl Future<Output = ()>, ended: CancellationToken) {
    runtime.block_on(async {
        tokio::select! {
            () = ended.cancelled() => {}
            () = async { accepting.await; std::future::pending().await } => {}
        }
    });
    runtime.shutdown_background();
}

async fn accept(door: TcpListener, welcome: Welcome) {
    loop {
        match door.accept().await {
            Ok((stream, peer)) => welcome(stream, peer),
            // Too many descriptors, or a client that was gone at once: the next one may fare better.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Why there are no such threads.
pub(super) enum Failure {
    /// The address cannot be listened on.
    Door(io::Error),
    /// The operating system gives no threads.
    Thread(io::Error),
}
