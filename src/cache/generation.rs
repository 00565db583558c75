//! The random token under which a route's entries are valid.
//!
//! It begins with the `run_id` of the server that it was put into: after a restart or a failover the
//! token found there is another server's, which may have come back with old data, so it counts as absent.

use std::{fmt, sync::Arc};

use ring::rand::SecureRandom as _;

/// Bytes of randomness in a token.
const RANDOM_BYTES: usize = 16;

/// The token of a route's generation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Generation(Arc<str>);

impl Generation {
    /// A new one for the server that runs as `run_id` (any text without control characters).
    ///
    /// # Errors
    /// [`NoRandomness`] where the operating system gives none; nothing may be stored then.
    pub fn random(run_id: &str) -> Result<Self, NoRandomness> {
        let mut bytes = [0; RANDOM_BYTES];
        ring::rand::SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self(format!("{run_id}.{hex}").into()))
    }

    /// Reads what the store holds; `None` where it is not a token of the server that runs as `run_id`.
    #[must_use]
    pub fn read(value: &[u8], run_id: &str) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let random = text.strip_prefix(run_id)?.strip_prefix('.')?;
        let valid = random.len() == 2 * RANDOM_BYTES && random.bytes().all(|byte| byte.is_ascii_hexdigit());
        valid.then(|| Self(text.into()))
    }

    /// The token that an entry claims to be of: it counts only where it equals one that was read.
    #[must_use]
    pub fn claimed(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether it was put into the server that runs as `run_id`.
    #[must_use]
    pub fn is_of(&self, run_id: &str) -> bool {
        self.0.strip_prefix(run_id).is_some_and(|rest| rest.starts_with('.'))
    }

    /// The token as it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The operating system gives no random bytes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the operating system gives no random bytes")]
pub struct NoRandomness;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_under_its_own_server_only() {
        let token = Generation::random("a1").unwrap();
        assert_eq!(Generation::read(token.as_str().as_bytes(), "a1"), Some(token.clone()));
        assert_eq!(Generation::read(token.as_str().as_bytes(), "a2"), None);
        for garbage in
            [&b""[..], b"hello", b"a1.", b"a1.xyz", b"\xff\xfe", b"a1.0123456789abcdef0123456789abcdeg"]
        {
            assert_eq!(Generation::read(garbage, "a1"), None, "{garbage:?}");
        }
        assert_ne!(token, Generation::random("a1").unwrap());
    }
}
