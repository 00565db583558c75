//! Another configuration takes office while the server runs: requests that come from then on are answered by it,
//! those in flight are finished by the one under which they came. Nobody's connection is closed.

use std::sync::Arc;

use super::{
    StartError,
    answers::{Answers, Office},
    seats::Seats,
    tls::{self, Tls},
};
use crate::{clock::Clock, config::Config, ui::Ui};

/// Exchanges what answers. Cheap to clone.
#[derive(Clone)]
pub struct Reload {
    office: Office,
    seats: Seats,
    tls: Option<Tls>,
    clock: Clock,
}

impl Reload {
    pub(super) fn new(office: Office, seats: Seats, tls: Option<Tls>, clock: Clock) -> Self {
        Self { office, seats, tls, clock }
    }

    /// Puts this configuration in office, once its proxy has greeted the store. What it says of `listen`, of the
    /// admin listener, and of whether there is TLS has no effect. Not to be called a second time before it has returned.
    ///
    /// # Errors
    /// Where it cannot be run; the one before stays in office.
    pub async fn exchange(&self, config: &Config) -> Result<(), StartError> {
        let certificate = match &config.tls {
            Some(files) if self.tls.is_some() => Some(tls::load(files.clone()).await?),
            _ => None,
        };
        let before = self.office.load_full();
        let proxy = before.proxy.successor(config)?;
        let tracer = before.tracer.successor(config, &self.clock, proxy.telemetry())?;
        let ui = match (&before.ui, &config.ui) {
            (_, None) => None,
            (Some(ui), Some(_)) => Some(ui.successor(config, proxy.clone())?),
            (None, Some(_)) => Some(Ui::new(config, proxy.clone(), self.clock.clone())?),
        };
        proxy.greet().await;
        before.proxy.hand_over(&proxy).await;
        if let (Some(tls), Some(certificate)) = (&self.tls, certificate) {
            tls.put(certificate);
        }
        self.seats.limit(config.clients.clone());
        self.office.store(Arc::new(Answers::of(config, proxy, ui, tracer)));
        Ok(())
    }
}
