//! A server, and how connections to it are opened.

use std::{fs, path::Path};

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, ProtocolVersion, RedisError, TlsCertificates,
    aio::MultiplexedConnection,
};

use super::UnusableRedis;
use crate::dial::{Dial, Dialler};

/// A Redis server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Server {
    client: Client,
    dialler: Dialler,
}

impl Server {
    /// The one at this URL. Authorities are of use only where it is spoken to by TLS.
    pub(super) fn new(url: &str, ca_file: Option<&Path>, dialler: Dialler) -> Result<Self, UnusableRedis> {
        let client = Client::open(url).map_err(|error| UnusableRedis::Url(error.kind()))?;
        let ConnectionAddr::TcpTls { .. } = client.get_connection_info().addr() else {
            return Ok(Self { client, dialler });
        };
        let Some(file) = ca_file else { return Ok(Self { client, dialler }) };
        let unusable = |why: String| UnusableRedis::CaFile { file: file.display().to_string(), why };
        let authorities = fs::read(file).map_err(|error| unusable(error.to_string()))?;
        let certificates = TlsCertificates { client_tls: None, root_cert: Some(authorities) };
        let client =
            Client::build_with_tls(url, certificates).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { client, dialler })
    }

    /// Another one, spoken to in the same way.
    pub(super) fn at(&self, to: &Address) -> Result<Self, RedisError> {
        let info = self.client.get_connection_info().clone();
        let mut address = info.addr().clone();
        match &mut address {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                host.clone_from(&to.host);
                *port = to.port;
            }
            _ => return Err(RedisError::from((ErrorKind::InvalidClientConfig, "not reached by TCP"))),
        }
        let client = Client::open(info.set_addr(address))?;
        Ok(Self { client, dialler: self.dialler.clone() })
    }

    /// Where it is; none where it is reached otherwise than by TCP.
    pub(super) fn address(&self) -> Option<Address> {
        match self.client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some(Address { host: host.clone(), port: *port })
            }
            _ => None,
        }
    }

    /// A connection that has said hello. The caller has the deadline; dropping the wait closes it.
    pub(super) async fn connect(
        &self,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RedisError> {
        match self.dialler.replacement() {
            // TCP, TLS and Unix sockets, as the URL says.
            None => self.client.get_multiplexed_async_connection_with_config(&config).await,
            Some(dial) => self.connect_by(dial, config).await,
        }
    }

    async fn connect_by(
        &self,
        dial: &dyn Dial,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RedisError> {
        let info = self.client.get_connection_info();
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            return Err(RedisError::from((ErrorKind::InvalidClientConfig, "not a plain connection")));
        };
        let stream = dial.dial(host, *port).await?;
        let settings = info.redis_settings();
        let (connection, driver) = MultiplexedConnection::new_with_config(settings, stream, config).await?;
        tokio::spawn(driver);
        Ok(connection)
    }

    /// Pushes come in no other protocol, whatever the URL says.
    pub(super) fn in_resp3(self) -> Self {
        let info = self.client.get_connection_info();
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        match Client::open(info.clone().set_redis_settings(settings)) {
            Ok(client) => Self { client, ..self },
            Err(_) => self,
        }
    }
}

/// Where a server is reached by TCP.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Address {
    /// A name or an address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(out, "[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{}:{}", self.host, self.port)
        }
    }
}
