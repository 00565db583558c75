//! Where an answer's body ends (RFC 9112 section 6), and what of the bytes that come is of it. Pure.

use std::ops::Range;

use super::super::broken::Broken;

/// More bytes of a chunk's size line, extensions and all, or of all trailers, hide something.
const LINES_BYTES: usize = 16 * 1024;

/// How much of a body is still to come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes; 0: nothing.
    Length(u64),
    Chunks(Chunks),
    /// Until the connection is closed.
    Close,
}

/// What comes next of a body in chunks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chunks {
    next: Next,
    /// The beginning of a size line.
    line: Vec<u8>,
    /// Bytes of trailers so far.
    trailers: usize,
    /// The last of them was a carriage return.
    returned: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Size,
    Data(u64),
    /// So many bytes of the line's end that is behind a chunk.
    DataEnd(u8),
    /// A trailer's line, of which something has come or not.
    Trailer {
        begun: bool,
    },
    Nothing,
    /// What has come is no chunk.
    Never,
}

impl Framing {
    /// Nothing is to come any more.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunks(chunks) => chunks.next == Next::Nothing,
            Self::Close => false,
        }
    }

    /// What has come is not what was said.
    pub(super) fn is_broken(&self) -> bool {
        matches!(self, Self::Chunks(Chunks { next: Next::Never, .. }))
    }

    /// The place of the body's next bytes among these, which are moved together; and how many of these were its own.
    pub(super) fn take(&mut self, bytes: &mut [u8]) -> (Range<usize>, usize) {
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                (0..taken, taken)
            }
            Self::Chunks(chunks) => chunks.take(bytes),
            Self::Close => (0..bytes.len(), bytes.len()),
        }
    }

    /// The connection was closed.
    pub(super) fn close(&mut self) -> Result<(), Broken> {
        if *self != Self::Close {
            return Err(Broken::Short);
        }
        *self = Self::Length(0);
        Ok(())
    }
}

impl Chunks {
    fn take(&mut self, bytes: &mut [u8]) -> (Range<usize>, usize) {
        let (mut at, mut data) = (0, 0..0);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            at += match self.next {
                Next::Data(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    if data.is_empty() {
                        data = at..at + taken;
                    } else {
                        bytes.copy_within(at..at + taken, data.end);
                        data.end += taken;
                    }
                    let left = left - taken as u64;
                    self.next = if left == 0 { Next::DataEnd(2) } else { Next::Data(left) };
                    taken
                }
                Next::DataEnd(left) => {
                    let end = if left == 2 { b'\r' } else { b'\n' };
                    self.next = match (rest.first() == Some(&end), left) {
                        (true, 2) => Next::DataEnd(1),
                        (true, _) => Next::Size,
                        (false, _) => Next::Never,
                    };
                    1
                }
                Next::Size => self.size(rest),
                Next::Trailer { begun } => self.trailer(rest, begun),
                Next::Nothing | Next::Never => break,
            };
        }
        (data, at)
    }

    /// Takes a size line, or the beginning of one.
    fn size(&mut self, rest: &[u8]) -> usize {
        let end = memchr::memchr(b'\n', rest);
        let taken = end.map_or(rest.len(), |end| end + 1);
        let piece = rest.get(..taken).unwrap_or_default();
        if self.line.len() + taken > LINES_BYTES {
            self.next = Next::Never;
        } else if end.is_none() {
            self.line.extend_from_slice(piece);
        } else if self.line.is_empty() {
            self.next = after(piece);
        } else {
            self.line.extend_from_slice(piece);
            self.next = after(&self.line);
            self.line.clear();
        }
        taken
    }

    /// Passes over a trailer's line, or a piece of it. Each ends by a carriage return and a line feed, and has neither of them
    /// elsewhere, nor a NUL: else another reader may see another end.
    fn trailer(&mut self, rest: &[u8], begun: bool) -> usize {
        let end = memchr::memchr(b'\n', rest);
        let taken = end.map_or(rest.len(), |end| end + 1);
        self.trailers += taken;
        let line = rest.get(..end.unwrap_or(taken)).unwrap_or_default();
        let mut begun = begun;
        for byte in line {
            if self.returned || *byte == 0 {
                self.next = Next::Never;
                return taken;
            }
            self.returned = *byte == b'\r';
            begun |= !self.returned;
        }
        self.next = match (end, begun) {
            _ if self.trailers > LINES_BYTES => Next::Never,
            (Some(_), _) if !std::mem::take(&mut self.returned) => Next::Never,
            (Some(_), false) => Next::Nothing,
            (Some(_), true) => Next::Trailer { begun: false },
            (None, begun) => Next::Trailer { begun },
        };
        taken
    }
}

