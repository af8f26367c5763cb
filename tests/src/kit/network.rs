//! Ports and listeners for tests of what goes wrong on the network.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinHandle;

/// A loopback port on which nothing listens at this moment.
///
/// It lies below the range from which the system takes ports for outgoing connections. So no client takes it while a
/// killed server is away, and a client cannot connect to itself on it.
///
/// # Errors
///
/// When no port could be bound in many tries; the error is the last try's.
pub fn free_port() -> io::Result<u16> {
    let mut refused = None;
    for _ in 0..200 {
        let port = fastrand::u16(12_000..32_000);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| io::Error::other("no port was tried")))
}

/// A server that accepts connections and never answers.
///
/// It lives until it is dropped; then its connections close.
#[derive(Debug)]
pub struct BlackHole {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl BlackHole {
    /// Listens on a free loopback port. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    ///
    /// When no port can be bound.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: when the future is dropped nothing listens.
    pub async fn start() -> io::Result<Self> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                held.push(connection);
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Ok(Self {
            address,
            accepted,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections it has accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for BlackHole {
    fn drop(&mut self) {
        self.task.abort();
    }
}
