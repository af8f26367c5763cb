//! The server that authorities are asked at; [`http`](crate::http) describes the protocol.
//!
//! It speaks HTTP/1.1 alone, in which a connection has one request at a time: the limit on connections
//! is the limit on requests under way. Beyond it, connections wait in the system's queue. A
//! connection that takes too long over a TLS handshake or a request's head is closed, one that takes
//! too long over its body or answer is told `timed_out`.
//!
//! Vocabulary:
//!
//! - **token**: what a client proves itself by. Several are accepted, so that one can be replaced
//!   without a moment in which either side is refused.
//! - **grace**: how long requests under way have, once the server is told to stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::authority::BlockSource;
use metrics::Metrics;

pub use options::{ServeOptions, ServeOptionsError, ServeTransport};
pub use tls::{ServeTls, ServeTlsError};

mod answer;
mod metrics;
mod options;
mod routes;
mod tls;
mod tokens;

/// What a request's head may have, at most.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// How long to wait when no connection can be accepted, for example because there are too many files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a server did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// It would serve other machines without encryption.
    #[error(
        "{address} can be reached by other machines, and tokens could be read on the way; serve with TLS, or listen on 127.0.0.1"
    )]
    PlainToOthers {
        /// Where it would listen.
        address: SocketAddr,
    },
    /// The listener does not know its address.
    #[error("the address of the listener is not known")]
    Listener(#[source] io::Error),
}

/// Serves `source` at `listener` until `shutdown` is ready. Then it accepts no more connections, lets
/// requests under way end for as long as the options' grace, and returns.
///
#[doc = include_str!("http/protocol.md")]
///
/// # Errors
///
/// [`ServeError`]; nothing was served then.
///
/// # Cancel safety
///
/// Dropping the future closes all connections at once. Blocks that were handed out, but whose answers
/// had not been sent, are lost.
///
/// # Durability
///
/// As that of `source`: an answer is sent after the source has returned.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use mdb_gdid::{BlockSource, ServeOptions, ServeTls, ServeTransport, serve};
/// # async fn example(source: Arc<dyn BlockSource>) -> Result<(), Box<dyn std::error::Error>> {
/// let tls = ServeTls::from_pem(&std::fs::read("ids-1.pem")?, &std::fs::read("ids-1.key")?)?;
/// let token = std::env::var("MDB_GDID_TOKEN")?;
/// let options = ServeOptions::new(vec![token.into()], ServeTransport::Tls(tls))?;
/// let listener = tokio::net::TcpListener::bind("0.0.0.0:7443").await?;
/// let stop = std::future::pending(); // a signal
/// serve(listener, source, options, stop).await?;
/// # Ok(())
/// # }
/// ```
pub async fn serve(
    listener: TcpListener,
    source: Arc<dyn BlockSource>,
    options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(ServeError::Listener)?;
    let tls = match &options.transport {
        ServeTransport::Tls(tls) => Some(tls.acceptor()),
        ServeTransport::PlainOnLoopback if !address.ip().is_loopback() => {
            return Err(ServeError::PlainToOthers { address });
        }
        ServeTransport::PlainOnLoopback | ServeTransport::PlainAnywhere => None,
    };
    let metrics = Arc::new(Metrics::new());
    let connection = Connection {
        tls,
        router: routes::router(source, &options, Arc::clone(&metrics)),
        head_timeout: options.head_timeout,
    };
    tracing::info!(%address, "serving ids");

    let permits = Arc::new(Semaphore::new(options.max_connections));
    let graceful = GracefulShutdown::new();
    let mut tasks = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (
                permit.expect("the semaphore is never closed"),
                accept(&listener).await,
            )
        };
        let (permit, stream) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = next => accepted,
        };
        while tasks.try_join_next().is_some() {}
        let (connection, watcher, open) = (
            connection.clone(),
            graceful.watcher(),
            metrics.connection_opened(),
        );
        tasks.spawn(async move {
            connection.serve(stream, watcher).await;
            drop((permit, open));
        });
    }
    drop(listener);

    tracing::info!(%address, "stopping; requests under way end first");
    if timeout(options.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(%address, connections = tasks.len(), "closing connections whose requests have not ended in time");
    }
    tasks.shutdown().await;
    Ok(())
}

/// The next connection, whatever becomes of those before it.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted just now");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

/// How each connection is served.
#[derive(Clone)]
struct Connection {
    tls: Option<TlsAcceptor>,
    router: Router,
    head_timeout: Duration,
}

impl Connection {
    async fn serve(self, stream: TcpStream, watcher: Watcher) {
        // Answers are small and whole: there is nothing to wait for.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps Nagle's algorithm");
        }
        match &self.tls {
            None => self.speak(stream, watcher).await,
            Some(tls) => match timeout(self.head_timeout, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.speak(stream, watcher).await,
                Ok(Err(error)) => tracing::debug!(%error, "no TLS with a client"),
                Err(_) => tracing::debug!("a client was too slow over its TLS handshake"),
            },
        }
    }

    async fn speak<S>(&self, stream: S, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = TowerToHyperService::new(self.router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a connection ended early"
            );
        }
    }
}