/// What comes after a whole size line.
fn after(line: &[u8]) -> Next {
    // The parser takes no digit for a 0.
    let is_size = line.first().is_some_and(u8::is_ascii_hexdigit);
    match httparse::parse_chunk_size(line) {
        Ok(httparse::Status::Complete((_, 0))) if is_size => Next::Trailer { begun: false },
        Ok(httparse::Status::Complete((_, size))) if is_size => Next::Data(size),
        _ => Next::Never,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a body in chunks says that comes in pieces of these sizes, and what comes behind it.
    fn read(text: &[u8], sizes: &[usize]) -> Result<(Vec<u8>, Vec<u8>, bool), Vec<u8>> {
        let (mut framing, mut body, mut behind) =
            (Framing::Chunks(Chunks::default()), Vec::new(), Vec::new());
        let (mut rest, mut sizes) = (text, sizes.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(sizes.next().copied().unwrap_or(1).min(rest.len()));
            let mut piece = piece.to_vec();
            let (data, taken) = framing.take(&mut piece);
            body.extend_from_slice(&piece[data]);
            if framing.is_broken() {
                return Err(body);
            }
            behind.extend_from_slice(&piece[taken..]);
            rest = after;
        }
        Ok((body, behind, framing.has_ended()))
    }

    fn in_chunks(pieces: &[Vec<u8>], trailers: &str) -> Vec<u8> {
        let mut text = Vec::new();
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            text.extend_from_slice(format!("{:X};a=b\r\n", piece.len()).as_bytes());
            text.extend_from_slice(piece);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        text
    }

    proptest! {
        #[test]
        fn a_body_in_chunks_is_read_as_it_was_sent_however_it_comes(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8),
            trailers in "(A: b\r\n|X-Y: 0\r\n){0,3}",
            behind in proptest::collection::vec(any::<u8>(), 0..9),
            sizes in proptest::collection::vec(1usize..30, 1..9),
        ) {
            let text = [in_chunks(&pieces, &trailers), behind.clone()].concat();
            let (body, rest, ended) = read(&text, &sizes).expect("chunks");
            prop_assert_eq!((body, rest, ended), (pieces.concat(), behind, true));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(
            text in proptest::collection::vec(prop_oneof![
                any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b'5'), Just(b'f'),
            ], 0..200),
            sizes in proptest::collection::vec(1usize..30, 1..9),
        ) {
            let _ = read(&text, &sizes);
        }
    }

    #[test]
    fn what_is_no_chunk_is_none() {
        let long = [b"5;".as_slice(), &[b'a'; LINES_BYTES]].concat();
        let trailers = [b"0\r\n".as_slice(), &[b'a'; LINES_BYTES], b"\r\n\r\n"].concat();
        for (text, before) in [
            (b"x\r\n".as_slice(), ""),
            (b"\r\n", ""),
            (b"5\r\nhello0\r\n\r\n", "hello"),
            (b"5\r\nhello\r\n2\r\nab\r\nzz\r\n", "helloab"),
            (b"5\nhello\r\n", ""),
            (b"ffffffffffffffffff\r\n", ""),
            (b"-1\r\n", ""),
            (b"0\r\n\n", ""),
            (b"0\r\n\r\r\n", ""),
            (b"0\r\nA: b\n\r\n", ""),
            (b"0\r\nA: \0\r\n\r\n", ""),
            (&long, ""),
            (&trailers, ""),
        ] {
            for size in [1, 7, text.len()] {
                let broken = read(text, &[size]).expect_err("no chunk");
                assert_eq!(String::from_utf8_lossy(&broken), before, "{:?}", String::from_utf8_lossy(text));
            }
        }
    }

    #[test]
    fn only_what_lasts_until_the_close_is_whole_when_that_comes() {
        let mut until = Framing::Close;
        assert_eq!(until.take(&mut [1, 2]), (0..2, 2));
        assert!(until.close().is_ok() && until.has_ended());
        for mut unfinished in [Framing::Length(1), Framing::Chunks(Chunks::default())] {
            assert!(matches!(unfinished.close(), Err(Broken::Short)));
        }
    }

    #[test]
    fn what_comes_behind_a_length_is_not_of_the_body() {
        let mut framing = Framing::Length(3);
        assert_eq!(framing.take(&mut [1, 2]), (0..2, 2));
        assert!(!framing.has_ended());
        assert_eq!(framing.take(&mut [3, 4]), (0..1, 1));
        assert!(framing.has_ended());
    }
}
