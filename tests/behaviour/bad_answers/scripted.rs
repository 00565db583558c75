//! An upstream that answers what a test says, to whatever is asked of it.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::support::{Door, PATIENCE, Reply, Setup};

/// What clients ask for; a fill asks for pages of 500.
pub(super) const READ: &str = "/api/Seller?PageNumber=1&PageSize=7";
pub(super) const TOKEN: &str = "a";

/// With a proxy in front of it. Each answer ends its connection.
pub(super) struct Scripted {
    pub(super) proxy: Door,
    targets: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// `answer` makes an answer's bytes, head and body, of a target and of how many requests came before.
    pub(super) async fn answering(
        setup: Setup,
        answer: impl Fn(&str, usize) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::with(setup, move |mut stream, target, before| {
            let bytes = answer(&target, before);
            async move {
                // Who has heard enough does not listen to the end.
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        })
        .await
    }

    /// `talk` says on the connection whatever it likes once a request has come.
    pub(super) async fn with<F: Future<Output = ()> + Send + 'static>(
        setup: Setup,
        talk: impl Fn(TcpStream, String, usize) -> F + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (proxy, _) = setup.proxy(&url).await;
        let targets = Arc::<Mutex<Vec<String>>>::default();
        let (heard, talk) = (Arc::clone(&targets), Arc::new(talk));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (heard, talk) = (Arc::clone(&heard), Arc::clone(&talk));
                tokio::spawn(async move {
                    let (stream, target) = asked(stream).await?;
                    let before = {
                        let mut heard = heard.lock().expect("no panic");
                        heard.push(target.clone());
                        heard.len() - 1
                    };
                    talk(stream, target, before).await;
                    Some(())
                });
            }
        });
        Self { proxy, targets }
    }

    pub(super) async fn get(&self) -> Reply {
        let asked = self.proxy.get_as(TOKEN, READ);
        tokio::time::timeout(PATIENCE, asked).await.expect("an answer in time")
    }

    /// What was asked for so far.
    pub(super) fn targets(&self) -> Vec<String> {
        self.targets.lock().expect("no panic").clone()
    }

    pub(super) fn count(&self, name: &str) -> u64 {
        self.proxy.inside.telemetry().count(name)
    }
}

async fn asked(mut stream: TcpStream) -> Option<(TcpStream, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let target = head.split(' ').nth(1)?.to_owned();
    Some((stream, target))
}

/// A 200 with these lines in its head, and this body.
pub(super) fn answer(lines: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let (body, head) = (body.as_ref(), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n");
    [head.as_bytes(), lines.as_bytes(), b"\r\n", body].concat()
}

/// A 200 with JSON, framed as it should be.
pub(super) fn json(body: impl AsRef<[u8]>) -> Vec<u8> {
    let length = body.as_ref().len();
    answer(&format!("Content-Length: {length}\r\nConnection: close\r\n"), body)
}

/// A whole list of one page.
pub(super) const LIST: &str =
    r#"{"items":[{"id":1,"name":"a"}],"pageNumber":1,"totalPages":1,"totalItems":1}"#;
