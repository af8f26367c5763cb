//! Opening and testing the connections of one database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};

use super::budget::{Budget, Open};
use super::error::AcquireError;
use super::identity::{self, Identity};
use crate::config::{DatabaseName, Endpoint, ServerLimits, ServerName};
use crate::engine::{
    Access, ConnectSpec, Connected, Engine, ErrorClass, Farewells, Session, Target,
};

/// Where the connections of one database come from.
pub(crate) struct Source {
    pub(crate) server: ServerName,
    pub(crate) database: DatabaseName,
    pub(crate) endpoint: Endpoint,
    pub(crate) identity: Identity,
    pub(crate) limits: ServerLimits,
    pub(crate) application: Arc<str>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) farewells: Farewells,
    pub(crate) alterations: AtomicU64,
}

impl Source {
    pub(crate) fn spec<'a>(&'a self, target: Target<'a>, access: Access) -> ConnectSpec<'a> {
        ConnectSpec {
            endpoint: &self.endpoint,
            target,
            access,
            application: &self.application,
            statement_timeout: self.limits.statement_timeout(),
            busy_timeout: self.limits.acquire_timeout(),
            statement_cache: self.limits.statement_cache(),
        }
    }

    /// Opens a connection within the connect time-out, without looking at the identity stamp.
    pub(crate) async fn connect<DB: Engine>(
        &self,
        target: Target<'_>,
        access: Access,
    ) -> Result<(Connected<DB>, Session), AcquireError> {
        let limit = self.limits.connect_timeout();
        match tokio::time::timeout(limit, DB::connect(&self.spec(target, access))).await {
            Ok(Ok((connection, session))) => {
                Ok((Connected::new(connection, &self.farewells), session))
            }
            Ok(Err(source))
                if matches!(target, Target::Database(_))
                    && DB::error_class(&source) == ErrorClass::MissingDatabase =>
            {
                Err(AcquireError::Missing {
                    server: self.server.clone(),
                    database: self.database.clone(),
                    source,
                })
            }
            Ok(Err(source)) => Err(AcquireError::connect::<DB>(
                self.server.clone(),
                self.database.clone(),
                source,
            )),
            Err(_) => Err(AcquireError::ConnectTimeout {
                server: self.server.clone(),
                database: self.database.clone(),
                limit,
            }),
        }
    }

    /// Opens a connection of its own, outside the pools, to the shard's database.
    pub(crate) async fn connect_checked<DB: Engine>(
        &self,
        spec: &ConnectSpec<'_>,
    ) -> Result<Connected<DB>, AcquireError> {
        let limit = self.limits.connect_timeout();
        let (server, database) = (self.server.clone(), self.database.clone());
        match tokio::time::timeout(limit, DB::connect(spec)).await {
            Ok(Ok((connection, _))) => {
                let mut connection = Connected::new(connection, &self.farewells);
                self.verify::<DB>(&mut connection).await?;
                Ok(connection)
            }
            Ok(Err(source)) => Err(AcquireError::connect::<DB>(server, database, source)),
            Err(_) => Err(AcquireError::ConnectTimeout {
                server,
                database,
                limit,
            }),
        }
    }

    /// Checks the identity stamp within the connect time-out.
    async fn verify<DB: Engine>(
        &self,
        connection: &mut DB::Connection,
    ) -> Result<u64, AcquireError> {
        let limit = self.limits.connect_timeout();
        let (server, database) = (self.server.clone(), self.database.clone());
        // Boxed, for it is part of everything that needs a connection.
        let verified = Box::pin(identity::verify::<DB>(connection, &self.identity));
        match tokio::time::timeout(limit, verified).await {
            Ok(Ok(Ok(least_epoch))) => Ok(least_epoch),
            Ok(Ok(Err(source))) => Err(AcquireError::Identity {
                server,
                database,
                source,
            }),
            Ok(Err(source)) => Err(AcquireError::connect::<DB>(server, database, source)),
            Err(_) => Err(AcquireError::ConnectTimeout {
                server,
                database,
                limit,
            }),
        }
    }

    pub(crate) fn distrust_connections(&self) {
        self.budget.distrust_connections();
    }

    /// A connection that has seen as many alterations has statements prepared that are of before another one: idle ones
    /// from before are not used any more. Of several such connections the first one counts.
    pub(crate) fn found_altered(&self, known: u64) {
        let (relaxed, next) = (Ordering::Relaxed, known + 1);
        let _ = self
            .alterations
            .compare_exchange(known, next, relaxed, relaxed);
    }

    fn alterations(&self) -> u64 {
        self.alterations.load(Ordering::Relaxed)
    }
}

/// A connection, idle or in use.
pub(crate) struct Pooled<DB: Engine> {
    pub(crate) connection: Connected<DB>,
    pub(crate) session: Session,
    pub(crate) idle_since: Instant,
    pub(crate) reuses: u64,
    /// What the shard asked of those who come, when the connection was opened.
    pub(crate) least_epoch: u64,
    /// How often tables had been found altered when the connection was opened.
    pub(crate) alterations: u64,
    expires: Instant,
    discoveries: u64,
    _open: Open,
}

impl<DB: Engine> Pooled<DB> {
    /// Whether it may be kept idle.
    pub(crate) fn is_fresh(&self, source: &Source, now: Instant) -> bool {
        now < self.expires
            && now.duration_since(self.idle_since) < source.limits.idle_timeout()
            && self.discoveries == source.budget.discoveries()
            && self.alterations == source.alterations()
    }
}

/// What deadpool asks for connections of one lane.
pub(crate) struct Manager<DB> {
    pub(crate) source: Arc<Source>,
    pub(crate) access: Access,
    pub(crate) engine: std::marker::PhantomData<fn() -> DB>,
}

impl<DB: Engine> managed::Manager for Manager<DB> {
    type Type = Pooled<DB>;
    type Error = AcquireError;

    async fn create(&self) -> Result<Pooled<DB>, AcquireError> {
        let source = &self.source;
        let open = source.budget.admit().await;
        let discoveries = source.budget.discoveries();
        let alterations = source.alterations();
        let (mut connection, session) = source
            .connect::<DB>(Target::Database(&source.database), self.access)
            .await?;
        let least_epoch = source.verify::<DB>(&mut connection).await?;
        let now = Instant::now();
        Ok(Pooled {
            connection,
            session,
            idle_since: now,
            reuses: 0,
            least_epoch,
            alterations,
            expires: now + with_jitter(source.limits.max_lifetime()),
            discoveries,
            _open: open,
        })
    }

    async fn recycle(&self, pooled: &mut Pooled<DB>, _: &Metrics) -> RecycleResult<AcquireError> {
        let now = Instant::now();
        if !pooled.is_fresh(&self.source, now) {
            return Err(RecycleError::message("too old"));
        }
        if now.duration_since(pooled.idle_since) >= self.source.limits.test_after_idle() {
            let ping = DB::ping(&mut pooled.connection);
            if !matches!(
                tokio::time::timeout(self.source.limits.connect_timeout(), ping).await,
                Ok(Ok(()))
            ) {
                self.source.distrust_connections();
                return Err(RecycleError::message("found dead"));
            }
        }
        pooled.reuses += 1;
        Ok(())
    }
}

/// Up to a tenth less, so that connections that were opened together don't all end together.
fn with_jitter(lifetime: Duration) -> Duration {
    lifetime.mul_f64(1.0 - fastrand::f64() / 10.0)
}
