//! Seals a session so that only who has the key can read or make one (AES-256-GCM).
//!
//! `version (1) | nonce (12) | sealed deflate | tag (16)`, in base64url. Deflate, because a token is base64 inside and
//! sealed bytes are base64 outside: it takes back the third that the inner coding costs. What is not whole and ours is
//! nothing, for whatever reason.

use std::io::{Read as _, Write as _};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
    hkdf::Prk,
    rand::{SecureRandom as _, SystemRandom},
};

/// Of what is sealed, and of how.
const VERSION: u8 = 1;
/// Of a session before it is compressed; far above two tokens and a name.
const PLAIN_BYTES: u64 = 64 * 1024;

/// Seals and opens.
pub(super) struct Sealer {
    key: LessSafeKey,
    random: SystemRandom,
    /// What the sealed text is for: another cookie with the same key is not taken for this one.
    purpose: &'static str,
}

impl Sealer {
    pub(super) fn new(master: &Prk, purpose: &'static str) -> Result<Self, Unspecified> {
        let key = UnboundKey::from(master.expand(&[b"seal"], &AES_256_GCM)?);
        Ok(Self { key: LessSafeKey::new(key), random: SystemRandom::new(), purpose })
    }

    /// The sealed text: letters, digits, `-` and `_`. Another one each time.
    pub(super) fn seal(&self, plain: &[u8]) -> Result<String, Unspecified> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce)?;
        let mut text = deflate(plain).ok_or(Unspecified)?;
        let aad = Aad::from(self.purpose);
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text)?;
        Ok(BASE64URL.encode([&[VERSION], nonce.as_slice(), &text].concat()))
    }

    /// What was sealed.
    pub(super) fn open(&self, text: &str) -> Option<Vec<u8>> {
        let mut bytes = BASE64URL.decode(text).ok()?;
        let (version, sealed) = bytes.split_first_mut()?;
        let (nonce, sealed) = sealed.split_at_mut_checked(NONCE_LEN)?;
        if *version != VERSION {
            return None;
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        inflate(self.key.open_in_place(nonce, Aad::from(self.purpose), sealed).ok()?)
    }
}

fn deflate(plain: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok()
}

fn inflate(text: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    DeflateDecoder::new(text).take(PLAIN_BYTES).read_to_end(&mut plain).ok()?;
    Some(plain)
}

#[cfg(test)]
mod tests {
    use ring::hkdf::{HKDF_SHA256, Salt};

    use super::*;

    fn sealer(key: u8, purpose: &'static str) -> Sealer {
        Sealer::new(&Salt::new(HKDF_SHA256, b"").extract(&[key; 32]), purpose).expect("a key")
    }

    #[test]
    fn what_was_sealed_is_opened_and_sealing_twice_gives_two_texts() {
        let sealer = sealer(1, "a");
        let (one, two) = (sealer.seal(b"plain").expect("one"), sealer.seal(b"plain").expect("two"));
        assert_ne!(one, two);
        assert_eq!(sealer.open(&one).as_deref(), Some(b"plain".as_slice()));
        assert_eq!(sealer.open(&two), sealer.open(&one));
    }

    #[test]
    fn a_change_of_any_bit_a_missing_end_and_anything_after_it_are_nothing() {
        let sealer = sealer(1, "a");
        let text = sealer.seal(b"plain").expect("a text");
        let bytes = BASE64URL.decode(&text).expect("base64");
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(sealer.open(&BASE64URL.encode(&changed)), None, "byte {at}, bit {bit}");
            }
            assert_eq!(sealer.open(&BASE64URL.encode(&bytes[..at])), None, "only {at} bytes");
        }
        for odd in [format!("{text}AAAA"), format!("{text}="), format!(" {text}"), text.to_lowercase()] {
            assert_eq!(sealer.open(&odd), None, "{odd}");
        }
    }

    #[test]
    fn another_key_and_another_purpose_are_nothing() {
        let text = sealer(1, "a").seal(b"plain").expect("a text");
        assert_eq!(sealer(2, "a").open(&text), None);
        assert_eq!(sealer(1, "b").open(&text), None);
    }
}
