//! The program, run as a person runs it.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{PATIENCE, Reply, send};

/// `catproxy serve` on a port of its own, and all that it has printed.
pub struct Program {
    child: Child,
    address: SocketAddr,
    printed: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

fn catproxy(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_catproxy"));
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs it to its end; what it printed.
pub(super) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Vec<u8> {
    let output = catproxy(arguments, environment).output().expect("it runs");
    assert!(!output.stderr.is_empty() || !output.stdout.is_empty(), "{arguments:?} says nothing");
    [output.stdout, output.stderr].concat()
}

impl Program {
    pub fn serve(environment: &[(&str, &str)]) -> Self {
        let mut child =
            catproxy(&["serve", "--listen", "127.0.0.1:0"], environment).spawn().expect("it runs");
        let printed = Arc::new(Mutex::new(Vec::new()));
        let out = child.stdout.take().map(|out| read(out, &printed));
        let err = child.stderr.take().map(|err| read(err, &printed));
        let readers = out.into_iter().chain(err).collect();
        let mut program = Self { child, address: ([0; 4], 0).into(), printed, readers };
        program.address = program.announced();
        program
    }

    /// Where it says that it listens.
    fn announced(&self) -> SocketAddr {
        let began = Instant::now();
        loop {
            let text = String::from_utf8_lossy(&self.printed.lock().expect("a reader")).into_owned();
            if let Some(line) = text.lines().find(|line| line.contains(" -> ")) {
                return line.split([' ', '"']).find_map(|word| word.parse().ok()).expect("an address");
            }
            assert!(began.elapsed() < PATIENCE, "it does not begin: {text}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub async fn send(&self, method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Reply {
        send(self.address, method, target, fields, body).await
    }

    /// One request over HTTP/2.
    pub(super) async fn send_second(&self, target: &str, fields: &[(&str, &str)], body: &str) -> Reply {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a handshake");
        tokio::spawn(connection);
        let mut request = Request::post(format!("http://{}{target}", self.address));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).expect("a request");
        let (head, body) = sender.send_request(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Reply { status: head.status, fields: head.headers, body }
    }

    /// These bytes on a connection of their own, and all that comes back.
    pub(super) async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        stream.write_all(bytes).await.expect("it is taken");
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(PATIENCE, reading).await.expect("an end");
        answer
    }

    /// Waits until it has printed this.
    #[cfg(feature = "otel")]
    pub async fn until_printed(&self, text: &str) {
        let printed = || String::from_utf8_lossy(&self.printed.lock().expect("a reader")).contains(text);
        crate::support::until(&format!("it prints {text:?}"), || std::future::ready(printed())).await;
    }

    /// Tells it to stop; all that it has printed.
    pub fn stop(mut self) -> String {
        let id =
            rustix::process::Pid::from_raw(i32::try_from(self.child.id()).expect("an id")).expect("an id");
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("a signal");
        self.child.wait().expect("its end");
        self.readers.drain(..).for_each(|reader| reader.join().expect("all of it"));
        String::from_utf8_lossy(&self.printed.lock().expect("a reader")).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(mut from: impl std::io::Read + Send + 'static, printed: &Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    let printed = Arc::clone(printed);
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut piece) {
            printed.lock().expect("a reader").extend_from_slice(&piece[..count]);
        }
    })
}
