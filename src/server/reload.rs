//! Another configuration takes office while the server runs: requests that come from then on are answered by it,
//! those in flight are finished by the one under which they came. Nobody's connection is closed.

use std::sync::Arc;

use super::{
    StartError,
    answers::{Answers, Office},
    seats::Seats,
};
use crate::{clock::Clock, config::Config, ui::Ui};

/// Exchanges what answers. Cheap to clone.
#[derive(Clone)]
pub struct Reload {
    office: Office,
    seats: Seats,
    clock: Clock,
}

impl Reload {
    pub(super) fn new(office: Office, seats: Seats, clock: Clock) -> Self {
        Self { office, seats, clock }
    }

    /// Puts this configuration in office, once its proxy has greeted the store. What it says of `listen` and of
    /// the admin listener has no effect. Not to be called a second time before it has returned.
    ///
    /// # Errors
    /// Where it cannot be run; the one before stays in office.
    pub async fn exchange(&self, config: &Config) -> Result<(), StartError> {
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
        self.seats.limit(config.clients.clone());
        self.office.store(Arc::new(Answers::of(config, proxy, ui, tracer)));
        Ok(())
    }
}
