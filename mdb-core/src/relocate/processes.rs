//! The processes that moves wait for: those that are registered with the catalog.
//!
//! A process that ends in order takes its registration back, and one that has died is forgotten after a day where its
//! sessions can be ended. On SQLite they can't: a process that is asleep may still write. So there a person has to say
//! that it is dead.

use std::time::Duration;

use super::error::MoveError;
use super::relocator::Relocator;
use crate::catalog::{Epoch, HomeError};
use crate::engine::{Value, Values};

/// A process that is registered with the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    id: String,
    place: String,
    acknowledged: Option<Epoch>,
    waits_for: String,
    lease_ms: i64,
}

impl Process {
    /// The name under which it is registered, which is also that of its sessions on PostgreSQL.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its number, and the machine that it runs on.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The epoch up to which nothing older runs in it; `None` when a move has shut it out.
    pub fn acknowledged(&self) -> Option<Epoch> {
        self.acknowledged
    }

    /// What keeps it from acknowledging more, in words; empty where nothing does.
    pub fn waits_for(&self) -> &str {
        &self.waits_for
    }

    /// For how long its lease holds; `None` when it has run out.
    pub fn lease(&self) -> Option<Duration> {
        let left = u64::try_from(self.lease_ms).ok();
        left.filter(|left| *left > 0).map(Duration::from_millis)
    }

    /// For how long its lease has run out; `None` while it holds.
    pub fn silent_for(&self) -> Option<Duration> {
        let ago = self.lease_ms.unsigned_abs();
        (self.lease_ms <= 0).then(|| Duration::from_millis(ago))
    }
}

/// Why a process was not forgotten.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForgetError {
    /// None is registered under that name.
    #[error("no process {id} is registered")]
    Unknown {
        /// The name.
        id: String,
    },
    /// It is alive.
    #[error("process {id} is alive: it was heard of less than {} s ago", lease.as_secs() + 1)]
    Alive {
        /// The name.
        id: String,
        /// For how long its lease holds.
        lease: Duration,
    },
    /// Its sessions on a server could not be ended.
    #[error("the sessions of process {id} can't be ended")]
    Sessions {
        /// The name.
        id: String,
        /// Why.
        #[source]
        source: MoveError,
    },
    /// The catalog could not be asked.
    #[error("the catalog can't be asked")]
    Catalog(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<HomeError> for ForgetError {
    fn from(error: HomeError) -> Self {
        Self::Catalog(error.into())
    }
}

impl Relocator {
    /// The processes that are registered with the catalog, by name: those that moves wait for, and those that have not been
    /// heard of since their lease ran out.
    ///
    /// # Errors
    ///
    /// [`MoveError::Catalog`]: the catalog could not be asked.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn processes(&self) -> Result<Vec<Process>, MoveError> {
        Ok(self.registered().await?)
    }

    async fn registered(&self) -> Result<Vec<Process>, HomeError> {
        let pool = self.home().pool();
        let query = format!(
            "SELECT router, place, acknowledged, waits_for, lease_until - {} FROM mdb_router ORDER BY router",
            pool.now()
        );
        let read = |row: &Values| -> Result<Process, sqlx::Error> {
            Ok(Process {
                id: row.text(0)?.to_owned(),
                place: row.text(1)?.to_owned(),
                acknowledged: u64::try_from(row.integer(2)?).ok().map(Epoch::new),
                waits_for: row.optional_text(3)?.unwrap_or_default().to_owned(),
                lease_ms: row.integer(4)?,
            })
        };
        let rows = pool.query(&query, &[]).await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Forgets a process of which the caller knows that it is dead. No move waits for it then, and what was kept because of
    /// it can be cleaned up ([`clean`](Self::clean)).
    ///
    /// Its sessions on PostgreSQL, MySQL and MariaDB are ended first. On SQLite nothing can be ended: a process that is
    /// only asleep writes to briefcases where they are no more when it wakes up.
    ///
    /// # Errors
    ///
    /// - [`ForgetError::Unknown`]: none is registered under that name.
    /// - [`ForgetError::Alive`]: its lease holds; nothing was done.
    /// - [`ForgetError::Sessions`]: a server can't be reached, or refuses to end its sessions; it is still registered.
    /// - [`ForgetError::Catalog`]: the catalog could not be asked.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, its sessions may have been ended, and it may be forgotten.
    pub async fn forget_process(&self, id: &str) -> Result<(), ForgetError> {
        self.dead(id).await?;
        let ended = self.end_sessions_everywhere(id).await;
        ended.map_err(|source| ForgetError::Sessions {
            id: id.to_owned(),
            source,
        })?;
        let pool = self.home().pool();
        let forget = format!(
            "DELETE FROM mdb_router WHERE router = ? AND lease_until <= {}",
            pool.now()
        );
        let values = [Value::from(id)];
        if pool
            .execute(&forget, &values)
            .await
            .map_err(HomeError::from)?
            == 0
        {
            // It has come back, or somebody else has said so.
            self.dead(id).await?;
        }
        Ok(())
    }

    /// The process, if it is registered and its lease has run out.
    async fn dead(&self, id: &str) -> Result<Process, ForgetError> {
        let registered = self.registered().await?;
        let found = registered.into_iter().find(|process| process.id == id);
        let process = found.ok_or_else(|| ForgetError::Unknown { id: id.to_owned() })?;
        match process.lease() {
            Some(lease) => Err(ForgetError::Alive {
                id: process.id,
                lease,
            }),
            None => Ok(process),
        }
    }
}
