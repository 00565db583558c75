//! One connection of a line: passes on what both ends say, as far as the line's faults let it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
};

use super::{Fault, Said, State};

/// No RESP, no HTTP, no text.
const GARBAGE: &[u8] = b"\x16\x03\x01\x00\xa5\xff\xfe{not: this}\r\n\r\n\0\0";
/// So many bytes come by themselves before a pause of a millisecond, which is the shortest there is.
const AT_ONCE: usize = 64;

/// What is known of a connection.
struct Known {
    state: Arc<State>,
    /// Pushes come on it.
    tracks: AtomicBool,
    /// What was asked last.
    asked: Mutex<Vec<u8>>,
}

/// Why a connection ends, where no end of it wanted that.
enum End {
    Closed,
    Reset,
}

pub(super) async fn connection(mut client: TcpStream, server: SocketAddr, state: Arc<State>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let known = Known { state, tracks: AtomicBool::new(false), asked: Mutex::default() };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let end = tokio::select! {
        end = known.asked(from_client, to_server) => end,
        end = known.said(from_server, to_client) => end,
        end = known.broken() => end,
        () = known.cut() => End::Closed,
    };
    if matches!(end, End::Reset) {
        let _ = client.set_zero_linger();
    }
}

impl Known {
    fn is_about(&self, said: Said) -> bool {
        let tracks = || self.tracks.load(Ordering::SeqCst);
        match said {
            Said::Everything => true,
            Said::Answers => !tracks(),
            Said::Pushes => tracks(),
            Said::To(word) => contains(&self.asked.lock().expect("no panic"), word.as_bytes()),
        }
    }

    fn fault(&self) -> Option<(Said, Fault)> {
        self.state.faults.borrow().iter().copied().find(|(said, _)| self.is_about(*said))
    }

    fn end(&self) -> Option<End> {
        match self.fault() {
            Some((_, Fault::Refuse)) => Some(End::Closed),
            Some((_, Fault::Reset)) => Some(End::Reset),
            _ => None,
        }
    }

    /// Returns when a fault ends the connection.
    async fn broken(&self) -> End {
        let mut faults = self.state.faults.subscribe();
        loop {
            if let Some(end) = self.end() {
                return end;
            }
            if faults.changed().await.is_err() {
                return End::Closed;
            }
        }
    }

    async fn cut(&self) {
        let mut cuts = self.state.cuts.subscribe();
        let mut seen = cuts.borrow().len();
        while cuts.changed().await.is_ok() {
            let cuts = cuts.borrow().clone();
            if cuts[seen..].iter().any(|said| self.is_about(*said)) {
                return;
            }
            seen = cuts.len();
        }
    }

    async fn asked(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> End {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if contains(&buffer[..length], b"TRACKING") {
                self.tracks.store(true, Ordering::SeqCst);
            }
            self.asked.lock().expect("no panic").clone_from(&buffer[..length].to_vec());
            if let Some(end) = self.end() {
                return end;
            }
            if to.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
        End::Closed
    }

    async fn said(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> End {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if !self.pass(&buffer[..length], &mut to).await {
                break;
            }
        }
        End::Closed
    }

    /// Passes on a piece, as far as it may be; false where nothing can come after it.
    async fn pass(&self, piece: &[u8], to: &mut WriteHalf<'_>) -> bool {
        loop {
            let mut faults = self.state.faults.subscribe();
            let (said, fault) = match self.fault() {
                Some(fault) => fault,
                None => return to.write_all(piece).await.is_ok(),
            };
            match fault {
                Fault::Refuse | Fault::Reset => return std::future::pending().await,
                Fault::Stall => {
                    let _waits = Waits::begin(&self.state, said);
                    if faults.changed().await.is_err() {
                        return false;
                    }
                }
                Fault::Delay(by) => {
                    tokio::time::sleep(by).await;
                    return to.write_all(piece).await.is_ok();
                }
                Fault::Half => {
                    let head = head(piece);
                    let half = head + (piece.len() - head) / 2;
                    return to.write_all(&piece[..half]).await.is_ok() && head == piece.len();
                }
                Fault::Garbage => return to.write_all(GARBAGE).await.is_ok(),
                Fault::Bytewise => return bytewise(piece, to).await,
            }
        }
    }
}

/// As long as a piece is held.
struct Waits<'s>(&'s State, Said);

impl<'s> Waits<'s> {
    fn begin(state: &'s State, said: Said) -> Self {
        state.waiting.send_modify(|waiting| waiting.push(said));
        Self(state, said)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| {
            let place = waiting.iter().position(|said| *said == self.1);
            place.map(|place| waiting.swap_remove(place));
        });
    }
}

async fn bytewise(piece: &[u8], to: &mut WriteHalf<'_>) -> bool {
    for some in piece.chunks(AT_ONCE) {
        for byte in some {
            if to.write_all(std::slice::from_ref(byte)).await.is_err() {
                return false;
            }
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    true
}

/// How long the HTTP head is with which a piece begins; 0 where it begins with none.
fn head(piece: &[u8]) -> usize {
    if !piece.starts_with(b"HTTP/") {
        return 0;
    }
    piece.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |end| end + 4)
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part == word)
}
