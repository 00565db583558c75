//! Rendered answers, kept so that a benchmark of a proxy does not measure the rendering behind it.

use std::collections::HashMap;

use bytes::Bytes;

/// When there is more than this in memory, all is forgotten.
const MOST_BYTES: usize = 128 << 20;

/// Good answers by their target as spelled.
#[derive(Default)]
pub(crate) struct Pages {
    kept: HashMap<String, Bytes>,
    bytes: usize,
}

impl Pages {
    pub(crate) fn get(&self, target: &str) -> Option<Bytes> {
        self.kept.get(target).cloned()
    }

    pub(crate) fn keep(&mut self, target: &str, body: &Bytes) {
        self.bytes += target.len() + body.len();
        if self.bytes > MOST_BYTES {
            self.clear();
        }
        self.kept.insert(target.to_owned(), body.clone());
    }

    pub(crate) fn clear(&mut self) {
        self.kept.clear();
        self.bytes = 0;
    }
}
