//! HTTP/2 frame by frame, with nothing in between that would refuse to say what is forbidden.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    forwarding::wire::{Stream, in_time},
    support::Door,
};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113 section 6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as literals that are not indexed (RFC 7541 section 6.2.2), whatever is in them.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            integer(text.len(), &mut bytes);
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// An integer with a prefix of 7 bits (RFC 7541 section 5.1).
fn integer(mut number: usize, bytes: &mut Vec<u8>) {
    if number < 127 {
        bytes.push(u8::try_from(number).expect("small"));
        return;
    }
    bytes.push(127);
    number -= 127;
    while number >= 128 {
        bytes.push(u8::try_from(number % 128).expect("small") | 128);
        number /= 128;
    }
    bytes.push(u8::try_from(number).expect("small"));
}

/// A request's head in one frame; `flags` beside [`END_HEADERS`].
pub fn head(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &block(fields))
}

/// A frame as it came.
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// One end of a connection of HTTP/2 that answers no frame by itself.
pub struct Second {
    stream: Box<dyn Stream>,
}

impl Second {
    /// A connection on which the preface and empty settings were said.
    pub async fn to(proxy: &Door) -> Self {
        let stream = TcpStream::connect(proxy.address).await.expect("a connection");
        let mut client = Self { stream: Box::new(stream) };
        client.say(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        client
    }

    /// The server's end, on which the preface has come and these settings were said.
    pub async fn serving(mut stream: impl Stream + 'static, settings: &[u8]) -> Self {
        let mut preface = [0; PREFACE.len()];
        in_time("the preface", stream.read_exact(&mut preface)).await.expect("a client of HTTP/2");
        assert_eq!(preface, PREFACE);
        let mut server = Self { stream: Box::new(stream) };
        server.say(&frame(SETTINGS, 0, 0, settings)).await;
        server
    }

    /// Says it as far as the other end takes it; false where it has closed.
    pub async fn say(&mut self, bytes: &[u8]) -> bool {
        in_time("room for what is said", self.stream.write_all(bytes)).await.is_ok()
    }

    /// The next frame; `None` where the other end has closed.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        in_time("a frame or the end", self.stream.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        in_time("a frame's payload", self.stream.read_exact(&mut payload)).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], stream, payload })
    }

    /// The first frame of this kind on this stream; `None` where the connection, or the stream, ended before.
    pub async fn until(&mut self, kind: u8, stream: u32) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind && frame.stream == stream {
                return Some(frame);
            }
            if frame.kind == RST_STREAM && frame.stream == stream {
                return None;
            }
        }
    }

    /// The reason for which this stream is reset.
    pub async fn reset(&mut self, stream: u32) -> Vec<u8> {
        loop {
            let frame = self.next().await.expect("a reset before the end");
            if (frame.kind, frame.stream) == (RST_STREAM, stream) {
                return frame.payload;
            }
        }
    }

    /// The status of the answer on this stream; `None` where it was reset or the connection ended.
    pub async fn status(&mut self, stream: u32) -> Option<u16> {
        status(&self.until(HEADERS, stream).await?.payload)
    }

    /// Waits for the end of the connection, whatever comes before.
    pub async fn is_closed(&mut self) {
        while self.next().await.is_some() {}
    }
}

/// The status in a block: an entry of the static table, or a literal with its name from there (RFC 7541 appendix A),
/// its value plain or in Huffman's code, in which digits have five or six bits.
fn status(block: &[u8]) -> Option<u16> {
    // A change of the table's size may stand first.
    let block = if block.first()? >> 5 == 1 { &block[1..] } else { block };
    match block.first()? {
        0x88 => Some(200),
        0x89 => Some(204),
        0x8a => Some(206),
        0x8b => Some(304),
        0x8c => Some(400),
        0x8d => Some(404),
        0x8e => Some(500),
        _ => {
            let length = block.get(1)?;
            let value = block.get(2..2 + usize::from(length & 127))?;
            if length & 128 == 0 { std::str::from_utf8(value).ok()?.parse().ok() } else { huffman(value) }
        }
    }
}

/// A number of digits in Huffman's code (RFC 7541 appendix B): 0 to 2 are the codes of five bits 0 to 2, 3 to 9 those of
/// six bits from 0x19 on.
fn huffman(value: &[u8]) -> Option<u16> {
    let bits: Vec<u16> =
        value.iter().flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1))).collect();
    let take = |from: usize, length: usize| {
        Some(bits.get(from..from + length)?.iter().fold(0, |sum, bit| sum * 2 + bit))
    };
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let short = take(at, 5)?;
        if short <= 2 {
            (number, at) = (number * 10 + short, at + 5);
        } else {
            (number, at) = (number * 10 + take(at, 6)? - 0x19 + 3, at + 6);
        }
    }
    Some(number)
}

#[test]
fn a_status_is_read_in_every_form() {
    assert_eq!(status(&[0x88]), Some(200));
    assert_eq!(status(&[0x20, 0x88]), Some(200));
    assert_eq!(status(&[0x08, 3, b'4', b'0', b'5']), Some(405));
    // 503: 011011 00000 011001
    assert_eq!(status(&[0x48, 0x83, 0b0110_1100, 0b0000_1100, 0b1111_1111]), Some(503));
}
