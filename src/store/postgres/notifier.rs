//! Notifications between processes: that there is a new entry.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::AsyncMessage;

use crate::store::postgres::link::{Link, Retry};
use crate::store::postgres::statements;
use crate::store::postgres::tls::Tls;

/// The least time between two notifications.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long to wait before a lost connection is opened again.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells other processes that there is a new entry, and learns it from them.
#[derive(Debug)]
pub(super) struct Notifier {
    pending: Arc<Notify>,
    receivers: watch::Sender<()>,
    sender: AbortHandle,
    listener: Mutex<Option<AbortHandle>>,
}

impl Notifier {
    /// Starts the task that sends. Within a tokio runtime, as everything here.
    pub(super) fn new(link: &Arc<Link>) -> Self {
        let pending = Arc::new(Notify::new());
        let (link, asked) = (Arc::clone(link), Arc::clone(&pending));
        let sender = tokio::spawn(async move {
            loop {
                asked.notified().await;
                // A reader that misses it looks by itself before long.
                drop(link.rows(statements::NOTIFY, &[], Retry::Never).await);
                sleep(INTERVAL).await;
            }
        });
        Self {
            pending,
            receivers: watch::Sender::new(()),
            sender: sender.abort_handle(),
            listener: Mutex::new(None),
        }
    }

    pub(super) fn notify(&self) {
        self.receivers.send_replace(());
        self.pending.notify_one();
    }

    /// Begins to listen, if that was not done yet.
    pub(super) fn listen(
        &self,
        connection: &tokio_postgres::Config,
        tls: &Tls,
        within: Duration,
        channel: u32,
    ) -> watch::Receiver<()> {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if listener.as_ref().is_none_or(AbortHandle::is_finished) {
            let (config, receivers) = (connection.clone(), self.receivers.clone());
            let channel = format!("LISTEN annul_{channel}");
            let listening = listen(config, tls.clone(), within, channel, receivers);
            *listener = Some(tokio::spawn(listening).abort_handle());
        }
        drop(listener);
        self.receivers.subscribe()
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.sender.abort();
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listener) = listener {
            listener.abort();
        }
    }
}

/// Listens until it is aborted, over a separate connection.
async fn listen(
    config: tokio_postgres::Config,
    tls: Tls,
    within: Duration,
    channel: String,
    receivers: watch::Sender<()>,
) {
    loop {
        if let Ok(Ok((client, mut connection))) = timeout(within, config.connect(tls.clone())).await
        {
            let listening = async {
                drop(client.batch_execute(&channel).await);
                // Notifications from before that are lost: look once.
                receivers.send_replace(());
                std::future::pending::<()>().await;
            };
            let receiving = async {
                while let Some(Ok(message)) =
                    poll_fn(|context| connection.poll_message(context)).await
                {
                    if matches!(message, AsyncMessage::Notification(_)) {
                        receivers.send_replace(());
                    }
                }
            };
            tokio::pin!(listening, receiving);
            poll_fn(|context| {
                let _ = listening.as_mut().poll(context);
                receiving.as_mut().poll(context)
            })
            .await;
        }
        sleep(PAUSE).await;
    }
}
