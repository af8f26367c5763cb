//! This process' registration at the catalog's home.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::copies;
use super::home::{Home, HomeError};
use super::live::{Epoch, LiveRouter};
use super::relocation::KnownRelocations;
use crate::servers::{Servers, WeakServers};
use crate::topology::{ShardId, Topology};

/// For how long a router asks to be waited for.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// How much of it the router itself relies on: clocks may run at slightly different speeds.
const RELIED_ON: Duration = Duration::from_secs(9);
/// When it is renewed.
const RENEWAL: Duration = Duration::from_secs(3);
/// How often the epoch is asked for.
const POLL: Duration = Duration::from_millis(200);
/// How long a process is used before it registers. One that is gone sooner isn't waited for.
const GRACE: Duration = Duration::from_millis(300);

/// How long taking the registration back is waited for.
const LEAVING: Duration = Duration::from_secs(5);

/// The registration, kept up in the background until the store is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    /// Ends with the keeper.
    joined: watch::Receiver<bool>,
    hurry: Arc<Notify>,
    is_leaving: Arc<AtomicBool>,
}

impl Session {
    /// Begins to watch `live`; registers once it has been used for a moment.
    pub(crate) fn start(live: &Arc<LiveRouter>, servers: &Servers) -> Self {
        let (tell, joined) = watch::channel(false);
        let hurry = Arc::new(Notify::new());
        let is_leaving = Arc::new(AtomicBool::new(false));
        let keeper = Keeper {
            live: Arc::downgrade(live),
            servers: servers.downgrade(),
            topology: Arc::clone(servers.topology()),
            router: servers.application().to_owned(),
            acknowledged: Epoch::START,
            left: BTreeSet::new(),
            is_leaving: Arc::clone(&is_leaving),
            has_registered: false,
            was_granted: false,
            renewed: None,
            relocations: KnownRelocations::none(servers.topology()),
            tell,
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(keeper.run(Arc::clone(&hurry)));
        }
        Self {
            joined,
            hurry,
            is_leaving,
        }
    }

    /// Registers now, and waits until there is a lease; `false` when there can't be one.
    pub(crate) async fn join(&self) -> bool {
        self.hurry.notify_one();
        let mut joined = self.joined.clone();
        joined.wait_for(|joined| *joined).await.is_ok()
    }

    /// Has the keeper take the registration back, and waits for that: not for long, since it can run out by itself.
    pub(crate) async fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
        self.hurry.notify_one();
        let mut joined = self.joined.clone();
        let left = async { while joined.changed().await.is_ok() {} };
        if tokio::time::timeout(LEAVING, left).await.is_err() {
            tracing::debug!("the registration runs out by itself");
        }
    }
}

struct Keeper {
    live: Weak<LiveRouter>,
    servers: WeakServers,
    topology: Arc<Topology>,
    router: String,
    acknowledged: Epoch,
    /// Shards that briefcases have left, or are leaving, by what was learned since the last acknowledgement.
    left: BTreeSet<ShardId>,
    is_leaving: Arc<AtomicBool>,
    /// Whether there may be something to take back.
    has_registered: bool,
    /// Whether there was a lease at any time.
    was_granted: bool,
    /// When the lease was last asked for.
    renewed: Option<Instant>,
    relocations: KnownRelocations,
    tell: watch::Sender<bool>,
}

impl Drop for Keeper {
    /// Also when its runtime has ended: there is no registration that anybody keeps up.
    fn drop(&mut self) {
        self.tell.send_replace(false);
    }
}

impl Keeper {
    async fn run(mut self, hurry: Arc<Notify>) {
        // Until somebody uses the store, nobody has to wait for it.
        loop {
            let Some(live) = self.live.upgrade() else {
                return;
            };
            let is_wanted = tokio::select! {
                () = live.used().notified() => true,
                is_hurried = hurried(&hurry, POLL) => is_hurried,
            };
            if is_wanted {
                break;
            }
        }
        if !self.is_leaving() {
            let _ = hurried(&hurry, GRACE).await;
        }
        if self.is_leaving() {
            return;
        }
        let mut listening = JoinSet::new();
        listening.spawn(listen(
            self.servers.clone(),
            Arc::clone(&self.topology),
            Arc::clone(&hurry),
        ));
        while let (Some(live), Some(servers)) = (self.live.upgrade(), self.servers.upgrade()) {
            let home = Home::of(&servers, &self.topology);
            let went = self.step(&live, home).await;
            if let Err(error) = &went {
                self.make_do(&live, &servers).await;
                tracing::debug!(error = %crate::error::chain(error), "the catalog can't be asked; going the guarded path");
            }
            let joined = live.has_lease();
            drop((live, servers));
            self.tell
                .send_if_modified(|was| std::mem::replace(was, joined) != joined);
            let pause = if went.is_ok() { POLL } else { RENEWAL };
            let pause = pause.mul_f64(0.75 + fastrand::f64() / 2.0);
            if self.is_leaving() || hurried(&hurry, pause).await && self.is_leaving() {
                self.leave().await;
                return;
            }
        }
    }

    fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    /// Takes the registration back. Nothing that would make it anew is under way.
    async fn leave(&self) {
        let (Some(live), Some(servers)) = (self.live.upgrade(), self.servers.upgrade()) else {
            return;
        };
        live.grant(None);
        if self.has_registered
            && let Err(error) = Home::of(&servers, &self.topology).leave(&self.router).await
        {
            tracing::debug!(error = %crate::error::chain(&error), "the registration runs out by itself");
        }
    }

