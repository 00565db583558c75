//! After a 101 the two connections are one: bytes go both ways until either side ends.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Joins the client's and the upstream's connections in one of these tasks, once both are upgraded, until it is cut.
pub(super) fn between(client: OnUpgrade, upstream: OnUpgrade, tasks: &TaskTracker, cut: CancellationToken) {
    tasks.spawn(async move {
        let Ok((client, upstream)) = tokio::try_join!(client, upstream) else { return };
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        // Whoever breaks it off, the other side sees the end.
        let joined = tokio::io::copy_bidirectional(&mut client, &mut upstream);
        let _ = cut.run_until_cancelled(joined).await;
    });
}
