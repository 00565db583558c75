//! A line to a server, Redis or the upstream, that can be held, cut and broken. What happens on it can be told to
//! happen to some connections only: those on which pushes come, or those on which something was asked.

// By its path, as the soak finds this file by its path, too.
#[path = "line/relay.rs"]
mod relay;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
};

use crate::support::{PATIENCE, RedisServer};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// What the server says on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// All of it.
    Everything,
    /// On the connections to Redis on which commands are asked.
    Answers,
    /// On the connection to Redis on which pushes come.
    Pushes,
    /// In answer to a request in which this stands.
    To(&'static str),
}

/// What becomes of it. Held, it is the server's word all the same: it comes when the fault has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Connections are closed; where it is about everything, new ones are refused.
    Refuse,
    /// What is asked is taken, and no answer comes.
    Stall,
    /// Connections are reset.
    Reset,
    /// Each piece comes so much later.
    Delay(Duration),
    /// Half of a piece comes, but for an HTTP head, and then the end.
    Half,
    /// Something else comes, which is neither RESP nor HTTP.
    Garbage,
    /// Each byte comes by itself, a thousand of them in some 20 ms.
    Bytewise,
}

/// The proxy's end is at [`Line::address`]. Ends with the test.
pub struct Line {
    address: SocketAddr,
    state: Arc<State>,
    /// Nobody else gets the port while connections are refused.
    _reserved: TcpSocket,
}

/// What happens on a line.
#[derive(Default)]
struct State {
    faults: watch::Sender<Vec<(Said, Fault)>>,
    /// What is held at the moment, as often as that is so.
    waiting: watch::Sender<Vec<Said>>,
    /// All cuts so far.
    cuts: watch::Sender<Vec<Said>>,
}

impl Line {
    /// A line to Redis.
    pub async fn to(server: &RedisServer) -> Self {
        Self::to_address(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port)))
    }

    /// A line to whatever is there.
    pub fn to_address(server: SocketAddr) -> Self {
        let reserved = socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
        let address = reserved.local_addr().expect("an address");
        let state = Arc::<State>::default();
        let listener = listen(address).expect("the port that is reserved");
        tokio::spawn(accept(listener, address, server, Arc::clone(&state)));
        Self { address, state, _reserved: reserved }
    }

    /// For a line to Redis.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// For a line to the upstream.
    pub fn http(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From here on this happens to it, in place of what happened to it before.
    pub fn begin(&self, said: Said, fault: Fault) {
        self.state.faults.send_modify(|faults| {
            faults.retain(|(of, _)| *of != said);
            faults.push((said, fault));
        });
    }

    /// Nothing happens to it any more. What was held comes.
    pub fn end(&self, said: Said) {
        self.state.faults.send_modify(|faults| faults.retain(|(of, _)| *of != said));
    }

    /// Nothing of it reaches the proxy from here on.
    pub fn hold(&self, said: Said) {
        self.begin(said, Fault::Stall);
    }

    /// What was held comes, and all else.
    pub fn release(&self, said: Said) {
        self.end(said);
    }

    /// Returns when something is held.
    pub async fn held(&self, said: Said) {
        let mut waiting = self.state.waiting.subscribe();
        let some = waiting.wait_for(|waiting| waiting.contains(&said));
        tokio::time::timeout(PATIENCE, some).await.expect("nothing came").expect("the line stands");
    }

    /// Closes the connections on which it is said.
    pub fn cut(&self, said: Said) {
        self.state.cuts.send_modify(|cuts| cuts.push(said));
    }
}

impl State {
    fn refuses_all(faults: &[(Said, Fault)]) -> bool {
        faults.contains(&(Said::Everything, Fault::Refuse))
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    socket(address)?.listen(BACKLOG)
}

async fn accept(first: TcpListener, address: SocketAddr, server: SocketAddr, state: Arc<State>) {
    let mut faults = state.faults.subscribe();
    let mut listener = Some(first);
    loop {
        let open = match listener.take() {
            Some(open) => open,
            None => listen(address).expect("the port that is reserved"),
        };
        loop {
            tokio::select! {
                accepted = open.accept() => {
                    let Ok((client, _)) = accepted else { return };
                    tokio::spawn(relay::connection(client, server, Arc::clone(&state)));
                }
                refused = faults.wait_for(|faults| State::refuses_all(faults)) => {
                    if refused.is_err() {
                        return;
                    }
                    break;
                }
            }
        }
        drop(open);
        if faults.wait_for(|faults| !State::refuses_all(faults)).await.is_err() {
            return;
        }
    }
}
