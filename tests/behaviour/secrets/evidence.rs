//! What was printed, answered and stored, and the search of it.

use std::{collections::BTreeSet, fmt::Write as _};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use crate::support::Reply;

/// Pieces of text, and the secrets that must stand in none of them.
#[derive(Default)]
pub(super) struct Evidence {
    /// A secret as it was planted, and one of its spellings.
    spellings: Vec<(String, String)>,
    pieces: Vec<(String, String)>,
}

impl Evidence {
    /// From here on this is searched for, in everything that was added and will be.
    pub(super) fn plant(&mut self, secret: &[u8]) {
        let name = String::from_utf8_lossy(secret).into_owned();
        self.spellings.extend(spellings(secret).into_iter().map(|spelling| (name.clone(), spelling)));
    }

    /// A token is its claims and its signature; what others have in common with it is no secret.
    pub(super) fn plant_token(&mut self, token: &str) {
        self.plant(token.as_bytes());
        for part in token.split('.').skip(1) {
            self.plant(part.as_bytes());
        }
        // Somebody may have printed only its end.
        self.plant(&token.as_bytes()[token.len().saturating_sub(20)..]);
    }

    pub(super) fn add(&mut self, what: &str, text: Vec<u8>) {
        self.pieces.push((what.to_owned(), String::from_utf8_lossy(&text).into_owned()));
    }

    /// Its head and its body.
    pub(super) fn reply(&mut self, what: &str, reply: &Reply) {
        let mut text = reply.status.to_string().into_bytes();
        for (name, value) in &reply.fields {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.push(b'\n');
        }
        text.extend_from_slice(&reply.body);
        self.add(what, text);
    }

    /// Where a secret stands.
    pub(super) fn found(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (what, text) in &self.pieces {
            for (secret, spelling) in &self.spellings {
                if let Some(at) = text.find(spelling.as_str()) {
                    let around: String = text[..at].chars().rev().take(80).collect();
                    let around: String = around.chars().rev().collect();
                    found.insert(format!("{secret:?} in {what:?} after {around:?}"));
                }
            }
        }
        found
    }

    #[track_caller]
    pub(super) fn is_clean(&self) {
        assert!(!self.pieces.is_empty() && !self.spellings.is_empty());
        let found = self.found();
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// All ways in which it might be written.
fn spellings(secret: &[u8]) -> BTreeSet<String> {
    let hex = secret.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let decimal: Vec<String> = secret.iter().map(u8::to_string).collect();
    let mut spellings = BTreeSet::from([hex.to_uppercase(), hex, decimal.join(", "), decimal.join(",")]);
    let form: String = form_urlencoded::byte_serialize(secret).collect();
    let escaped = form.replace('+', "%20");
    let mut all = String::new();
    secret.iter().for_each(|byte| {
        let _ = write!(all, "%{byte:02X}");
    });
    spellings.extend([form, escaped, all].into_iter().flat_map(|text| [lower_escapes(&text), text]));
    spellings.extend(in_base64(secret));
    if let Ok(text) = std::str::from_utf8(secret) {
        let json = serde_json::to_string(text).expect("JSON");
        spellings.extend(
            [text.to_owned(), format!("{text:?}"), json].map(|text| text.trim_matches('"').to_owned()),
        );
    }
    // What is so short may stand anywhere.
    spellings.retain(|spelling| spelling.len() >= 8);
    spellings
}

/// `%2F` as `%2f`.
fn lower_escapes(text: &str) -> String {
    let mut left = 0;
    let lower = |symbol: char| {
        let escaped = left > 0;
        left = if symbol == '%' { 2 } else { usize::saturating_sub(left, 1) };
        if escaped { symbol.to_ascii_lowercase() } else { symbol }
    };
    text.chars().map(lower).collect()
}

/// Whatever stands before and behind it: of each of the three alignments, the characters that depend on it alone.
fn in_base64(secret: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    for before in 0..3 {
        let padded = [&vec![0; before], secret].concat();
        for text in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            let (first, last) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
            all.push(text[first..last].to_owned());
        }
    }
    all
}
