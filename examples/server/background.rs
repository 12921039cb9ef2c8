//! What runs beside the requests: the sweep, and the signals that end the process.

use std::sync::Arc;
use std::time::Duration;

use annul::store::SweepBudget;
use annul::{Clock, SystemClock};
use tokio::time::MissedTickBehavior;

use crate::store::ServerStore;

const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How long open requests may take to finish after the signal.
const PATIENCE: Duration = Duration::from_secs(10);

/// Forgets what has expired, once a minute, in steps small enough not to be noticed.
pub(crate) async fn sweep(store: Arc<dyn ServerStore>) {
    let mut minutes = tokio::time::interval(SWEEP_EVERY);
    // A machine that slept owes us one sweep, not one for each minute.
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        minutes.tick().await;
        loop {
            match store.sweep(SystemClock.now(), SweepBudget::default()).await {
                Ok(swept) if swept.more => tokio::task::yield_now().await,
                Ok(_) => break,
                // The store has been reported already, and next minute is early enough.
                Err(_) => break,
            }
        }
    }
}

/// Ready when somebody asks us to stop: Ctrl-C, or SIGTERM.
pub(crate) async fn stop_asked() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without a handler the signal ends the process by itself.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupted => {}
        () = terminated() => {}
    }
}

/// Ready when the requests that were open at the signal have had their time.
pub(crate) async fn patience_over() {
    stop_asked().await;
    tokio::time::sleep(PATIENCE).await;
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};

    match signal(SignalKind::terminate()) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
