//! What the operating system tells the process: SIGTERM and SIGINT to stop, twice to stop at once, SIGHUP to read
//! its configuration again.

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use super::service::{self, Stage};

/// How often the process was told to stop.
pub(super) struct Stops(watch::Receiver<u32>);

impl Stops {
    /// From the call on, neither signal ends the process by itself. Must be called on a runtime.
    pub(super) fn listen() -> Self {
        let (count, told) = watch::channel(0);
        // Without handlers the signals end the process by themselves.
        if let (Ok(terminate), Ok(interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        {
            tokio::spawn(count_up(terminate, interrupt, count));
        }
        Self(told)
    }

    /// Ends when the process has been told so often.
    pub(super) fn told(&self, times: u32) -> impl Future<Output = ()> + 'static {
        let mut told = self.0.clone();
        async move {
            if told.wait_for(|count| *count >= times).await.is_err() {
                std::future::pending().await
            }
        }
    }
}

async fn count_up(mut terminate: Signal, mut interrupt: Signal, count: watch::Sender<u32>) {
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        count.send_modify(|count| *count += 1);
        if *count.borrow() == 1 {
            service::tell(Stage::Stopping);
            tracing::info!("stopping: finishing what is in flight; a second signal ends it at once");
        }
    }
}

/// SIGHUP, again and again; where it cannot be heard, never.
pub(super) struct Hangups(Option<Signal>);

impl Hangups {
    /// From the call on, the signal does not end the process. Must be called on a runtime.
    pub(super) fn listen() -> Self {
        Self(signal(SignalKind::hangup()).ok())
    }

    /// Ends at the next one.
    pub(super) async fn next(&mut self) {
        match &mut self.0 {
            Some(hangup) => {
                hangup.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}
