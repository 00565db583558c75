//! Opens connections to the upstream: TLS where configured, and in it the protocol that the upstream chooses.

use std::{path::Path, sync::Arc};

use http::uri::Authority;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{UpstreamError, line::Line};
use crate::dial::{Dialler, Stream};

const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

/// Knows where the upstream is and how to speak to it.
pub(super) struct Connector {
    dialler: Dialler,
    host: String,
    port: u16,
    tls: Option<Tls>,
}

/// By TLS, and to whom.
struct Tls {
    /// Offers HTTP/1.1 alone.
    first: TlsConnector,
    /// Offers HTTP/2 as well.
    both: TlsConnector,
    name: ServerName<'static>,
}

/// What is offered in a handshake of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// HTTP/1.1 alone.
    First,
    /// HTTP/2, or else HTTP/1.1.
    Both,
}

/// A stream within TLS.
pub(super) type Secured = Box<TlsStream<Stream>>;

/// A connection, by what is spoken on it.
pub(super) enum Opened {
    First(Line),
    Second(Secured),
}

impl Connector {
    /// A connector for `authority`; its name is resolved at each connect.
    pub(super) fn new(
        authority: &Authority,
        tls: bool,
        ca_file: Option<&Path>,
        dialler: Dialler,
    ) -> Result<Self, UpstreamUnusable> {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let tls = if tls { Some(self::tls(&host, ca_file)?) } else { None };
        Ok(Self { dialler, host, port, tls })
    }

    /// A new connection; in the clear HTTP/1.1 is spoken. Dropping the wait closes what was opened.
    pub(super) async fn connect(&self, offer: Offer) -> Result<Opened, UpstreamError> {
        match self.line(offer).await? {
            Line::Right(stream) if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) => {
                Ok(Opened::Second(stream))
            }
            line => Ok(Opened::First(line)),
        }
    }

    /// A new connection on which nobody speaks yet. Dropping the wait closes what was opened.
    pub(super) async fn line(&self, offer: Offer) -> Result<Line, UpstreamError> {
        let stream = self.dialler.connect(&self.host, self.port).await.map_err(UpstreamError::Connect)?;
        let Some(Tls { first, both, name }) = &self.tls else { return Ok(Line::Left(stream)) };
        let connector = if offer == Offer::Both { both } else { first };
        let stream = connector.connect(name.clone(), stream).await.map_err(UpstreamError::Connect)?;
        Ok(Line::Right(Box::new(stream)))
    }
}

fn tls(host: &str, ca_file: Option<&Path>) -> Result<Tls, UpstreamUnusable> {
    let roots = ca_file.map_or_else(system_roots, roots_of)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(UpstreamUnusable::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP_1.to_vec()];
    let first = TlsConnector::from(Arc::new(config.clone()));
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
    let both = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(host.to_owned()).map_err(|_| UpstreamUnusable::Name)?;
    Ok(Tls { first, both, name })
}

fn system_roots() -> Result<RootCertStore, UpstreamUnusable> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 { Err(UpstreamUnusable::NoRoots) } else { Ok(roots) }
}

fn roots_of(file: &Path) -> Result<RootCertStore, UpstreamUnusable> {
    let unusable = |why: String| UpstreamUnusable::CaFile { file: file.display().to_string(), why };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() { Err(unusable("no certificate in it".to_owned())) } else { Ok(roots) }
}

/// Why the upstream cannot be spoken to as configured; found at start.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamUnusable {
    /// The operating system lists no certificate authorities.
    #[error("the system has no certificate authorities: install `ca-certificates` or set `ca-file`")]
    NoRoots,
    /// The configured file does not do.
    #[error("ca-file {file}: {why}")]
    CaFile {
        /// The file.
        file: String,
        /// What was wrong with it.
        why: String,
    },
    /// The host cannot stand in a certificate.
    #[error("the host is not a name or address that TLS knows")]
    Name,
    /// TLS itself.
    #[error("TLS")]
    Tls(#[source] rustls::Error),
}
