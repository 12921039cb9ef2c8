//! Several futures at once.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

/// One of several futures that are run together.
pub(super) type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Runs all of them at once, and waits for all.
pub(super) async fn all<'f, T>(futures: impl Iterator<Item = BoxFuture<'f, T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.map(|future| (Some(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, value) in &mut running {
            if let Some(running) = future {
                match running.as_mut().poll(context) {
                    Poll::Ready(ready) => (*future, *value) = (None, Some(ready)),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    running.into_iter().filter_map(|(_, value)| value).collect()
}
