//! A socket that a service manager keeps open from one process to the next: nobody who connects meanwhile is lost.

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use fake_abconnect::{FakeAbconnect, Options, Running};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{attempt, until};

const CLIENTS: usize = 12;
const RESTARTS: usize = 4;
/// From one process, by all clients together.
const ANSWERS: usize = 200;

/// The program with a socket; ended when dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program with this socket, as systemd starts it.
fn start(door: &TcpListener, upstream: &Running) -> Program {
    let door = OwnedFd::from(door.try_clone().expect("a descriptor"));
    // Descriptors are passed from 3 on, and to the process that is named.
    let launch = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
    let started = Command::new("sh")
        .args(["-c", launch, "sh", env!("CARGO_BIN_EXE_catproxy"), "serve", "--upstream", upstream.url()])
        .args(["--redis-url", "redis://127.0.0.1:1"])
        .stdin(Stdio::from(door))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Program(started.expect("the program starts"))
}

/// Asks again and again, each time on a connection of its own, and counts the answers; gives what was not answered well.
async fn ask(
    address: SocketAddr,
    token: String,
    number: usize,
    answers: Arc<AtomicUsize>,
    end: Arc<AtomicBool>,
) -> Vec<String> {
    let token = format!("Bearer {token}");
    // Hits, what is forwarded, and who keeps the connection or not.
    let target = if number.is_multiple_of(2) {
        "/api/Seller?PageNumber=1&PageSize=5"
    } else {
        "/api/Seller?Name=Fine&PageSize=1"
    };
    let connection = if number.is_multiple_of(3) { "close" } else { "keep-alive" };
    let mut failed = Vec::new();
    while !end.load(Ordering::Relaxed) {
        let fields = [("Authorization", token.as_str()), ("Connection", connection)];
        match attempt(address, "GET", target, &fields, "").await {
            Ok(reply) if reply.status == 200 => {}
            Ok(reply) => failed.push(format!("{target}: {}", reply.status)),
            Err(unanswered) => failed.push(format!("{target}: {unanswered:?}")),
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
    failed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_with_a_passed_socket_fails_no_request() {
    let upstream =
        FakeAbconnect::start(Options { log_calls: false, ..Options::default() }).expect("a stand-in");
    let door = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = door.local_addr().expect("an address");
    let mut program = start(&door, &upstream);
    let (answers, end) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            tokio::spawn(ask(address, upstream.token("demo"), number, Arc::clone(&answers), Arc::clone(&end)))
        })
        .collect();
    let more = async |count: usize| {
        let so_far = answers.load(Ordering::Relaxed);
        until("answers", || std::future::ready(answers.load(Ordering::Relaxed) >= so_far + count)).await;
    };
    more(ANSWERS).await;
    for _ in 0..RESTARTS {
        let id = Pid::from_raw(i32::try_from(program.0.id()).expect("an id")).expect("an id");
        kill_process(id, Signal::TERM).expect("a signal");
        let code = tokio::task::spawn_blocking(move || program.0.wait().expect("its end").code()).await;
        assert_eq!(code.expect("no panic"), Some(0));
        // Nobody is there; those who ask wait.
        program = start(&door, &upstream);
        more(ANSWERS).await;
    }
    end.store(true, Ordering::Relaxed);
    for client in clients {
        assert_eq!(client.await.expect("no panic"), Vec::<String>::new(), "of {answers:?}");
    }
}
