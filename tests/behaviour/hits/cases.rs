//! What a client may say in place of a plain request, byte for byte.

/// A page that is there, and whose target is known.
pub(super) const LIST: &str = "/api/Seller?PageNumber=1&PageSize=1";
/// An answer that is passed on, with a body.
pub(super) const PASSED: &str = "/_fake/bytes/5?PageNumber=1&PageSize=1";
/// Where an upload goes: it is answered when all of it has come.
const UPLOADED: &str = "/_fake/echo?PageNumber=1&PageSize=1";
/// A request that is forwarded and changes nothing.
pub(super) const FORWARDED: &str = "GET /_fake/status/204 HTTP/1.1\r\nHost: a\r\n\r\n";

pub(super) struct Tokens {
    /// Accepted, and remembered so.
    pub(super) known: String,
    /// Accepted, but seldom asked about before.
    pub(super) second: String,
    /// The upstream refuses it.
    pub(super) refused: String,
}

pub(super) type Case = (String, Vec<u8>);

/// What may come in place of a GET with this target.
pub(super) fn all(tokens: &Tokens, target: &'static str) -> Vec<Case> {
    let say = Say { tokens, target };
    [say.lines(), say.fields(), say.hosts(), say.credentials(), say.sizes(), say.several()].concat()
}

/// What may come in place of an upload.
pub(super) fn uploads(tokens: &Tokens) -> Vec<Case> {
    let with_bodies = all(tokens, UPLOADED).into_iter().filter_map(with_body);
    with_bodies.chain(bodies().into_iter().map(|(name, text)| (name, text.into_bytes()))).collect()
}

/// The same as an upload, where it has an end.
fn with_body((name, words): Case) -> Option<Case> {
    let end = words.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let (head, behind) = words.split_at(end);
    let (line, head) = head.strip_prefix(b"GET ").map_or((&b""[..], head), |rest| (b"POST ", rest));
    Some((
        format!("{name} with a body"),
        [line, head, b"\r\nContent-Length: 5\r\n\r\nhello", &behind[4..]].concat(),
    ))
}

/// Uploads as they are said, well or not.
fn bodies() -> Vec<(String, String)> {
    let methods = ["POST", "PUT", "PATCH", "DELETE", "post", "Post", "QUERY", "OPTIONS"];
    let methods =
        methods.map(|method| format!("{method} {UPLOADED} HTTP/1.1\r\nHost: a\r\nContent-Length: 5"));
    let lengths = [
        "05",
        "5 ",
        "\t5\t",
        "+5",
        "-5",
        "5,5",
        "5, 5",
        "5;",
        "0x5",
        "5.0",
        "five",
        "",
        "0",
        "4",
        "000000000000000000000000000005",
        "18446744073709551621",
        "5\r\nContent-Length: 5",
        "5\r\nContent-Length: 6",
        "5\r\nContent-Length:",
        "5\r\nTransfer-Encoding: chunked",
        "5\r\nTransfer-Encoding: identity",
        "5\r\nContent_Length: 3",
        "5\r\nX-HTTP-Method-Override: GET",
        "5\r\nIf-Match: *",
        "5\r\nExpect: 100-continue",
        "5\r\nTrailer: X-One",
        "5\r\nContent-Encoding: gzip",
        "5\r\nConnection: content-length",
    ];
    let lengths =
        lengths.map(|length| format!("POST {UPLOADED} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}"));
    let names = lengths.iter().chain(&methods);
    let all = names.map(|head| (head.replace("\r\n", " "), format!("{head}\r\n\r\nhello")));
    all.chain([several_uploads(), one_like_a_head()]).collect()
}

