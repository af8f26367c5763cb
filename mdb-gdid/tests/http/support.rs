//! Authorities that count in memory, and servers and clients around them.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use mdb_gdid::{
    AllocateFuture, AuthorityError, AuthorityId, AuthorityIds, AuthorityStatus, Block, BlockLife,
    BlockSize, BlockSource, HttpAuthorities, HttpOptions, Ledger, Place, RangeKey, ScopeName,
    SequenceName, SequenceState, ServeError, ServeOptions, ServeTransport, StatusFuture,
    UnixMillis, serve,
};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

pub(crate) const TOKEN: &str = "a-token-of-these-tests";

/// Long enough that only what never happens takes it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn ids(numbers: &[u8]) -> AuthorityIds {
    let ids = numbers
        .iter()
        .map(|number| AuthorityId::new(*number).unwrap());
    AuthorityIds::new(ids.collect()).unwrap()
}

pub(crate) fn scope() -> ScopeName {
    "shop.main".parse().unwrap()
}

pub(crate) fn sequence() -> SequenceName {
    "user".parse().unwrap()
}

pub(crate) fn size(ids: u16) -> BlockSize {
    BlockSize::new(ids).unwrap()
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

pub(crate) async fn allocate(from: &dyn BlockSource, ids: u16) -> Result<Block, AuthorityError> {
    from.allocate(&scope(), &sequence(), size(ids)).await
}

pub(crate) async fn status(from: &dyn BlockSource) -> Result<Vec<AuthorityStatus>, AuthorityError> {
    from.status(&scope(), &sequence()).await
}

pub(crate) async fn raise(
    to: &dyn BlockSource,
    counter: u64,
) -> Result<Vec<AuthorityStatus>, AuthorityError> {
    let floor = RangeKey::new(0, counter).unwrap();
    to.raise(&scope(), &sequence(), floor).await
}

/// One authority that counts in memory.
#[derive(Debug)]
pub(crate) struct Memory {
    id: AuthorityId,
    ledgers: Mutex<HashMap<(ScopeName, SequenceName), Ledger>>,
}

impl Memory {
    pub(crate) fn new(id: u8) -> Arc<Self> {
        Self::at(id, SequenceState::START)
    }

    /// One whose sequence of these tests is at `state`.
    pub(crate) fn at(id: u8, state: SequenceState) -> Arc<Self> {
        let ledger = Ledger::START.raised(state);
        Arc::new(Self {
            id: AuthorityId::new(id).unwrap(),
            ledgers: Mutex::new(HashMap::from([((scope(), sequence()), ledger)])),
        })
    }

    /// How many blocks of the sequence of these tests it has handed out.
    pub(crate) fn blocks(&self) -> u64 {
        self.ledgers.lock().unwrap()[&(scope(), sequence())].blocks()
    }

    fn change<T>(
        &self,
        scope: &ScopeName,
        sequence: &SequenceName,
        change: impl FnOnce(Ledger) -> (T, Ledger),
    ) -> T {
        let mut ledgers = self.ledgers.lock().unwrap();
        let ledger = ledgers
            .entry((scope.clone(), sequence.clone()))
            .or_insert(Ledger::START);
        let (answer, after) = change(*ledger);
        *ledger = after;
        answer
    }

    fn status(&self, ledger: &Ledger) -> Vec<AuthorityStatus> {
        vec![AuthorityStatus::of(
            self.id,
            ledger,
            now(),
            BlockLife::USUAL,
        )]
    }
}

fn now() -> UnixMillis {
    SystemTime::now().into()
}

impl BlockSource for Memory {
    fn allocate<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        size: BlockSize,
    ) -> AllocateFuture<'a> {
        Box::pin(async move {
            self.change(scope, sequence, |ledger| {
                match ledger.issue(self.id, size, now(), BlockLife::USUAL) {
                    Ok((block, after)) => (Ok(block), after),
                    Err(source) => (
                        Err(AuthorityError::Exhausted {
                            place: Place::new("memory"),
                            sequence: sequence.clone(),
                            source,
                        }),
                        ledger,
                    ),
                }
            })
        })
    }

    fn raise<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        floor: RangeKey,
    ) -> StatusFuture<'a> {
        Box::pin(async move {
            Ok(self.change(scope, sequence, |ledger| {
                let after = ledger.raised(SequenceState::before(floor));
                (self.status(&after), after)
            }))
        })
    }

    fn status<'a>(&'a self, scope: &'a ScopeName, sequence: &'a SequenceName) -> StatusFuture<'a> {
        Box::pin(async move {
            Ok(self.change(scope, sequence, |ledger| {
                (Memory::status(self, &ledger), ledger)
            }))
        })
    }
}

