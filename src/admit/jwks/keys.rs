//! A published key set (RFC 7517): which keys it has, and whether one of them has signed something. Pure.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::Value;

use crate::config::jwks::Algorithm;

/// Bytes of an RSA modulus that counts: shorter is weak, longer costs too much to be asked for by anybody.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;
/// Bytes of an RSA exponent that the library takes.
const EXPONENT: std::ops::RangeInclusive<usize> = 1..=4;

/// The keys of a set that can verify by an algorithm known here. What else is in it is left out.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

/// Why there is no key for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// There is no set that counts.
    NoSet,
    /// None of the set fits.
    Unknown,
    /// More than one fits, and a token counts by one key.
    Several,
}

/// One published key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    id: Option<String>,
    /// The only algorithm that it is for; `None`: all of its kind.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// Uncompressed points.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl KeySet {
    /// Reads a set.
    ///
    /// # Errors
    /// Where it is no object with an array of `keys`. A key that is not understood is no error.
    pub(super) fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json)?;
        Ok(Self(set.keys.iter().filter_map(Key::read).collect()))
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether all keys of this set are in the other one as well.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.iter().all(|key| other.0.contains(key))
    }

    /// The one key for this algorithm that has this name; without a name, the one key for this algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Key, NoKey> {
        let named = |key: &&Key| id.is_none() || key.id.as_deref() == id;
        let mut fitting = self.0.iter().filter(|key| key.is_for(algorithm)).filter(named);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (None, _) => Err(NoKey::Unknown),
            (Some(_), Some(_)) => Err(NoKey::Several),
        }
    }
}

impl Key {
    fn read(json: &Value) -> Option<Self> {
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        let bytes = |name: &str| BASE64URL.decode(text(name)?).ok();
        let point = |width: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            (x.len() == width && y.len() == width).then(|| [&[4], x.as_slice(), &y].concat())
        };
        let material = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let (modulus, exponent) = (number(bytes("n")?), number(bytes("e")?));
                if !MODULUS.contains(&modulus.len()) || !EXPONENT.contains(&exponent.len()) {
                    return None;
                }
                Material::Rsa { modulus, exponent }
            }
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes("x").filter(|x| x.len() == 32)?),
            _ => return None,
        };
        let algorithm = match json.get("alg") {
            None => None,
            Some(name) => Some(Algorithm::named(name.as_str()?)?),
        };
        let verifies = json.get("use").is_none_or(|what| what == "sig")
            && json.get("key_ops").is_none_or(|what| {
                what.as_array().is_some_and(|what| what.iter().any(|one| one == "verify"))
            });
        let id = match json.get("kid") {
            None => None,
            Some(id) => Some(id.as_str()?.to_owned()),
        };
        verifies.then_some(Self { id, algorithm, material })
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm) && self.material.is_for(algorithm)
    }

    /// Whether this key has signed that, by this algorithm.
    pub(super) fn has_signed(&self, algorithm: Algorithm, signed: &str, signature: &[u8]) -> bool {
        let signed = signed.as_bytes();
        match (&self.material, algorithm) {
            (Material::Rsa { modulus: n, exponent: e }, _) => rsa(algorithm)
                .is_some_and(|how| RsaPublicKeyComponents { n, e }.verify(how, signed, signature).is_ok()),
            (Material::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature).is_ok()
            }
            (Material::P384(point), Algorithm::Es384) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(signed, signature).is_ok()
            }
            (Material::Ed25519(point), Algorithm::EdDsa) => {
                UnparsedPublicKey::new(&ED25519, point).verify(signed, signature).is_ok()
            }
            _ => false,
        }
    }
}

impl Material {
    fn is_for(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa { .. } => rsa(algorithm).is_some(),
            Self::P256(_) => algorithm == Algorithm::Es256,
            Self::P384(_) => algorithm == Algorithm::Es384,
            Self::Ed25519(_) => algorithm == Algorithm::EdDsa,
        }
    }
}

/// How RSA verifies; `None` for what is not RSA.
fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => None,
    }
}

/// A number without leading zeros, which some publish and the library refuses.
fn number(mut bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    bytes
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Key({:?}, {:?})", self.id, self.algorithm)
    }
}

#[cfg(test)]
mod tests {
    use ring::{
        rand::SystemRandom,
        signature::{
            ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
            EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
        },
    };
    use serde_json::json;

    use super::*;

    const MODULUS: [u8; 256] = [0xff; 256];

