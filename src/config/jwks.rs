//! What is demanded of a token where the proxy checks it itself, and where the keys for that are published.

use std::{fmt, time::Duration};

use super::Upstream;

/// Settings of the mode `jwks`.
#[derive(Clone, Debug)]
pub struct Jwks {
    /// What `iss` must say, to the letter.
    pub issuer: String,
    /// Who publishes the keys: the only host that is dialled for them.
    pub identity: Upstream,
    /// Where the keys are there.
    pub keys: KeysAt,
    /// `aud` must name one of these; not empty.
    pub audience: Vec<String>,
    /// The algorithms that count, whatever a token says; not empty.
    pub algorithms: Vec<Algorithm>,
    /// How far the issuer's clock may differ from ours, either way.
    pub leeway: Duration,
    /// Claims and what each must say.
    pub required_claims: Vec<(String, String)>,
    /// How long keys are used before they are fetched again.
    pub keys_limit: Duration,
    /// What fetching them may take, and how long a request waits for it.
    pub keys_timeout: Duration,
    /// How long a token that the upstream has refused is not served from the cache.
    pub refused_for: Duration,
}

/// Where keys are published: a path and query of the identity server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysAt {
    /// The discovery document's, which names the issuer and where the keys are.
    Discovery(String),
    /// The keys' own.
    Keys(String),
}

/// How a token may be signed: by a private key, of which the public one is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    Rs256,
    /// RSA, PKCS #1 v1.5, SHA-384.
    Rs384,
    /// RSA, PKCS #1 v1.5, SHA-512.
    Rs512,
    /// RSA, PSS, SHA-256.
    Ps256,
    /// RSA, PSS, SHA-384.
    Ps384,
    /// RSA, PSS, SHA-512.
    Ps512,
    /// ECDSA on P-256, SHA-256.
    Es256,
    /// ECDSA on P-384, SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// As tokens, key sets and the file spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of this name; `None` for any other, `none` and those with a shared secret included.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
