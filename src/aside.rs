//! Work that takes long is done aside: on threads of its own, where it stalls no connection. What takes less than being
//! handed over, 10 to 20 microseconds, is done at once.

/// Does `work` at once where it is small, and aside otherwise; `None` where it panicked there. Dropping the wait does not
/// stop it.
pub async fn unless<T: Send + 'static>(small: bool, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if small { Some(work()) } else { tokio::task::spawn_blocking(work).await.ok() }
}

/// Does `work` aside; `None` where it panicked.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    unless(false, work).await
}