    fn rsa_key(id: &str) -> Value {
        json!({ "kty": "RSA", "kid": id, "n": BASE64URL.encode(MODULUS), "e": "AQAB" })
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    fn set(keys: &[Value]) -> KeySet {
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn curve(how: &'static EcdsaSigningAlgorithm, name: &str) -> (EcdsaKeyPair, Value) {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(how, pkcs8.as_ref(), &random).unwrap();
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let key = json!({ "kty": "EC", "crv": name, "x": BASE64URL.encode(x), "y": BASE64URL.encode(y) });
        (pair, key)
    }

    #[test]
    fn a_key_verifies_what_it_signed_by_its_own_algorithm_and_nothing_else() {
        let (p256, first) = curve(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256");
        let (p384, second) = curve(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384");
        let ed = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let third = json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64URL.encode(ed.public_key()) });
        let keys = set(&[first, second, third, rsa_key("r")]);
        let random = SystemRandom::new();
        let signatures = [
            (Algorithm::Es256, p256.sign(&random, b"text").unwrap().as_ref().to_vec()),
            (Algorithm::Es384, p384.sign(&random, b"text").unwrap().as_ref().to_vec()),
            (Algorithm::EdDsa, ed.sign(b"text").as_ref().to_vec()),
        ];
        for (algorithm, signature) in &signatures {
            let key = keys.find(None, *algorithm).unwrap();
            assert!(key.has_signed(*algorithm, "text", signature), "{algorithm}");
            assert!(!key.has_signed(*algorithm, "next", signature), "{algorithm}");
            for other in Algorithm::ALL.into_iter().filter(|other| other != algorithm) {
                assert!(!key.has_signed(other, "text", signature), "{algorithm} as {other}");
            }
            for (other, signature) in signatures.iter().filter(|(other, _)| other != algorithm) {
                assert!(!key.has_signed(*algorithm, "text", signature), "{other} for {algorithm}");
            }
        }
    }

    #[test]
    fn a_name_finds_its_key_and_no_name_the_only_one() {
        let (_, curve) = curve(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256");
        let keys = set(&[rsa_key("a"), rsa_key("b"), with(curve, "kid", "b".into())]);
        let id = |id, algorithm| keys.find(id, algorithm).map(|key| key.id.clone().unwrap());
        assert_eq!(id(Some("a"), Algorithm::Rs256).as_deref(), Ok("a"));
        assert_eq!(id(Some("b"), Algorithm::Rs256).as_deref(), Ok("b"), "two of a name, of two kinds");
        assert_eq!(id(Some("c"), Algorithm::Rs256), Err(NoKey::Unknown));
        assert_eq!(id(Some("a"), Algorithm::Es256), Err(NoKey::Unknown));
        assert_eq!(id(None, Algorithm::Es256).as_deref(), Ok("b"));
        assert_eq!(id(None, Algorithm::Rs256), Err(NoKey::Several));
        let twice = set(&[rsa_key("a"), rsa_key("a")]);
        assert_eq!(twice.find(Some("a"), Algorithm::Rs256).unwrap_err(), NoKey::Several);
    }

    #[test]
    fn a_key_is_only_for_what_it_says_that_it_is_for() {
        let only = set(&[with(rsa_key("a"), "alg", "RS256".into())]);
        assert!(only.find(Some("a"), Algorithm::Rs256).is_ok());
        assert_eq!(only.find(Some("a"), Algorithm::Ps256).unwrap_err(), NoKey::Unknown);
        let (sig, ops) = (with(rsa_key("a"), "use", "sig".into()), json!(["verify", "encrypt"]));
        assert_eq!(set(&[sig, with(rsa_key("b"), "key_ops", ops)]).len(), 2);
        let (_, curve) = curve(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256");
        let short = |length: usize| BASE64URL.encode(vec![0xff; length]).into();
        for unfit in [
            with(rsa_key("a"), "use", "enc".into()),
            with(rsa_key("a"), "use", json!(["sig"])),
            with(rsa_key("a"), "key_ops", json!(["sign"])),
            with(rsa_key("a"), "key_ops", "verify".into()),
            with(rsa_key("a"), "alg", "RSA-OAEP".into()),
            with(rsa_key("a"), "alg", "HS256".into()),
            with(rsa_key("a"), "alg", json!(1)),
            with(rsa_key("a"), "kid", json!(1)),
            with(rsa_key("a"), "kty", "oct".into()),
            with(rsa_key("a"), "n", short(255)),
            with(rsa_key("a"), "n", short(1025)),
            with(rsa_key("a"), "n", BASE64URL.encode([0; 256]).into()),
            with(rsa_key("a"), "n", "?".into()),
            with(rsa_key("a"), "e", "".into()),
            with(rsa_key("a"), "e", short(9)),
            with(curve.clone(), "crv", "P-521".into()),
            with(curve.clone(), "crv", "P-384".into()),
            with(curve.clone(), "x", short(31)),
            with(curve, "y", short(33)),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" }),
            json!({ "kty": "OKP", "crv": "X25519", "x": BASE64URL.encode([1; 32]) }),
            json!([]),
        ] {
            assert_eq!(set(std::slice::from_ref(&unfit)).len(), 0, "{unfit}");
        }
    }

    #[test]
    fn a_number_may_be_published_with_zeros_before_it() {
        let zeros = [vec![0], MODULUS.to_vec()].concat();
        let keys = set(&[with(rsa_key("a"), "n", BASE64URL.encode(zeros).into())]);
        assert!(keys.is_within(&set(&[rsa_key("a")])));
    }
}
