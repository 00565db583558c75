//! The stand-in upstream in a process of its own, so that what it takes is not counted as the proxy's: the benchmark
//! started once more, by itself.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, ExitCode, Stdio};
use std::str::FromStr;

use fake_abconnect::{FakeAbconnect, Knobs, Matching, Options, Rule};

/// The first argument of the one that is to be the upstream.
const AS_UPSTREAM: &str = "--as-upstream";

/// What is asked of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) sellers: usize,
    /// Every answer of the API is this page.
    pub(crate) page: Option<Page>,
    /// Without a Content-Length.
    pub(crate) chunked: bool,
    pub(crate) gzip: bool,
    pub(crate) brotli: bool,
    /// How late every answer of the API is.
    pub(crate) latency_ms: u64,
}

/// A page that is all of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// So many items of 32 KB, of which little is kept.
    Fat(usize),
    /// So many catalogs of years to come, of which nearly all is kept.
    Dates(usize),
}

/// A running one; ended when dropped.
pub(crate) struct Upstream {
    pub(crate) url: String,
    pub(crate) token: String,
    child: Child,
}

impl Upstream {
    pub(crate) fn start(asked: &Asked) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg(AS_UPSTREAM)
            .args(asked.words())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the upstream starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut line = || lines.next().expect("a line").expect("text");
        let (url, token) = (line(), line());
        Self { url, token, child }
    }

    /// The body of its answer, as it is without a coding.
    pub(crate) fn body(&self, target: &str) -> Vec<u8> {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("a connection");
        let token = &self.token;
        write!(stream, "GET {target} HTTP/1.0\r\nHost: upstream\r\nAuthorization: Bearer {token}\r\n\r\n")
            .expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.0 200 "), "{target} is there");
        let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
        answer.split_off(head)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where this process was started to be the upstream: is it, until whoever started it is gone.
pub(crate) fn serve_if_asked() -> Option<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (first, words) = words.split_first()?;
    if first != AS_UPSTREAM {
        return None;
    }
    let upstream = FakeAbconnect::start_on_own_threads(Asked::of(words).options(), 1).expect("it starts");
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n{}", upstream.url(), upstream.token("demo")).expect("an output");
    out.flush().expect("an output");
    // Ends with its writer.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    Some(ExitCode::SUCCESS)
}

impl Asked {
    fn words(&self) -> Vec<String> {
        let (kind, count) = match self.page {
            None => ("none", 0),
            Some(Page::Fat(count)) => ("fat", count),
            Some(Page::Dates(count)) => ("dates", count),
        };
        let Self { sellers, chunked, gzip, brotli, latency_ms, .. } = self;
        format!("{sellers} {kind} {count} {chunked} {gzip} {brotli} {latency_ms}")
            .split(' ')
            .map(str::to_owned)
            .collect()
    }

    fn of(words: &[String]) -> Self {
        fn read<T: FromStr<Err: std::fmt::Debug>>(word: &str) -> T {
            word.parse().expect("a word of ours")
        }
        let [sellers, kind, count, chunked, gzip, brotli, latency_ms] = words else {
            panic!("words of ours: {words:?}");
        };
        let page = match kind.as_str() {
            "fat" => Some(Page::Fat(read(count))),
            "dates" => Some(Page::Dates(read(count))),
            _ => None,
        };
        Self {
            sellers: read(sellers),
            page,
            chunked: read(chunked),
            gzip: read(gzip),
            brotli: read(brotli),
            latency_ms: read(latency_ms),
        }
    }

    fn options(self) -> Options {
        let rule = Rule {
            on: Matching::path("/api").method("GET"),
            body: self.page.map(Page::body),
            chunked: self.chunked,
            latency_ms: (self.latency_ms > 0).then_some(self.latency_ms),
            ..Rule::default()
        };
        let knobs = Knobs { gzip: self.gzip, brotli: self.brotli, rules: vec![rule], ..Knobs::default() };
        Options { sellers: self.sellers, log_calls: false, knobs, ..Options::default() }
    }
}

impl Page {
    fn body(self) -> String {
        let items: Vec<String> = match self {
            Self::Fat(count) => (1..=count).map(fat).collect(),
            Self::Dates(count) => (1..=count).map(dated).collect(),
        };
        format!(
            r#"{{"items":[{}],"pageNumber":1,"totalPages":1,"totalItems":{},"hasPreviousPage":false,"hasNextPage":false}}"#,
            items.join(","),
            items.len()
        )
    }
}

/// A seller with much to say, in words that do not repeat themselves.
fn fat(id: usize) -> String {
    let (mut about, mut dice) = (String::with_capacity(33_000), id as u64);
    while about.len() < 32_000 {
        dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        about.push_str(&format!("{:x} lots of \\\"things\\\" ", dice >> 40));
    }
    format!(r#"{{"id":{id},"name":"Seller {id}","customerDisplayId":{id},"about":"{about}"}}"#)
}

fn dated(id: usize) -> String {
    format!(
        r#"{{"id":{id},"title":"Catalog number {id}","customerCatalogId":"{id}","startDate":"2099-01-01T10:00:00","endDate":"2099-01-02T10:00:00"}}"#
    )
}
