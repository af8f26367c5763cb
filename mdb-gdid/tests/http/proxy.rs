//! What stands between a client and a server, and can fail in each of its ways.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// They go on, both ways.
    Fine,
    /// Requests get lost; the connection seems to live.
    LosesRequests,
    /// Answers get lost; the connection seems to live.
    LosesAnswers,
    /// Connections break when an answer comes.
    BreaksOnAnswers,
    /// New connections are closed at once.
    Down,
}

#[derive(Debug)]
struct Shared {
    target: watch::Sender<SocketAddr>,
    weather: watch::Sender<Weather>,
    connections: AtomicUsize,
    /// How many reads from the server were not passed on.
    lost_answers: AtomicUsize,
}

/// A TCP proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: watch::Sender::new(target),
            weather: watch::Sender::new(Weather::Fine),
            connections: AtomicUsize::new(0),
            lost_answers: AtomicUsize::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            task,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.shared.weather.send_replace(weather);
    }

    /// New connections go to another server.
    pub(crate) fn redirect(&self, target: SocketAddr) {
        self.shared.target.send_replace(target);
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many answers were lost.
    pub(crate) fn lost_answers(&self) -> usize {
        self.shared.lost_answers.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        shared.connections.fetch_add(1, Ordering::SeqCst);
        if *shared.weather.borrow() == Weather::Down {
            continue;
        }
        let target = *shared.target.borrow();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(target).await else {
                return;
            };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // When one way ends, so does the other: a half-open connection is the weather's business.
            tokio::select! {
                () = requests(from_client, to_server, &shared) => {}
                () = answers(from_server, to_client, &shared) => {}
            }
        });
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) {
    let mut buffer = [0; 4096];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        if *shared.weather.borrow() == Weather::LosesRequests {
            continue;
        }
        if to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) {
    let mut buffer = [0; 4096];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        let weather = *shared.weather.borrow();
        let lost = match weather {
            Weather::LosesAnswers | Weather::BreaksOnAnswers => true,
            Weather::Fine | Weather::LosesRequests | Weather::Down => {
                if to.write_all(&buffer[..bytes]).await.is_err() {
                    return;
                }
                false
            }
        };
        if lost {
            shared.lost_answers.fetch_add(1, Ordering::SeqCst);
        }
        if weather == Weather::BreaksOnAnswers {
            return;
        }
    }
}
