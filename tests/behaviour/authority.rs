//! An authority of a test's own: the certificates that it signs, and who trusts it.

use std::{fs, path::Path, sync::Arc};

use catproxy::config::Tls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub struct Certified {
    pub certificate: rcgen::Certificate,
    pub key: KeyPair,
}

impl Authority {
    pub fn new() -> Self {
        let mut of_authority = CertificateParams::default();
        of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(of_authority, key).expect("a certificate"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Its own certificate, while the result lives.
    pub fn file(&self) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), self.pem()).expect("a file");
        file
    }

    /// A certificate for this name or address, with a key of its own.
    pub fn certify(&self, name: &str) -> Certified {
        let key = KeyPair::generate().expect("a key");
        let names = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        Certified { certificate: names.signed_by(&key, &self.0).expect("a certificate"), key }
    }

    /// A server with a certificate for this name that chooses one of these protocols.
    pub fn server(&self, name: &str, protocols: &[&[u8]]) -> ServerConfig {
        let Certified { certificate, key } = self.certify(name);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| {
                config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)
            })
            .expect("a configuration");
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.0.der().to_vec())).expect("an authority");
        roots
    }

    /// A client that trusts this authority and offers these protocols.
    pub fn client(&self, protocols: &[&str]) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("a configuration")
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }
}

impl Certified {
    /// Writes both into this folder, over what is there.
    pub fn write(&self, folder: &Path) -> Tls {
        self.write_certificate(folder);
        self.write_key(folder);
        files(folder)
    }

    pub fn write_certificate(&self, folder: &Path) {
        fs::write(files(folder).certificate, self.certificate.pem()).expect("a file");
    }

    pub fn write_key(&self, folder: &Path) {
        fs::write(files(folder).key, self.key.serialize_pem()).expect("a file");
    }
}

/// Where the two are in a folder.
pub fn files(folder: &Path) -> Tls {
    Tls { certificate: folder.join("fullchain.pem"), key: folder.join("privkey.pem") }
}
