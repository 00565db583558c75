//! The head of an answer to a plain request, read from its bytes. Pure.

use std::mem::MaybeUninit;

use http::{HeaderName, StatusCode, Version, header};

use super::{
    super::broken::Broken,
    framing::{Chunks, Framing},
};
use crate::upstream::UpstreamError;

/// Fields of an answer, as many as hyper reads.
const FIELDS: usize = 100;

/// The longest body, as hyper counts.
const LONGEST: u64 = u64::MAX - 2;

/// The head of an answer, as it came. Its lines are whatever the upstream says: those that end at this hop, too.
#[derive(Debug)]
pub struct AnswerHead<'b> {
    /// What the answer is; never interim.
    pub status: StatusCode,
    /// What stands behind the number; may be empty.
    pub reason: &'b str,
    /// HTTP/1.1 or 1.0.
    pub version: Version,
    /// The fields.
    pub lines: &'b [httparse::Header<'b>],
    /// Its `Content-Length` says how long its body is; else only that ends.
    pub is_sized: bool,
    /// There is no body whatever the length says.
    pub bare: bool,
}

/// What a head says of its connection and of what follows.
#[derive(Debug)]
pub(super) struct Follows {
    /// Of the head, and of interim ones before it.
    pub(super) bytes: usize,
    pub(super) status: StatusCode,
    pub(super) framing: Framing,
    /// The connection takes another request after it.
    pub(super) stays: bool,
}

/// What some bytes begin with.
#[derive(Debug)]
pub(super) enum Begins<H> {
    /// A head, and what was made of it.
    Whole(Follows, H),
    /// One that is not whole, behind so many bytes of interim answers.
    Part { interim: usize },
}

/// Reads the head of an answer to a request that is no HEAD and asks for no change of protocol, and has `make` make something
/// of it.
pub(super) fn read<H>(
    bytes: &[u8],
    make: &impl Fn(&AnswerHead<'_>) -> H,
) -> Result<Begins<H>, UpstreamError> {
    let mut begin = 0;
    loop {
        let mut lines = [const { MaybeUninit::uninit() }; FIELDS];
        let mut head = httparse::Response::new(&mut []);
        let rest = bytes.get(begin..).unwrap_or_default();
        let parsed = httparse::ParserConfig::default()
            .parse_response_with_uninit_headers(&mut head, rest, &mut lines)
            .map_err(Broken::Head)?;
        let httparse::Status::Complete(length) = parsed else { return Ok(Begins::Part { interim: begin }) };
        begin += length;
        let status = head.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Broken::Status)?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(UpstreamError::Unfit("a change of protocol that was not asked for"));
        }
        // Interim: the answer is still to come (RFC 9110 section 15.2).
        if status.is_informational() {
            continue;
        }
        let said = Said::of(head.headers)?;
        let is_http_10 = head.version == Some(0);
        if said.chunked && is_http_10 {
            return Err(UpstreamError::Unfit("chunks over HTTP/1.0"));
        }
        let bare = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let framing = match said {
            _ if bare => Framing::Length(0),
            Said { chunked: true, .. } => Framing::Chunks(Chunks::default()),
            Said { is_unclear: true, .. } => return Err(Broken::Length.into()),
            Said { length: Some(length), .. } => Framing::Length(length),
            _ => Framing::Close,
        };
        let answer = AnswerHead {
            status,
            reason: head.reason.unwrap_or_default(),
            version: if is_http_10 { Version::HTTP_10 } else { Version::HTTP_11 },
            lines: head.headers,
            is_sized: said.length.is_some() && !said.is_unclear && !said.chunked,
            bare,
        };
        let made = make(&answer);
        let stays = if is_http_10 { said.keeps } else { !said.closes } && framing != Framing::Close;
        return Ok(Begins::Whole(Follows { bytes: begin, status, framing, stays }, made));
    }
}

/// What the fields of a head say of this hop.
#[derive(Default)]
struct Said {
    length: Option<u64>,
    /// Not all that is said of it is the same number.
    is_unclear: bool,
    chunked: bool,
    closes: bool,
    keeps: bool,
}

