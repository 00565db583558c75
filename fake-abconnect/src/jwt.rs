//! JSON Web Tokens, RS256 only, with the one published test key.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::error::Unspecified;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::test_key::PUBLISHED_TEST_KEY;

/// The `kid` of the key in tokens and in the JWKS.
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

/// Signs and checks tokens.
pub(crate) struct Signer {
    key: KeyPair,
    random: SystemRandom,
}

impl Signer {
    pub(crate) fn new() -> Result<Self, Unspecified> {
        let key = STANDARD.decode(PUBLISHED_TEST_KEY).map_err(|_| Unspecified)?;
        let key = KeyPair::from_pkcs8(&key).map_err(|_| Unspecified)?;
        Ok(Self { key, random: SystemRandom::new() })
    }

    /// So many random bytes, as text.
    pub(crate) fn random_text(&self, bytes: usize) -> Result<String, Unspecified> {
        let mut random = vec![0; bytes];
        ring::rand::SecureRandom::fill(&self.random, &mut random)?;
        Ok(URL_SAFE_NO_PAD.encode(random))
    }

    /// A signed token.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, Unspecified> {
        let header = json!({ "alg": "RS256", "kid": KEY_ID, "typ": "at+jwt" });
        let claims = serde_json::to_vec(claims).map_err(|_| Unspecified)?;
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &self.random, signed.as_bytes(), &mut signature)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The claims of a token that this key signed. Whether they are good is for the caller to say.
    pub(crate) fn open(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.alg != "RS256" || header.kid != KEY_ID {
            return None;
        }
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.key.public_key());
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }

    /// The public key as a JWKS.
    pub(crate) fn key_set(&self) -> serde_json::Value {
        let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(self.key.public());
        let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
        json!({ "keys": [{ "kty": "RSA", "use": "sig", "kid": KEY_ID, "alg": "RS256", "e": e, "n": n }] })
    }
}
