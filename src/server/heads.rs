//! Reads along what a client sends over HTTP/1, for two things that hyper does not tell, or not as cheaply.
//!
//! That a head has both `Content-Length` and `Transfer-Encoding`: hyper takes the length away and goes on; who sends both
//! may mean another request than we would pass on (RFC 9112 section 6.1), and is refused. And how the names of a head's
//! fields are spelled.
//!
//! Pure. It judges nothing else, and where it cannot follow hyper will not either. What is kept of a head is shorter than
//! that head, which hyper bounds.

use crate::upstream::Spelling;

/// Longer lines are neither of the two fields, or a value that says nothing here. Of a longer name that comes in pieces
/// the spelling is not known.
const LINE_BYTES: usize = 256;
/// How a connection of HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// What came on a connection so far, as far as it must be known.
#[derive(Debug, Default)]
pub(super) struct Heads {
    state: State,
    /// The present line's beginning, where it came in an earlier piece.
    line: Vec<u8>,
    /// Not all of it was kept.
    cut: bool,
    head: Head,
    /// Heads that have ended.
    ended: u64,
    /// How those among them are spelled that have not been asked for.
    spelled: Vec<(u64, Spelling)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// So many bytes of a body are still to come.
    Body(u64),
    /// The line that says how long the next chunk is.
    Size,
    /// So many bytes of a chunk, and then a line's end.
    Chunk(u64),
    /// After the last chunk.
    Trailers,
    /// Not followed any more.
    Blind,
}

/// What the present head has said.
#[derive(Debug, Default)]
struct Head {
    begun: bool,
    length: Option<Length>,
    chunked: bool,
    spelling: Spelling,
}

#[derive(Clone, Copy, Debug)]
enum Length {
    Of(u64),
    Unclear,
}

impl Heads {
    /// Follows the next piece. Gives the place among all heads, from 0, of one that says both.
    pub(super) fn follow(&mut self, mut piece: &[u8]) -> Option<u64> {
        while !piece.is_empty() {
            piece = match self.state {
                State::Blind => return None,
                State::Body(left) => self.skip(piece, left, State::Body, State::Head),
                State::Chunk(left) => self.skip(piece, left, State::Chunk, State::Size),
                State::Head | State::Size | State::Trailers => match self.next_line(piece) {
                    Ok(rest) => rest,
                    Err(ambiguous) => return Some(ambiguous),
                },
            };
        }
        None
    }

    /// How those heads are spelled that have ended since this was asked last, each with its place among all.
    pub(super) fn take_spelled(&mut self) -> Vec<(u64, Spelling)> {
        std::mem::take(&mut self.spelled)
    }

    /// Between two messages, passes over a head that was understood elsewhere and had neither of the two fields.
    pub(super) fn pass_over(&mut self) {
        self.ended += 1;
    }

    /// Whether a part of a head has come, and not all of it. Over HTTP/2 that is not known.
    pub(super) fn are_in_head(&self) -> bool {
        self.state == State::Head && (self.head.begun || !self.line.is_empty())
    }

    /// Whether nothing of a message has come that has not ended; false where that is not known.
    pub(super) fn are_between(&self) -> bool {
        self.state == State::Head && !self.are_in_head()
    }

    fn skip<'p>(&mut self, piece: &'p [u8], left: u64, more: fn(u64) -> State, then: State) -> &'p [u8] {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        let left = left - taken as u64;
        self.state = if left == 0 { then } else { more(left) };
        piece.get(taken..).unwrap_or_default()
    }

    /// Takes a line, or the beginning of one, off the piece.
    fn next_line<'p>(&mut self, piece: &'p [u8]) -> Result<&'p [u8], u64> {
        let Some(end) = memchr::memchr(b'\n', piece) else {
            self.keep(piece);
            return Ok(&[]);
        };
        let (line, rest) = piece.split_at(end);
        if self.line.is_empty() {
            self.line(line)?;
        } else {
            self.keep(line);
            let whole = std::mem::take(&mut self.line);
            let outcome = self.line(&whole);
            self.line = whole;
            self.line.clear();
            self.cut = false;
            outcome?;
        }
        Ok(rest.get(1..).unwrap_or_default())
    }

    fn keep(&mut self, piece: &[u8]) {
        self.cut |= self.line.len() + piece.len() > LINE_BYTES;
        let room = LINE_BYTES.saturating_sub(self.line.len()).min(piece.len());
        self.line.extend_from_slice(piece.get(..room).unwrap_or_default());
    }

    fn line(&mut self, line: &[u8]) -> Result<(), u64> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.state {
            State::Head if line.is_empty() => return self.end_head(),
            State::Head if !self.head.begun => self.begin_head(line),
            State::Head => self.field(line),
            State::Size if line.is_empty() => {}
            // Nobody says a size in so many digits but to hide what comes after.
            State::Size if self.cut => return self.refuse(self.ended),
            State::Size => self.state = size(line),
            State::Trailers if line.is_empty() => self.state = State::Head,
            _ => {}
        }
        Ok(())
    }

    fn begin_head(&mut self, line: &[u8]) {
        self.head.begun = true;
        if line.starts_with(PREFACE) {
            self.state = State::Blind;
        }
    }

    fn field(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = line.split_at(colon);
        self.head.spelling.add(name);
        // Of hundreds of fields only few begin like this.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            return;
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.head.chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let digits = value.get(1..).unwrap_or_default().trim_ascii();
            let digits = if self.cut { &[][..] } else { digits };
            let length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            self.head.length = Some(length.map_or(Length::Unclear, Length::Of));
        }
    }

    /// Nothing after it is believed to be a request.
    fn refuse(&mut self, place: u64) -> Result<(), u64> {
        self.state = State::Blind;
        Err(place)
    }

    fn end_head(&mut self) -> Result<(), u64> {
        let head = std::mem::take(&mut self.head);
        if !head.begun {
            return Ok(());
        }
        let place = self.ended;
        self.ended += 1;
        if head.spelling.matters() {
            self.spelled.push((place, head.spelling));
        }
        self.state = match (head.chunked, head.length) {
            // A length that is not understood is none of hyper's either, or hides what comes after.
            (true, Some(_)) | (false, Some(Length::Unclear)) => return self.refuse(place),
            (true, None) => State::Size,
            (false, Some(Length::Of(0)) | None) => State::Head,
            (false, Some(Length::Of(length))) => State::Body(length),
        };
        Ok(())
    }
}