impl Said {
    fn of(lines: &[httparse::Header<'_>]) -> Result<Self, UpstreamError> {
        let mut said = Self::default();
        for line in lines {
            let is = |name: &HeaderName| line.name.eq_ignore_ascii_case(name.as_str());
            if is(&header::CONTENT_LENGTH) {
                said.length(line.value);
            } else if is(&header::TRANSFER_ENCODING) {
                if said.chunked || !line.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(UpstreamError::Unfit("a transfer coding other than chunked"));
                }
                said.chunked = true;
            } else if is(&header::CONNECTION) {
                for word in line.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    said.closes |= word.eq_ignore_ascii_case(b"close");
                    said.keeps |= word.eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        Ok(said)
    }

    /// Said again, or in a list, it must be the same (RFC 9110 section 8.6).
    fn length(&mut self, value: &[u8]) {
        for part in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let length = length(part);
            self.is_unclear |= length.is_none() || self.length.is_some_and(|other| Some(other) != length);
            self.length = length;
        }
    }
}

fn length(digits: &[u8]) -> Option<u64> {
    let digits =
        std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits?.parse().ok().filter(|length| *length <= LONGEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Its status, its length, how its body is framed, and whether its connection stays.
    fn read(head: &str) -> Result<Option<(u16, Framing, bool)>, UpstreamError> {
        Ok(match super::read(head.as_bytes(), &|answer| answer.status.as_u16())? {
            Begins::Whole(follows, status) => Some((status, follows.framing, follows.stays)),
            Begins::Part { .. } => None,
        })
    }

    fn known(head: &str) -> (u16, Framing, bool) {
        read(head).expect("HTTP").expect("whole")
    }

    #[test]
    fn a_body_ends_as_its_head_says() {
        let chunks = || Framing::Chunks(Chunks::default());
        for (fields, framing, stays) in [
            ("content-length: 5\r\n", Framing::Length(5), true),
            ("Content-Length: 5\r\nCONNECTION: Close\r\n", Framing::Length(5), false),
            ("content-length: 5, 5\r\ncontent-length: 5\r\n", Framing::Length(5), true),
            ("transfer-encoding: Chunked\r\n", chunks(), true),
            ("transfer-encoding: chunked\r\ncontent-length: 5\r\n", chunks(), true),
            ("connection: keep-alive\r\n", Framing::Close, false),
        ] {
            assert_eq!(known(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")), (200, framing, stays), "{fields}");
        }
        assert_eq!(known("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"), (200, Framing::Length(0), false));
        let kept = "HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: a, keep-alive\r\n\r\n";
        assert_eq!(known(kept), (200, Framing::Length(0), true));
        for bare in ["204 No Content", "304 Not Modified"] {
            let (_, framing, stays) = known(&format!("HTTP/1.1 {bare}\r\ncontent-length: 9\r\n\r\n"));
            assert_eq!((framing, stays), (Framing::Length(0), true), "{bare}");
        }
    }

    #[test]
    fn what_says_nothing_clear_is_not_passed_on() {
        for fields in [
            "content-length: 5\r\ncontent-length: 6\r\n",
            "content-length: 5, 6\r\n",
            "content-length: +5\r\n",
            "content-length: \r\n",
            "content-length: 99999999999999999999\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "a b: c\r\n",
            "a: b\r\n c\r\n",
        ] {
            assert!(read(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).is_err(), "{fields}");
        }
        assert!(read("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(read("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n").is_err());
        assert!(read("SSH-2.0-OpenSSH_9.2\r\n").is_err());
    }

    #[test]
    fn interim_answers_are_passed_over() {
        let head = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\n";
        assert!(read(head).expect("HTTP").is_none());
        assert_eq!(known(&format!("{head}content-length: 1\r\n\r\n")), (404, Framing::Length(1), true));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(text in "(HTTP/1\\.[01] [1-5][0-9]{2} |[a-z-]{1,17}: |chunked|[0-9]{1,20}|\r\n|.){0,40}") {
            let _ = read(&text);
        }
    }
}
