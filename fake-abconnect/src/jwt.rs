//! JSON Web Tokens: RS256 with the one published test key or, after a rotation, ES256 with keys of this process.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::error::Unspecified;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::test_key::PUBLISHED_TEST_KEY;

/// The `kid` of the first key in tokens and in the JWKS.
const KEY_ID: &str = "fake-abconnect-published-test-key";

/// What a token says. Times are seconds of the Unix epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    pub(crate) sub: String,
    pub(crate) client_id: String,
    pub(crate) nbf: i64,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    pub(crate) jti: String,
    pub(crate) scope: Vec<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

struct Key {
    id: String,
    pair: Pair,
}

enum Pair {
    Rsa(KeyPair),
    Ec(EcdsaKeyPair),
}

/// Signs and checks tokens.
pub(crate) struct Signer {
    /// Those that are published, the newest last: it signs.
    keys: RwLock<Vec<Key>>,
    random: SystemRandom,
}

impl Signer {
    pub(crate) fn new() -> Result<Self, Unspecified> {
        let key = STANDARD.decode(PUBLISHED_TEST_KEY).map_err(|_| Unspecified)?;
        let pair = Pair::Rsa(KeyPair::from_pkcs8(&key).map_err(|_| Unspecified)?);
        let keys = RwLock::new(vec![Key { id: KEY_ID.to_owned(), pair }]);
        Ok(Self { keys, random: SystemRandom::new() })
    }

    /// So many random bytes, as text.
    pub(crate) fn random_text(&self, bytes: usize) -> Result<String, Unspecified> {
        let mut random = vec![0; bytes];
        ring::rand::SecureRandom::fill(&self.random, &mut random)?;
        Ok(URL_SAFE_NO_PAD.encode(random))
    }

    /// From now on a new key signs; the ones before are still published, and good.
    pub(crate) fn rotate(&self) -> Result<(), Unspecified> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.random)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &self.random);
        let pair = Pair::Ec(pair.map_err(|_| Unspecified)?);
        let id = self.random_text(8)?;
        self.keys.write().unwrap_or_else(PoisonError::into_inner).push(Key { id, pair });
        Ok(())
    }

    /// All keys but the newest are published no more, and what they signed is not good.
    pub(crate) fn retire(&self) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let old = keys.len().saturating_sub(1);
        keys.drain(..old);
    }

    /// The header of a token that the newest key signs.
    pub(crate) fn header(&self) -> Value {
        self.keys()
            .last()
            .map_or(Value::Null, |key| json!({ "alg": key.pair.algorithm(), "kid": key.id, "typ": "at+jwt" }))
    }

    /// A token of this header and these claims, whatever they are. The key that the header names signs it by the
    /// algorithm that the header names; if there is no such key, the newest. A key that cannot leaves the signature
    /// empty.
    pub(crate) fn sign(&self, header: &Value, claims: &impl Serialize) -> Result<String, Unspecified> {
        let claims = serde_json::to_vec(claims).map_err(|_| Unspecified)?;
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims));
        let keys = self.keys();
        let named = keys.iter().find(|key| header["kid"] == *key.id).or(keys.last()).ok_or(Unspecified)?;
        let algorithm = header["alg"].as_str().unwrap_or_default();
        let signature = named.pair.sign(algorithm, signed.as_bytes(), &self.random)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The claims of a token that a published key signed. Whether they are good is for the caller to say.
    pub(crate) fn open(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let keys = self.keys();
        let key = keys.iter().find(|key| key.id == header.kid && key.pair.algorithm() == header.alg)?;
        key.pair.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }

    /// The public keys as a JWKS.
    pub(crate) fn key_set(&self) -> Value {
        let keys: Vec<Value> = self.keys().iter().map(Key::published).collect();
        json!({ "keys": keys })
    }

    fn keys(&self) -> RwLockReadGuard<'_, Vec<Key>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn published(&self) -> Value {
        let (id, alg) = (&self.id, self.pair.algorithm());
        match &self.pair {
            Pair::Rsa(pair) => {
                let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
                json!({ "kty": "RSA", "use": "sig", "kid": id, "alg": alg, "e": e, "n": n })
            }
            Pair::Ec(pair) => {
                // An uncompressed point: a 4, then both coordinates.
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
                json!({ "kty": "EC", "use": "sig", "kid": id, "alg": alg, "crv": "P-256", "x": x, "y": y })
            }
        }
    }
}

impl Pair {
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
        }
    }

    fn sign(&self, algorithm: &str, signed: &[u8], random: &SystemRandom) -> Result<Vec<u8>, Unspecified> {
        match self {
            Self::Rsa(pair) => {
                let encoding: &dyn RsaEncoding = match algorithm {
                    "RS256" => &RSA_PKCS1_SHA256,
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => return Ok(Vec::new()),
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(encoding, random, signed, &mut signature)?;
                Ok(signature)
            }
            Self::Ec(pair) if algorithm == "ES256" => Ok(pair.sign(random, signed)?.as_ref().to_vec()),
            Self::Ec(_) => Ok(Vec::new()),
        }
    }

    fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), Unspecified> {
        match self {
            Self::Rsa(pair) => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key())
                .verify(signed, signature),
            Self::Ec(pair) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key()).verify(signed, signature)
            }
        }
    }
}
