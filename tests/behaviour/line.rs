//! A line to a Redis server that can be held and cut. It tells the connection on which pushes come from the others
//! by what is asked on it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

use crate::support::{PATIENCE, RedisServer};

/// What the server says on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// On the connections on which commands are asked.
    Answers,
    /// On the connection on which pushes come.
    Pushes,
}

/// The proxy's end is at [`Line::url`]. Ends with the test.
pub struct Line {
    port: u16,
    answers: Arc<Valve>,
    pushes: Arc<Valve>,
}

/// What the server says goes through, or waits.
#[derive(Default)]
struct Valve {
    shut: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
    cuts: watch::Sender<usize>,
}

impl Line {
    pub async fn to(server: &RedisServer) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let line = Self { port, answers: Arc::default(), pushes: Arc::default() };
        let (answers, pushes) = (Arc::clone(&line.answers), Arc::clone(&line.pushes));
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, server, Arc::clone(&answers), Arc::clone(&pushes)));
            }
        });
        line
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Nothing of it reaches the proxy from here on.
    pub fn hold(&self, said: Said) {
        self.valve(said).shut.send_replace(true);
    }

    /// What was held comes, and all else.
    pub fn release(&self, said: Said) {
        self.valve(said).shut.send_replace(false);
    }

    /// Returns when something is held.
    pub async fn held(&self, said: Said) {
        let mut waiting = self.valve(said).waiting.subscribe();
        let some = waiting.wait_for(|count| *count > 0);
        tokio::time::timeout(PATIENCE, some).await.expect("nothing came").expect("the line stands");
    }

    /// Closes the connections on which it is said.
    pub fn cut(&self, said: Said) {
        self.valve(said).cuts.send_modify(|count| *count += 1);
    }

    fn valve(&self, said: Said) -> &Valve {
        match said {
            Said::Answers => &self.answers,
            Said::Pushes => &self.pushes,
        }
    }
}

async fn connection(client: TcpStream, server: SocketAddr, answers: Arc<Valve>, pushes: Arc<Valve>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let tracks = AtomicBool::new(false);
    let (mut no_answers, mut no_pushes) = (answers.cuts.subscribe(), pushes.cuts.subscribe());
    let cut = async {
        loop {
            tokio::select! {
                _ = no_answers.changed() => if !tracks.load(Ordering::SeqCst) { return },
                _ = no_pushes.changed() => if tracks.load(Ordering::SeqCst) { return },
            }
        }
    };
    let valve = || if tracks.load(Ordering::SeqCst) { &pushes } else { &answers };
    tokio::select! {
        () = asked(from_client, to_server, &tracks) => {}
        () = said(from_server, to_client, valve) => {}
        () = cut => {}
    }
}

async fn asked(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, tracks: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if buffer[..length].windows(8).any(|word| word == b"TRACKING") {
            tracks.store(true, Ordering::SeqCst);
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

async fn said<'v>(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, valve: impl Fn() -> &'v Arc<Valve>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let mut shut = valve().shut.subscribe();
        if *shut.borrow() {
            valve().waiting.send_modify(|count| *count += 1);
            let _ = shut.wait_for(|shut| !shut).await;
            valve().waiting.send_modify(|count| *count -= 1);
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
