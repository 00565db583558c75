//! An upstream that reads more strictly than any real one, and writes down what came: whatever a client sends, what
//! arrives here is one well-formed request or none.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A request, or why what came was none.
pub type Recorded = Result<Request, String>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub line: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }
}

/// Answers all requests alike.
pub struct Recording {
    pub address: SocketAddr,
    records: Arc<Mutex<Vec<Recorded>>>,
}

impl Recording {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let records = Arc::<Mutex<Vec<Recorded>>>::default();
        let all = Arc::clone(&records);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(record(stream, address, Arc::clone(&all)));
            }
        });
        Self { address, records }
    }

    /// What came since the last time.
    pub fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.records.lock().expect("no panic"))
    }
}

async fn record(mut stream: TcpStream, address: SocketAddr, all: Arc<Mutex<Vec<Recorded>>>) {
    let mut came = Vec::new();
    loop {
        let record = match parse(&came, address) {
            Ok(Some((request, length))) => {
                came.drain(..length);
                Ok(request)
            }
            Ok(None) => {
                if !matches!(stream.read_buf(&mut came).await, Ok(1..)) {
                    return;
                }
                continue;
            }
            Err(flaw) => Err(format!("{flaw} in {:?}", String::from_utf8_lossy(&came))),
        };
        let ends = record.is_err();
        all.lock().expect("no panic").push(record);
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
        if ends || stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// One request and its length; `None` where more must come.
fn parse(came: &[u8], address: SocketAddr) -> Result<Option<(Request, usize)>, String> {
    let Some(end) = came.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return if came.len() > 1 << 20 { Err("an endless head".to_owned()) } else { Ok(None) };
    };
    let head = std::str::from_utf8(&came[..end]).map_err(|_| "a head that is no text")?;
    if head.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return Err("a bare line end".to_owned());
    }
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    check_line(&line)?;
    let fields = lines.map(field).collect::<Result<Vec<_>, _>>()?;
    let mut request = Request { line, fields, body: Vec::new() };
    if request.all("host") != [address.to_string()] {
        return Err("another Host than the upstream's".to_owned());
    }
    for name in ["upgrade", "http2-settings", "keep-alive", "proxy-connection"] {
        if !request.all(name).is_empty() && request.all("upgrade") != ["websocket"] {
            return Err(format!("a field of one hop: {name}"));
        }
    }
    let (lengths, codings) = (request.all("content-length"), request.all("transfer-encoding"));
    let body = &came[end + 4..];
    let taken = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => 0,
        ([length], []) if length.bytes().all(|digit| digit.is_ascii_digit()) => {
            let length = length.parse::<usize>().map_err(|_| "an endless length")?;
            if body.len() < length {
                return Ok(None);
            }
            request.body = body[..length].to_vec();
            length
        }
        ([], ["chunked"]) => match chunks(body)? {
            Some((whole, taken)) => {
                request.body = whole;
                taken
            }
            None => return Ok(None),
        },
        _ => return Err("an unclear length".to_owned()),
    };
    Ok(Some((request, end + 4 + taken)))
}

fn check_line(line: &str) -> Result<(), String> {
    let parts: Vec<_> = line.split(' ').collect();
    match parts.as_slice() {
        [method, target, "HTTP/1.1"]
            if !method.is_empty()
                && method.chars().all(is_token)
                && (target.starts_with('/') || (*method == "OPTIONS" && *target == "*"))
                && target.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Ok(())
        }
        _ => Err(format!("no request line: {line:?}")),
    }
}

fn field(line: &str) -> Result<(String, String), String> {
    match line.split_once(':') {
        Some((name, value)) if !name.is_empty() && name.chars().all(is_token) => {
            Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
        }
        _ => Err(format!("no field: {line:?}")),
    }
}

fn is_token(symbol: char) -> bool {
    symbol.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(symbol)
}

/// A body in chunks and its length on the wire.
fn chunks(mut rest: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (all, mut whole) = (rest.len(), Vec::new());
    loop {
        let Some(end) = rest.windows(2).position(|bytes| bytes == b"\r\n") else { return Ok(None) };
        let size = std::str::from_utf8(&rest[..end]).map_err(|_| "a size that is no text")?;
        if size.is_empty() || !size.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(format!("no chunk's size: {size:?}"));
        }
        let size = usize::from_str_radix(size, 16).map_err(|_| "an endless chunk")?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Ok(trailers(rest)?.map(|length| (whole, all - rest.len() + length)));
        }
        if rest.len() < size + 2 {
            return Ok(None);
        }
        if &rest[size..size + 2] != b"\r\n" {
            return Err("a chunk that does not end".to_owned());
        }
        whole.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

/// The length of what follows the last chunk; nothing there may frame, route or admit.
fn trailers(rest: &[u8]) -> Result<Option<usize>, String> {
    let (mut length, mut left) = (0, rest);
    while let Some(end) = left.windows(2).position(|bytes| bytes == b"\r\n") {
        length += end + 2;
        if end == 0 {
            return Ok(Some(length));
        }
        let line = std::str::from_utf8(&left[..end]).map_err(|_| "a trailer that is no text")?;
        let (name, _) = field(line)?;
        let forbidden = ["content-length", "transfer-encoding", "host", "authorization", "connection"];
        if forbidden.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(format!("a trailer that has a meaning: {name}"));
        }
        left = &left[end + 2..];
    }
    Ok(None)
}