/// One behind the other, in one piece.
fn several_uploads() -> (String, String) {
    let upload = format!("POST {UPLOADED} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    let read = format!("GET {PASSED} HTTP/1.1\r\nHost: a\r\n\r\n");
    ("several uploads".to_owned(), [upload.as_str(), &upload, &read, &upload, FORWARDED, &upload].concat())
}

/// A body that would be refused as a head, before a request that hyper reads.
fn one_like_a_head() -> (String, String) {
    let body = "GET / HTTP/1.1\r\nhOsT: b\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let upload =
        format!("POST {UPLOADED} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let read = format!("HEAD {PASSED} HTTP/1.1\r\nhOST: a\r\nx-oDD: 1\r\n\r\n");
    ("a body like a head".to_owned(), upload + &read)
}

struct Say<'t> {
    tokens: &'t Tokens,
    target: &'static str,
}

impl Say<'_> {
    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.tokens.known)
    }

    /// A plain read with more fields.
    fn read(&self, fields: &str) -> String {
        let target = self.target;
        self.of(&format!("GET {target} HTTP/1.1"), fields)
    }

    /// A read with another first line.
    fn of(&self, line: &str, fields: &str) -> String {
        let more = if fields.is_empty() { "" } else { "\r\n" };
        format!("{line}\r\nHost: a\r\n{}{more}{fields}\r\n\r\n", self.bearer())
    }

    /// A read with all its fields.
    fn with(&self, fields: &str) -> Case {
        let target = self.target;
        (format!("{fields:.60}"), format!("GET {target} HTTP/1.1\r\n{fields}\r\n\r\n").into_bytes())
    }

    fn lines(&self) -> Vec<Case> {
        let target = self.target;
        let lines = [
            "GET {} HTTP/1.0",
            "GET {} HTTP/1.2",
            "GET {} HTTP/2.0",
            "GET {} http/1.1",
            "GET {}",
            "GET {}  HTTP/1.1",
            "GET  {} HTTP/1.1",
            "GET {} HTTP/1.1 ",
            "GET\t{} HTTP/1.1",
            " GET {} HTTP/1.1",
            "get {} HTTP/1.1",
            "HEAD {} HTTP/1.1",
            "POST {} HTTP/1.1",
            "OPTIONS {} HTTP/1.1",
            "PURGE {} HTTP/1.1",
            "TRACE {} HTTP/1.1",
            "CONNECT a:80 HTTP/1.1",
            "GET * HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "GET http://a{} HTTP/1.1",
            "GET http://b{} HTTP/1.1",
            "GET //a{} HTTP/1.1",
            "GET {}#x HTTP/1.1",
            "GET {}& HTTP/1.1",
            "GET {}%20 HTTP/1.1",
            "GET {}\u{e9} HTTP/1.1",
            "GET {}\" HTTP/1.1",
            "GET {}\u{7f} HTTP/1.1",
            "GET /%61pi/Seller?PageNumber=1&PageSize=1 HTTP/1.1",
            "GET /api/./Seller?PageNumber=1&PageSize=1 HTTP/1.1",
            "GET /api/Seller?pagesize=1&PAGENUMBER=1 HTTP/1.1",
            "GET /api/Seller?PageNumber=1&PageSize=1&PageSize=1 HTTP/1.1",
            "GET /ui HTTP/1.1",
            "GET /ui/ HTTP/1.1",
            "GET /ui/api/Seller?PageNumber=1&PageSize=1 HTTP/1.1",
            "GET /metrics HTTP/1.1",
        ];
        let of = |line: &str| (line.to_owned(), latin(&self.of(&line.replace("{}", target), "")));
        let mut cases: Vec<Case> = lines.into_iter().map(of).collect();
        let plain = self.read("");
        let named = |name: &str, text: String| (name.to_owned(), latin(&text));
        cases.extend([
            named("plain", plain.clone()),
            named("bare line feeds", plain.replace("\r\n", "\n")),
            named("bare carriage returns", plain.replace("\r\n", "\r") + "\r\n\r\n"),
            named("one bare line feed", plain.replacen("\r\n", "\n", 1)),
            named("an empty line before", format!("\r\n{plain}")),
            named("empty lines before", format!("\r\n\n\r\n\r\n{plain}")),
            named("an empty line behind", format!("{plain}\r\n")),
            named("a space before", format!(" \r\n{plain}")),
            named("1.0 that is kept", self.of(&format!("GET {target} HTTP/1.0"), "Connection: keep-alive")),
            named("1.0 without Host", format!("GET {target} HTTP/1.0\r\n{}\r\n\r\n", self.bearer())),
            named("0.9", format!("GET {target}\r\n")),
            named("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ]);
        cases
    }

    fn fields(&self) -> Vec<Case> {
        let bodies = ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0"];
        let fields = [
            "X-One: a\r\n b",
            "X-One : a",
            "X One: a",
            ": a",
            "X-One",
            "X-One:",
            "X-One:\t a \t",
            "X-One: \0",
            "X-One: \u{ff}",
            "X-One: \u{7f}",
            "X-\u{ff}: a",
            "X-One: a\rb",
            "x-ONE: 1\r\nX-one: 2",
            "Content-Length: 0",
            "Content-Length: 5",
            "Content-Length: 0\r\nContent-Length: 0",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: +0",
            "Content-Length:",
            "Content-Length: 0, 0",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: gzip, chunked",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0",
            "TE: trailers",
            "TE: gzip",
            "Trailer: X-One",
            "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk",
            "Upgrade: h2c",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==",
            "Expect: 100-continue",
            "Expect: x",
            "Connection: close",
            "Connection: keep-alive",
            "Connection: Keep-Alive",
            "Connection: Close",
            "Connection: close, keep-alive",
            "Connection:",
            "Connection: X-One\r\nX-One: 1",
            "Connection: Authorization",
            "Connection: keep-alive, Authorization",
            "Connection: keep-alive\r\nConnection: close",
            "Connection: keep-alive\r\nKeep-Alive: timeout=5",
            "Proxy-Connection: close",
            "Keep-Alive: timeout=5",
            "Proxy-Authorization: Basic eDp5",
            "X-HTTP-Method-Override: DELETE",
            "X-Http-Method: GET",
            "X-Original-URL: /x",
            "X-Rewrite-Url: /x",
            "Cache-Control: no-cache",
            "Cache-Control: no-store",
            "Cache-Control: max-age=0",
            "Cache-Control: max-age=x",
            "Cache-Control: max-age=600",
            "Cache-Control: min-fresh=9999",
            "Cache-Control: max-stale",
            "Cache-Control: only-if-cached",
            "Cache-Control: no-transform",
            "Cache-Control: \u{e9}",
            "Pragma: no-cache",
            "Cache-Control: max-age=600\r\nCache-Control: no-store",
            "If-None-Match: *",
            "If-None-Match: \"x\"",
            "If-None-Match: x",
            "If-Match: *",
            "If-Match: \"x\"",
            "If-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT",
            "If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT",
            "If-Range: \"x\"",
            "Range: bytes=0-1",
            "Range: x",
            "Range: bytes=0-1\r\nIf-Range: \"x\"",
            "Accept: application/json",
            "Accept: text/html",
            "Accept: */*;q=0",
            "Accept: x",
            "Accept:",
            "Accept: text/html\r\nAccept: application/json",
            "Accept-Encoding: gzip",
            "Accept-Encoding: br;q=0, gzip;q=0.5, zstd",
            "Accept-Encoding: identity;q=0",
            "Accept-Encoding:",
            "Accept-Encoding: *",
            "Accept-Encoding: *;q=0",
            "Accept-Encoding: x\r\nAccept-Encoding: gzip",
            "Accept-Language: de",
            "Cookie: a=1\r\nCookie: b=2",
            "Origin: http://b",
            "Forwarded: for=x",
            "X-Forwarded-For: 1.2.3.4",
            "Via: 1.1 catproxy",
            "Max-Forwards: 0",
            "Content-Type: application/json",
            "Sec-Fetch-Site: cross-site",
            "Traceparent: 00-0-0-0",
            "Content-Encoding: gzip",
        ];
        let of = |fields: &&str| (format!("{fields:?}"), latin(&self.read(fields)));
        bodies.iter().chain(&fields).map(of).collect()
    }

    fn hosts(&self) -> Vec<Case> {
        let hosts = [
            "a:80",
            "a:",
            "a:99999",
            "a:x",
            "a:080",
            "A.example",
            "[::1]",
            "[::1]:80",
            "[::1",
            "127.0.0.1",
            "u@a",
            "u:p@a",
            "a/b",
            "a b",
            "a,b",
            "",
            " a ",
            "a_b",
            "\u{e4}",
            "a\tb",
            "a?",
            "%61",
            "a.",
            ".",
            "-",
            ":80",
            "a\r\nHost: a",
            "a\r\nHost: b",
            "a\r\nhOST: a",
        ];
        let of = |host: &str| {
            let (name, text) = self.with(&format!("Host: {host}\r\n{}", self.bearer()));
            (name, latin(std::str::from_utf8(&text).expect("a text")))
        };
        let mut cases: Vec<Case> = hosts.into_iter().map(of).collect();
        cases.extend([self.with(&self.bearer()), self.with(&format!("{}\r\nHost: a", self.bearer()))]);
        cases
    }

    fn credentials(&self) -> Vec<Case> {
        let target = self.target;
        let Tokens { known, second, refused } = self.tokens;
        let all = [
            String::new(),
            "Authorization:".to_owned(),
            "Authorization: Bearer".to_owned(),
            "Authorization: Bearer ".to_owned(),
            "Authorization: Basic eDp5".to_owned(),
            "Authorization: Bearer \u{ff}\u{e9}".to_owned(),
            "Authorization: Bearer unknown".to_owned(),
            format!("authorization: bearer {known}"),
            format!("AUTHORIZATION: BEARER {known}"),
            format!("Authorization:Bearer {known}"),
            format!("Authorization:  Bearer {known}\t "),
            format!("Authorization: Bearer  {known}"),
            format!("Authorization: Bearer {known},"),
            format!("Authorization: Bearer {known} x"),
            format!("Authorization: Bearer {known}="),
            format!("Authorization: {known}"),
            format!("Authorization: Bearer {known}\r\nAuthorization: Bearer {known}"),
            format!("Authorization: Bearer {known}\r\nauthorization: Basic eDp5"),
            format!("Authorization: Bearer {second}"),
            format!("Authorization: Bearer {refused}"),
            format!("Authorization: Bearer {known}\r\nConnection: authorization"),
            format!("Proxy-Authorization: Bearer {known}"),
        ];
        let of = |(at, field): (usize, &String)| {
            let text = format!(
                "GET {target} HTTP/1.1\r\n{field}{}Host: a\r\n\r\n",
                if at == 0 { "" } else { "\r\n" }
            );
            (format!("credentials {at}: {field:.50}"), latin(&text))
        };
        all.iter().enumerate().map(of).collect()
    }

    fn sizes(&self) -> Vec<Case> {
        let target = self.target;
        let fields = |count: usize| (2..count).map(|at| format!("X-{at}: 1\r\n")).collect::<String>();
        let many = [31, 32, 33, 99, 100, 101, 1001]
            .map(|count| (format!("{count} fields"), self.read(fields(count).trim_end()).into_bytes()));
        // Between 32 and 64 KiB hyper takes more or less, as its buffer was needed before.
        let long = [3_000, 3_900, 4_000, 4_096, 5_000, 9_000, 30_000, 200_000].map(|bytes| {
            (
                format!("a head of {bytes} bytes"),
                self.read(&format!("X-One: {}", "x".repeat(bytes))).into_bytes(),
            )
        });
        let far = [250, 15_000, 20_000, 70_000].map(|bytes| {
            let line = format!("GET {target}&x={} HTTP/1.1", "x".repeat(bytes));
            (format!("a target of {bytes} bytes"), self.of(&line, "").into_bytes())
        });
        many.into_iter().chain(long).chain(far).collect()
    }

    /// Requests behind one another.
    fn several(&self) -> Vec<Case> {
        let hit = self.read("");
        let odd = self.read("Cache-Control: no-cache");
        let write = self
            .of("PUT /api/Seller/42 HTTP/1.1", "Content-Length: 2\r\nContent-Type: application/json")
            + "{}";
        let both =
            self.of("POST /x HTTP/1.1", "Content-Length: 3\r\nTransfer-Encoding: chunked") + "0\r\n\r\n";
        let bad = "GET /x HTTP/1.1\r\n\r\n";
        let half = |text: &str| text[..text.len() / 2].to_owned();
        let list = [
            ("hit, hit", [&hit, hit.as_str()].concat()),
            ("three hits", hit.repeat(3)),
            ("forty hits", hit.repeat(40)),
            ("hit, odd", [&hit, odd.as_str()].concat()),
            ("odd, hit", [&odd, hit.as_str()].concat()),
            ("hit, odd, hit", [&hit, odd.as_str(), &hit].concat()),
            ("hit, write", [&hit, write.as_str()].concat()),
            ("write, hit", [&write, hit.as_str()].concat()),
            ("hit, write, hit", [&hit, write.as_str(), &hit].concat()),
            ("hit, forwarded, hit", [&hit, FORWARDED, &hit].concat()),
            ("hit, bad, hit", [&hit, bad, &hit].concat()),
            ("hit, both framings, hit", [&hit, both.as_str(), &hit].concat()),
            ("hits, both framings", [&hit, hit.as_str(), &hit, both.as_str()].concat()),
            ("hit, half a hit", [&hit, half(&hit).as_str()].concat()),
            ("hit, half a write", [&hit, half(&write).as_str()].concat()),
            ("hit, closing hit, hit", [&hit, self.read("Connection: close").as_str(), &hit].concat()),
            ("hit, empty lines, hit", [&hit, "\r\n\r\n", &hit].concat()),
            ("hit, nonsense", [&hit, "\0\0\0"].concat()),
        ];
        list.map(|(name, text)| (name.to_owned(), text.into_bytes())).to_vec()
    }
}

/// A character is a byte.
fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).expect("a byte")).collect()
}
