//! The text of a page while it is written: a buffer that grows to the size that the page will probably have, instead
//! of doubling, because a fill holds the texts of many pages.

use std::io;

/// The first size of a buffer: enough text for a guess that one strange item does not spoil.
const FIRST: usize = 12 * 1024;
/// A guess may make the buffer this many times as large as what is in it.
const TRUST: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
    source: Source,
}

/// How much of the body had become how much text.
#[derive(Debug, Default)]
struct Source {
    read: usize,
    all: usize,
    written: usize,
}

impl Text {
    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if bytes.len() > self.bytes.capacity() - self.bytes.len() {
            self.grow(bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let length = self.bytes.len();
        let guess = self.source.expected().min(length * TRUST);
        let wanted = guess.max(length + length / 4).max(length + more).max(FIRST);
        self.bytes.reserve_exact(wanted - length);
    }

    /// Says that the text came from the first `read` bytes of `all`: what is to come is guessed from that.
    pub(super) fn came_from(&mut self, read: usize, all: usize) {
        self.source = Source { read, all, written: self.bytes.len() };
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn since(&self, start: usize) -> &[u8] {
        self.bytes.get(start..).unwrap_or_default()
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// The text itself; a buffer that was guessed far too large gives the rest back.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        if self.bytes.capacity() / 2 > self.bytes.len() {
            self.bytes.shrink_to_fit();
        }
        self.bytes
    }
}

impl Source {
    /// What the whole text will be if it goes on like this, and a little more.
    fn expected(&self) -> usize {
        let scaled = self.written as u128 * self.all as u128 / self.read.max(1) as u128;
        let scaled = usize::try_from(scaled).unwrap_or(usize::MAX).min(self.all);
        scaled + scaled / 8
    }
}

impl io::Write for &mut Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
