//! A network between two machines that can fail in both of its ways.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use mdb_tests::kit::wait_for;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Passes {
    Nothing,
    /// What is asked arrives; answers don't.
    Requests,
    Everything,
}

struct Switch {
    passes: AtomicU8,
    swallowed: AtomicUsize,
}

/// A relay in front of a port on this machine.
pub(crate) struct Relay {
    port: u16,
    switch: Arc<Switch>,
    task: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let switch = Arc::new(Switch {
            passes: AtomicU8::new(Passes::Everything as u8),
            swallowed: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&switch);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // A connection that nobody accepts is closed.
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else {
                    continue;
                };
                let ((questions, near), (answers, far)) = (near.into_split(), far.into_split());
                tokio::spawn(pass(questions, far, Passes::Requests, Arc::clone(&shared)));
                tokio::spawn(pass(answers, near, Passes::Everything, Arc::clone(&shared)));
            }
        });
        Self { port, switch, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Lets no more than that pass until several messages were lost by it.
    pub(crate) async fn lose(&self, passes: Passes) {
        let before = self.switch.swallowed.load(Ordering::SeqCst);
        self.switch.passes.store(passes as u8, Ordering::SeqCst);
        wait_for("messages to be lost", Duration::from_mins(1), async || {
            self.switch.swallowed.load(Ordering::SeqCst) >= before + 3
        })
        .await;
        self.switch
            .passes
            .store(Passes::Everything as u8, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries bytes in one direction for as long as at least `needed` passes; swallows them otherwise.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    needed: Passes,
    switch: Arc<Switch>,
) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if switch.passes.load(Ordering::SeqCst) < needed as u8 {
            switch.swallowed.fetch_add(1, Ordering::SeqCst);
        } else if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}
