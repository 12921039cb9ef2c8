//! Somebody between the store and the server, who may stop passing anything on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// As it comes.
    Open,
    /// Nothing gets through, in either direction, and nobody is told.
    Lost,
    /// Connections are cut, and new ones are not taken.
    Cut,
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    to: Arc<AtomicU16>,
    way: Arc<watch::Sender<Way>>,
}

impl Proxy {
    pub(crate) async fn new(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = Arc::new(watch::Sender::new(Way::Open));
        let ways = Arc::clone(&way);
        let to = Arc::new(AtomicU16::new(to));
        let leads = Arc::clone(&to);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if *ways.borrow() == Way::Cut {
                    continue;
                }
                let far =
                    TcpStream::connect(("127.0.0.1", leads.load(Ordering::SeqCst))).await.unwrap();
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                tokio::spawn(pass(near_in, far_out, ways.subscribe()));
                tokio::spawn(pass(far_in, near_out, ways.subscribe()));
            }
        });
        Self { port, to, way }
    }

    pub(crate) fn is(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Where connections lead that are opened from now on.
    pub(crate) fn leads_to(&self, port: u16) {
        self.to.store(port, Ordering::SeqCst);
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
) {
    let mut buffer = [0; 4096];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = way.wait_for(|way| *way == Way::Cut) => return,
        };
        let Ok(count @ 1..) = read else { return };
        // What was lost stays lost: this connection never comes back.
        if *way.borrow() == Way::Lost {
            drop(way.wait_for(|way| *way == Way::Cut).await);
            return;
        }
        if to.write_all(buffer.get(..count).unwrap()).await.is_err() {
            return;
        }
    }
}
