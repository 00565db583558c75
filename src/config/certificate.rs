//! A certificate with its chain and key, as files hold them: read, and held against one another.

use std::{fs, path::Path, time::Duration};

use rustls::{
    CertificateError, Error, InconsistentKeys, RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
    sign::CertifiedKey,
};

use super::Tls;

/// The first second that no certificate can name: year 10000.
const NEVER: Duration = Duration::from_secs(253_402_300_800);

/// A certificate and all that it takes to show it to clients.
#[derive(Debug)]
pub struct Certificate {
    /// The chain, the server's own certificate first, and the key that fits it.
    pub key: CertifiedKey,
    /// It is good from this second on, counted from 1970.
    pub not_before: u64,
    /// It is good until the end of this one.
    pub not_after: u64,
}

/// Why files do not make a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Something about the certificate's file.
    #[error("the certificate's file: {0}")]
    Certificate(String),
    /// Something about the key's file.
    #[error("the key's file: {0}")]
    Key(String),
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// All that is wrong with them; not empty.
    pub fn read(files: &Tls) -> Result<Self, Vec<Flaw>> {
        let chain = chain(&files.certificate).map_err(Flaw::Certificate);
        let key = key(&files.key).map_err(Flaw::Key);
        let (chain, key) = match (chain, key) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => return Err(chain.err().into_iter().chain(key.err()).collect()),
        };
        Self::of(chain, key).map_err(|flaw| vec![flaw])
    }

    fn of(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, Flaw> {
        let unreadable =
            |error: Error| Flaw::Certificate(format!("no certificate that is understood: {error}"));
        let (not_before, not_after) = {
            let own = chain.first().ok_or_else(|| Flaw::Certificate(NO_CERTIFICATE.to_owned()))?;
            let own = ParsedCertificate::try_from(own).map_err(unreadable)?;
            (not_before(&own), not_after(&own))
        };
        let key = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| {
            Flaw::Key(match error {
                Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    "it is the key of another certificate".to_owned()
                }
                other => format!("no key that is understood: {other}"),
            })
        })?;
        Ok(Self { key, not_before, not_after })
    }
}

const NO_CERTIFICATE: &str = "there is no certificate in it (-----BEGIN CERTIFICATE-----)";

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = fs::read(file).map_err(|error| error.to_string())?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| format!("it is no PEM: {error}"))?;
    if chain.is_empty() { Err(NO_CERTIFICATE.to_owned()) } else { Ok(chain) }
}

/// The only key of a file. What is wrong says nothing of what stands there.
fn key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = fs::read(file).map_err(|error| error.to_string())?;
    let keys: Result<Vec<_>, _> = PrivateKeyDer::pem_slice_iter(&text).collect();
    let keys = keys.map_err(|_| "it is no PEM".to_owned())?;
    let count = keys.len();
    match <[_; 1]>::try_from(keys) {
        Ok([key]) => Ok(key),
        Err(_) if count > 1 => Err(format!("there are {count} keys in it: leave the one of the certificate")),
        Err(_) if memchr::memmem::find(&text, b"ENCRYPTED").is_some() => {
            Err("its key is encrypted: write it without a passphrase".to_owned())
        }
        Err(_) => Err("there is no private key in it (-----BEGIN PRIVATE KEY-----)".to_owned()),
    }
}

/// rustls says until when a certificate is good only to whoever asks for a time when it is not: that is looked at before
/// who has signed it.
fn not_after(certificate: &ParsedCertificate<'_>) -> u64 {
    match judged_at(certificate, NEVER) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            not_after.as_secs()
        }
        _ => NEVER.as_secs(),
    }
}

fn not_before(certificate: &ParsedCertificate<'_>) -> u64 {
    match judged_at(certificate, Duration::ZERO) {
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
            not_before.as_secs()
        }
        _ => 0,
    }
}

fn judged_at(certificate: &ParsedCertificate<'_>, since_1970: Duration) -> Result<(), Error> {
    let at = UnixTime::since_unix_epoch(since_1970);
    verify_server_cert_signed_by_trust_anchor(certificate, &RootCertStore::empty(), &[], at, &[])
}
