//! The server at a URL, and how connections to it are opened.

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, ProtocolVersion, RedisError,
    aio::MultiplexedConnection,
};

use crate::dial::{Dial, Dialler};

/// A Redis server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) client: Client,
    pub(super) dialler: Dialler,
}

impl Server {
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