/// Hands out blocks, but keeps each back until it is let go.
#[derive(Debug)]
pub(crate) struct Gated {
    pub(crate) memory: Arc<Memory>,
    /// One permit for each block that is kept back.
    pub(crate) entered: Semaphore,
    /// One permit for each block that may go.
    pub(crate) gate: Semaphore,
}

impl Gated {
    pub(crate) fn new(id: u8) -> Arc<Self> {
        Arc::new(Self {
            memory: Memory::new(id),
            entered: Semaphore::new(0),
            gate: Semaphore::new(0),
        })
    }

    /// Waits until `blocks` more were kept back.
    pub(crate) async fn wait_entered(&self, blocks: u32) {
        let entered = tokio::time::timeout(PATIENCE, self.entered.acquire_many(blocks));
        entered.await.unwrap().unwrap().forget();
    }
}

impl BlockSource for Gated {
    fn allocate<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        size: BlockSize,
    ) -> AllocateFuture<'a> {
        Box::pin(async move {
            let block = self.memory.allocate(scope, sequence, size).await;
            self.entered.add_permits(1);
            self.gate.acquire().await.unwrap().forget();
            block
        })
    }

    fn raise<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        floor: RangeKey,
    ) -> StatusFuture<'a> {
        self.memory.raise(scope, sequence, floor)
    }

    fn status<'a>(&'a self, scope: &'a ScopeName, sequence: &'a SequenceName) -> StatusFuture<'a> {
        BlockSource::status(&*self.memory, scope, sequence)
    }
}

/// A server on a port of its own; it is closed at once when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    pub(crate) async fn start(source: Arc<dyn BlockSource>) -> Self {
        Self::start_with(source, options()).await
    }

    pub(crate) async fn start_with(source: Arc<dyn BlockSource>, options: ServeOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, source, options, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            stop: Some(stop),
            task,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells it to stop.
    pub(crate) fn begin_stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Waits until it has stopped.
    pub(crate) async fn stopped(mut self) {
        let task = tokio::time::timeout(PATIENCE, &mut self.task);
        task.await.unwrap().unwrap().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn options() -> ServeOptions {
    ServeOptions::new(vec![TOKEN.into()], ServeTransport::PlainOnLoopback).unwrap()
}

/// What asks the hosts at these addresses for authorities 0 to 3.
pub(crate) fn client_options(addresses: &[SocketAddr]) -> HttpOptions {
    let urls = addresses
        .iter()
        .map(|address| format!("http://{address}").parse().unwrap());
    HttpOptions::new(urls.collect(), ids(&[0, 1, 2, 3]), TOKEN.into())
        .with_timeout(PATIENCE)
        .with_connect_timeout(PATIENCE)
}

/// The same for one authority.
pub(crate) fn client_of(id: u8, addresses: &[SocketAddr]) -> HttpAuthorities {
    let urls = addresses
        .iter()
        .map(|address| format!("http://{address}").parse().unwrap());
    let options = HttpOptions::new(urls.collect(), ids(&[id]), TOKEN.into());
    HttpAuthorities::new(options.with_timeout(PATIENCE)).unwrap()
}

pub(crate) fn client(addresses: &[SocketAddr]) -> HttpAuthorities {
    HttpAuthorities::new(client_options(addresses)).unwrap()
}

pub(crate) fn next_of(statuses: &[AuthorityStatus]) -> Vec<(u8, String)> {
    let next =
        |status: &AuthorityStatus| (status.authority().get(), status.state().next().to_string());
    statuses.iter().map(next).collect()
}
