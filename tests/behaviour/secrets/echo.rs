//! Servers that give back whatever they are sent, in a place where an error stands.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// Ends with the test's runtime.
pub(super) struct Echo {
    pub(super) port: u16,
    heard: Arc<AtomicUsize>,
}

impl Echo {
    /// Each command is an error that repeats it.
    pub(super) async fn redis() -> Self {
        Self::start(|said| {
            let words: Vec<&str> =
                said.split("\r\n").filter(|word| !word.is_empty() && !word.starts_with(['*', '$'])).collect();
            format!("-ERR unknown command {}\r\n", words.join(" ")).repeat(said.matches('*').count().max(1))
        })
        .await
    }

    /// Each request is answered with this and then itself: its fields are the answer's, or there is no answer.
    pub(super) async fn http(line: &'static str) -> Self {
        Self::start(move |said| format!("{line}{said}")).await
    }

    async fn start(answer: impl Fn(&str) -> String + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let heard = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (answer, counted) = (answer.clone(), Arc::clone(&counted));
                tokio::spawn(async move {
                    let mut piece = [0; 64 * 1024];
                    while let Ok(count @ 1..) = stream.read(&mut piece).await {
                        counted.fetch_add(1, Ordering::Relaxed);
                        let answer = answer(&String::from_utf8_lossy(&piece[..count]));
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { port, heard }
    }

    pub(super) fn heard(&self) -> usize {
        self.heard.load(Ordering::Relaxed)
    }
}