    /// Asks for the epoch, takes over what has changed, acknowledges it, renews the lease.
    async fn step(&mut self, live: &LiveRouter, home: Home<'_>) -> Result<(), HomeError> {
        // What happened while nobody waited for this process is learned from the beginning, and after it is registered.
        if self.renewed.is_some_and(|at| at.elapsed() >= LEASE) {
            self.lapse(live);
        }
        if self.renewed.is_none() {
            self.join(live, home).await?;
        }
        let known = live.snapshot().epoch();
        let epoch = home.epoch().await?;
        if epoch != known {
            self.learn(live, home, epoch).await?;
        }
        let (reached, waits_for) = self.reached(live);
        let due = self.renewed.is_none_or(|at| at.elapsed() >= RENEWAL);
        if !due && reached == self.acknowledged {
            return Ok(());
        }
        let asked = Instant::now();
        if home
            .renew(&self.router, reached, LEASE, waits_for.as_deref())
            .await?
        {
            self.acknowledged = reached;
            self.renewed = Some(asked);
            self.was_granted = true;
            live.grant(Some(asked + RELIED_ON));
        } else {
            self.lapse(live);
        }
        Ok(())
    }

    fn lapse(&mut self, live: &LiveRouter) {
        tracing::warn!(
            router = self.router,
            "the lease has run out; registering anew"
        );
        live.grant(None);
        self.renewed = None;
    }

    /// Registers first and looks at the relocations afterwards: who announces a motion in between
    /// finds the registration, and waits for it.
    async fn join(&mut self, live: &LiveRouter, home: Home<'_>) -> Result<(), HomeError> {
        live.grant(None);
        self.acknowledged = Epoch::START;
        let asked = Instant::now();
        let place = format!(
            "process {} on {}",
            std::process::id(),
            whoami::fallible::hostname().unwrap_or_else(|_| "an unnamed machine".to_owned())
        );
        self.has_registered = true;
        home.register(&self.router, &place, LEASE).await?;
        let epoch = home.epoch().await?;
        self.learn(live, home, epoch).await?;
        let (reached, waits_for) = self.reached(live);
        if home
            .renew(&self.router, reached, LEASE, waits_for.as_deref())
            .await?
        {
            self.acknowledged = reached;
            self.renewed = Some(asked);
            self.was_granted = true;
            live.grant(Some(asked + RELIED_ON));
        }
        Ok(())
    }

    /// How far everything that runs here knows: up to the present epoch, unless something older runs
    /// on a shard that briefcases are leaving.
    ///
    /// A whole move may have passed while the catalog could not be asked: what began before it goes on where nothing is
    /// in motion any more.
    fn reached(&mut self, live: &LiveRouter) -> (Epoch, Option<String>) {
        let snapshot = live.snapshot();
        let sources = snapshot.motions().values().chain(&self.left);
        let running = sources.filter_map(|source| Some((live.running_before(*source)?, *source)));
        match running.max() {
            None => {
                self.left.clear();
                (snapshot.epoch(), None)
            }
            Some((age, shard)) => (
                self.acknowledged,
                Some(format!(
                    "operations on {} that began more than {} s ago",
                    self.topology.shard_place(shard),
                    age.as_secs()
                )),
            ),
        }
    }

    /// Reads what is new: nothing of it may be older than the epoch that was read before.
    async fn learn(
        &mut self,
        live: &LiveRouter,
        home: Home<'_>,
        epoch: Epoch,
    ) -> Result<(), HomeError> {
        let before = live.snapshot();
        let known = before.epoch();
        // A catalog that was restored from a backup has an earlier epoch.
        let is_restored = epoch < known;
        let is_anew = self.renewed.is_none() || is_restored;
        if is_restored && let Some(servers) = self.servers.upgrade() {
            // What shards ask for was read when connections were opened, and nobody asked for more than was known then.
            servers.distrust_connections();
        }
        let rows = if is_anew {
            home.relocations().await?
        } else {
            home.relocations_since(known).await?
        };
        // Before the first lease nothing goes straight to a shard.
        if self.was_granted {
            let later = rows.iter();
            let later = later.filter(|row| is_restored || row.is_later_than(known));
            let left = later.flat_map(|row| row.left(&self.topology, before.state()));
            self.left.extend(left);
        }
        if is_anew {
            self.relocations = KnownRelocations::of(&rows, &self.topology);
        } else {
            self.relocations.learn(&rows);
        }
        live.change(epoch, self.relocations.state());
        Ok(())
    }

    /// Begins with what a copy has, while the home is away.
    ///
    /// Not after a lease: what went straight to a shard then may still run, and what a copy told would not be found to be
    /// new, and so to have been missed, once the home can be asked again. Nor would what is learned next complete it.
    async fn make_do(&mut self, live: &LiveRouter, servers: &Servers) {
        if self.was_granted || live.snapshot().epoch() > Epoch::START {
            return;
        }
        if let Some((epoch, relocations)) = copies::latest(servers).await {
            tracing::warn!(%epoch, "the catalog's home is away; using a copy of the relocations");
            live.change(epoch, relocations.state());
        }
    }
}

/// Hurries whenever the home's server tells of a change, where it can.
async fn listen(servers: WeakServers, topology: Arc<Topology>, hurry: Arc<Notify>) {
    while let Some(strong) = servers.upgrade() {
        let home = Home::of(&strong, &topology).pool().clone();
        drop(strong);
        match home.listen(&|| hurry.notify_one()).await {
            Ok(()) => return,
            Err(error) => {
                tracing::debug!(error = %crate::error::chain(&error), "the catalog's changes are asked for, not told");
            }
        }
        tokio::time::sleep(LEASE.mul_f64(0.5 + fastrand::f64())).await;
    }
}

/// Whether somebody is in a hurry within `time`.
async fn hurried(hurry: &Notify, time: Duration) -> bool {
    tokio::time::timeout(time, hurry.notified()).await.is_ok()
}
