//! Request heads as the client spelled them.
//!
//! hyper gives header names in lower case and keeps the spelling to itself, so the stand-in reads along: a [`Framer`]
//! is fed every byte of a connection, skips the bodies and gives the heads. It only observes; what is a valid request
//! is for hyper to decide.

/// Longer than any head hyper takes.
const LONGEST_HEAD: usize = 1 << 20;

/// A request line and header fields, as spelled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// Reads a head. What is not one gives what there is to be had of it.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = text(bytes);
        let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let mut request = lines.next().unwrap_or_default().split(' ');
        let method = request.next().unwrap_or_default().to_owned();
        let target = request.next().unwrap_or_default().to_owned();
        let fields = lines.filter_map(|line| line.split_once(':'));
        let headers =
            fields.map(|(name, value)| (name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        Self { method, target, headers: headers.collect() }
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

/// Where in the stream of a connection the next byte is.
#[derive(Debug)]
enum At {
    Head(Vec<u8>),
    /// In a body of which so many bytes are to come.
    Length(u64),
    ChunkSize(Vec<u8>),
    /// In a chunk of which so many bytes are to come, its line end included.
    Chunk(u64),
    /// In the line of a trailer section.
    Trailers(Vec<u8>),
    /// Not HTTP any more.
    Lost,
}

/// Finds the heads in a stream of requests.
#[derive(Debug)]
pub(crate) struct Framer {
    at: At,
}

impl Framer {
    pub(crate) fn new() -> Self {
        Self { at: At::Head(Vec::new()) }
    }

    /// Reads on; `found` gets the bytes of each head that is complete.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut found: impl FnMut(Vec<u8>)) {
        while !bytes.is_empty() {
            let (used, next) = self.step(bytes, &mut found);
            if let Some(next) = next {
                self.at = next;
            }
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    /// How many bytes were used up, and where the next one is if that has changed.
    fn step(&mut self, bytes: &[u8], found: &mut impl FnMut(Vec<u8>)) -> (usize, Option<At>) {
        match &mut self.at {
            At::Head(head) => head_step(head, bytes, found),
            At::Length(left) => skip(left, bytes, || At::Head(Vec::new())),
            At::Chunk(left) => skip(left, bytes, || At::ChunkSize(Vec::new())),
            At::ChunkSize(line) => line_step(line, bytes, after_chunk_size),
            At::Trailers(line) => line_step(line, bytes, |line| match line {
                [] => At::Head(Vec::new()),
                _ => At::Trailers(Vec::new()),
            }),
            At::Lost => (bytes.len(), None),
        }
    }
}

fn head_step(head: &mut Vec<u8>, bytes: &[u8], found: &mut impl FnMut(Vec<u8>)) -> (usize, Option<At>) {
    for (index, &byte) in bytes.iter().enumerate() {
        // Empty lines before a request line are skipped, as servers should.
        if head.is_empty() && (byte == b'\r' || byte == b'\n') {
            continue;
        }
        head.push(byte);
        if byte == b'\n' && (head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n")) {
            let next = after_head(&Head::parse(head));
            found(std::mem::take(head));
            return (index + 1, Some(next));
        }
    }
    (bytes.len(), (head.len() > LONGEST_HEAD).then_some(At::Lost))
}

fn after_head(head: &Head) -> At {
    let chunked = |value: &str| value.to_ascii_lowercase().contains("chunked");
    if head.values("transfer-encoding").any(chunked) {
        return At::ChunkSize(Vec::new());
    }
    match head.values("content-length").next().and_then(|length| length.parse().ok()) {
        None | Some(0) => At::Head(Vec::new()),
        Some(length) => At::Length(length),
    }
}

fn after_chunk_size(line: &[u8]) -> At {
    let digits = text(line).split(';').next().map(|size| u64::from_str_radix(size.trim(), 16));
    match digits {
        Some(Ok(0)) => At::Trailers(Vec::new()),
        Some(Ok(size)) => At::Chunk(size.saturating_add(2)),
        _ => At::Lost,
    }
}

fn skip(left: &mut u64, bytes: &[u8], then: impl FnOnce() -> At) -> (usize, Option<At>) {
    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= used as u64;
    (used, (*left == 0).then(then))
}

/// Collects a line; `then` gets it without its end.
fn line_step(line: &mut Vec<u8>, bytes: &[u8], then: impl FnOnce(&[u8]) -> At) -> (usize, Option<At>) {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        line.extend_from_slice(bytes);
        return (bytes.len(), (line.len() > LONGEST_HEAD).then_some(At::Lost));
    };
    line.extend(bytes.iter().take(end));
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    (end + 1, Some(then(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\r\nGET /a?B=%20 HTTP/1.1\r\nHoSt: x\r\nX-Two:  1 \r\nx-two: 2\r\n\r\n\
        POST /b HTTP/1.1\r\nContent-Length: 19\r\n\r\nGET /no HTTP/1.1\r\n\n\
        PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1a;x=y\r\nDELETE /no HTTP/1.1\r\n\r\nabc\r\n0\r\nT: 1\r\n\r\n\
        GET /d HTTP/1.1\r\n\r\n";

    fn heads(piece: usize) -> Vec<Head> {
        let (mut framer, mut heads) = (Framer::new(), Vec::new());
        for bytes in STREAM.as_bytes().chunks(piece) {
            framer.feed(bytes, |head| heads.push(Head::parse(&head)));
        }
        heads
    }

    #[test]
    fn heads_are_found_between_bodies_however_the_stream_is_cut() {
        for piece in 1..STREAM.len() {
            let targets: Vec<String> = heads(piece).into_iter().map(|head| head.target).collect();
            assert_eq!(targets, ["/a?B=%20", "/b", "/c", "/d"], "pieces of {piece}");
        }
    }

    #[test]
    fn fields_keep_their_order_and_spelling() {
        let head = heads(7).swap_remove(0);
        let fields: Vec<(&str, &str)> = head.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(fields, [("HoSt", "x"), ("X-Two", "1"), ("x-two", "2")]);
        assert_eq!(head.method, "GET");
    }
}