/// What a chunk's size line says comes next.
fn size(line: &[u8]) -> State {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let digits = line.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok());
    match digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
        Some(0) => State::Trailers,
        Some(bytes) => State::Chunk(bytes),
        None => State::Blind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const SIZED: &str = "POST / HTTP/1.1\r\nContent-Length: 29\r\n\r\nTransfer-Encoding: chunked\r\n\r";
    const CHUNKED: &str = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\
        1b;x=1\r\nContent-Length: 7\r\n\r\nabcdef\r\n0\r\nContent-Length: 1\r\n\r\n";
    const BOTH: &str = "POST / HTTP/1.1\r\nContent-Length: 3\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n";

    /// Where a head that says both is found, the bytes coming in pieces of this size.
    fn found(text: &str, pieces: usize) -> Option<u64> {
        let mut heads = Heads::default();
        text.as_bytes().chunks(pieces).find_map(|piece| heads.follow(piece))
    }

    #[test]
    fn a_head_that_says_both_is_found_behind_others_however_it_comes() {
        let behind = format!("\r\n{GET}{SIZED}{CHUNKED}{GET}{BOTH}{GET}");
        for pieces in 1..=behind.len() {
            assert_eq!(found(&behind, pieces), Some(4), "in pieces of {pieces}");
        }
        let reversed = BOTH.replace("Content-Length: 3\r\nX: y\r\n", "") + "Content-Length: 3\r\n\r\n";
        assert_eq!(found(&reversed, 1), None, "that is a body");
        let order = "POST / HTTP/1.1\nTransfer-Encoding: chunked\nContent-Length:3\n\n";
        assert_eq!(found(order, 7), Some(0), "in either order, with bare line feeds");
    }

    #[test]
    fn bodies_and_trailers_are_no_heads() {
        assert_eq!(found(&format!("{GET}{SIZED}{CHUNKED}{GET}"), 5), None);
    }

    #[test]
    fn a_value_that_is_padded_hides_nothing() {
        let padded = BOTH.replace("Length: ", &format!("Length:{}", " ".repeat(300)));
        for pieces in [1, 64, 10_000] {
            assert_eq!(found(&padded, pieces), Some(0));
        }
    }

    #[test]
    fn a_length_or_a_size_that_is_too_long_hides_nothing() {
        let length = format!("POST / HTTP/1.1\r\nContent-Length:{}0\r\n\r\n{BOTH}", " ".repeat(300));
        let size = format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{}4\r\n\r\n\r\n\r\n0\r\n\r\n{BOTH}",
            "0".repeat(300)
        );
        for text in [&length, &size] {
            for pieces in 1..400 {
                assert!(found(text, pieces).is_some(), "in pieces of {pieces}");
            }
        }
    }

    #[test]
    fn what_is_no_http_1_is_not_followed() {
        assert_eq!(found(&format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{BOTH}"), 3), None);
    }

    #[test]
    fn each_head_is_spelled_as_it_came_however_it_comes() {
        let odd = "GET / HTTP/1.1\r\nHOST:a\nx-Odd: b: C\r\nX:\r\n\r\n";
        let plain = "GET / HTTP/1.1\r\nhost: A\r\n\r\n";
        let names = |names: &[&str]| {
            let mut spelling = Spelling::default();
            names.iter().for_each(|name| spelling.add(name.as_bytes()));
            format!("{spelling:?}")
        };
        let text = format!("{odd}{SIZED}\r\n{plain}{odd}{CHUNKED}{GET}");
        let expected = [
            (0, names(&["HOST", "x-Odd", "X"])),
            (1, names(&["Content-Length"])),
            (3, names(&["HOST", "x-Odd", "X"])),
            (5, names(&["Host"])),
        ];
        for pieces in 1..=text.len() {
            let mut heads = Heads::default();
            let mut spelled = Vec::new();
            for piece in text.as_bytes().chunks(pieces) {
                assert_eq!(heads.follow(piece), None);
                let new = heads.take_spelled().into_iter();
                spelled.extend(new.map(|(place, spelling)| (place, format!("{spelling:?}"))));
            }
            assert_eq!(spelled, expected, "in pieces of {pieces}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_followed_without_a_panic_and_in_little_memory(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 0..20),
        ) {
            let mut heads = Heads::default();
            for piece in pieces {
                let _ = heads.follow(&piece);
                prop_assert!(heads.line.capacity() <= 2 * LINE_BYTES);
            }
        }

        #[test]
        fn how_the_bytes_come_changes_nothing(cuts in proptest::collection::vec(1usize..60, 1..60)) {
            let text = format!("{SIZED}{CHUNKED}{GET}{CHUNKED}{BOTH}");
            let (mut heads, mut rest, mut found) = (Heads::default(), text.as_bytes(), None);
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                found = found.or(heads.follow(piece));
                rest = after;
                if rest.is_empty() { break }
            }
            prop_assert_eq!(found, Some(4));
        }
    }
}
