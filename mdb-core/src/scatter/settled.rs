//! Work over many shards that is exact while briefcases are moved.
//!
//! Vocabulary:
//!
//! - **present**: a row counts on its shard. It does not while its briefcase is being received there,
//!   or after it has gone; see [`ShardHandle::present`].
//! - **flip**: the moment in which a briefcase ceases to count at its source; **landing**: the moment
//!   in which it begins to count at its target. In between it counts nowhere.
//! - **reading**: what a shard says of its flips and landings at one moment.

mod reading;

use std::num::NonZeroU32;
use std::time::Duration;

use self::reading::{Reading, has_moved, land};
use super::{ScatterError, ScatterOptions, ScatterReport, ShardHandle, ShardInfo, scatter};
use crate::area::Area;
use crate::config::AreaName;
use crate::engine::Engine;

/// A flip and its landing are milliseconds apart.
const PAUSE: Duration = Duration::from_millis(5);

impl<DB: Engine> ShardHandle<DB> {
    /// A condition, in this engine's SQL, that rows count here; `key` is the column that holds their
    /// briefcases' ids. Rows without one count.
    ///
    /// It has to stand in the statement that reads the rows: `SELECT count(*) FROM account WHERE
    /// {present}`. For several statements begin a transaction that reads one snapshot. Of a table
    /// that is reached through its parent, the parent's key decides: join the parent, and use
    /// [`present_of`](Self::present_of) with the parent's alias.
    pub fn present(&self, key: &str) -> String {
        present(&DB::quote(key))
    }

    /// As [`present`](Self::present), of the table that the statement calls `alias`:
    ///
    /// ```
    /// # async fn example(shard: &mdb_core::ShardHandle<sqlx::Sqlite>) -> Result<(), sqlx::Error> {
    /// let count = format!(
    ///     "SELECT count(*) FROM line_item l JOIN orders o ON o.g_order = l.g_order WHERE {}",
    ///     shard.present_of("o", "g_user")
    /// );
    /// let items: i64 = sqlx::query_scalar(&count).fetch_one(shard).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn present_of(&self, alias: &str, key: &str) -> String {
        present(&format!("{}.{}", DB::quote(alias), DB::quote(key)))
    }
}

fn present(column: &str) -> String {
    // Nothing is in a list, or is not, that is NULL.
    format!("({column} IS NULL OR {column} NOT IN (SELECT gdid FROM mdb_absent))")
}

/// What every shard answered, and whether briefcases changed their places meanwhile.
#[derive(Debug)]
pub struct WatchedReport<T, E> {
    report: ScatterReport<T, E>,
    moved: bool,
}

impl<T, E> WatchedReport<T, E> {
    /// Whether a briefcase may have been counted on two shards, or on none. Ask again then.
    pub fn moved_meanwhile(&self) -> bool {
        self.moved
    }

    /// What each shard answered.
    pub fn report(&self) -> &ScatterReport<T, E> {
        &self.report
    }

    /// What each shard answered.
    pub fn into_report(self) -> ScatterReport<T, E> {
        self.report
    }
}

/// Why it is not known whether work over all shards has met every briefcase once.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// A shard did not say how often briefcases have come and gone.
    #[error("{shard} can't be asked whether briefcases have moved")]
    Shard {
        /// Which shard it is.
        shard: ShardInfo,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Briefcases were moved to a shard that this configuration does not have.
    #[error(
        "briefcases of area `{area}` are on shard `{shard}`, which this configuration lacks; update it"
    )]
    UnknownHome {
        /// The area asked.
        area: AreaName,
        /// The shard's name.
        shard: String,
    },
}

/// Why there is no answer that holds for all shards together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError<E: std::error::Error + 'static> {
    /// The work failed on a shard.
    #[error("the work over all shards failed")]
    Work(#[source] ScatterError<E>),
    /// A shard did not say whether briefcases have moved, or is not known.
    #[error("it is not known whether every briefcase was met once")]
    Watch(#[from] WatchError),
    /// Briefcases changed their places each time.
    #[error("briefcases moved during each of {attempts} attempts; try again when less is moved")]
    Moving {
        /// How often the work was done.
        attempts: NonZeroU32,
    },
}

impl<DB: Engine> Area<DB> {
    /// As [`each_shard`](Self::each_shard), and says whether briefcases changed their places
    /// meanwhile. Costs two more statements on each shard.
    ///
    /// When none did, work that uses [`ShardHandle::present`] has met every briefcase on exactly one
    /// shard. For let a briefcase go from a source to a target, and let both be read before any
    /// shard's work and after all of it, with the same number of flips and landings each time:
    ///
    /// - If the source was still its place at the second reading, it counted there all the time. It
    ///   landed later than that, so either after the target's second reading, and did not count
    ///   there; or before it, and then the target's number has changed.
    /// - If it had left the source by the first reading, it did not count there. Either it had landed
    ///   by the target's first reading, and counted there all the time; or it was still being received
    ///   at the target's second reading, having left by the source's first one: that is seen in the
    ///   readings themselves.
    /// - In any other case it left or landed between two readings of one shard, whose number has
    ///   changed.
    ///
    /// The rows that are copied come after the mark that they don't count, and go before it.
    ///
    /// What a mover that died has left between a source and a target lands by this, so that asking
    /// again helps.
    ///
    /// # Errors
    ///
    /// [`WatchError`]: a shard could not be read, or briefcases are on one that this configuration
    /// lacks. Failures of the work are in the report.
    ///
    /// # Cancel safety
    ///
    /// As [`each_shard`](Self::each_shard).
    pub async fn each_shard_watched<T, E, F, Fut>(
        &self,
        options: ScatterOptions,
        work: F,
    ) -> Result<WatchedReport<T, E>, WatchError>
    where
        F: FnMut(ShardHandle<DB>) -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let shards = self.shards();
        let before = Reading::of_all(self, &shards, options).await?;
        let ids = shards.iter().map(ShardInfo::id).collect();
        let report = scatter(self, ids, options, work).report().await;
        let after = Reading::of_all(self, &shards, options).await?;
        land(self, &shards, &after).await;
        Ok(WatchedReport {
            report,
            moved: has_moved(&before, &after),
        })
    }

    /// All answers of work that was done while no briefcase changed its place, in the order of the
    /// shards; see [`each_shard_watched`](Self::each_shard_watched). The work is done again, up to
    /// `attempts` times in all, when one did.
    ///
    /// # Errors
    ///
    /// - [`SettleError::Work`]: the first failure of the work.
    /// - [`SettleError::Watch`]: a shard could not be read, or briefcases are on one that this
    ///   configuration lacks.
    /// - [`SettleError::Moving`]: briefcases moved during every attempt.
    ///
    /// # Cancel safety
    ///
    /// As [`each_shard`](Self::each_shard).
    ///
    /// ```
    /// # async fn example(mdb: &mdb_core::Mdb) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::num::NonZeroU32;
    ///
    /// use mdb_core::ScatterOptions;
    /// use sqlx::Sqlite;
    ///
    /// let attempts = NonZeroU32::new(20).expect("20 is not 0");
    /// let counts = mdb
    ///     .area::<Sqlite>("user")?
    ///     .each_shard_settled(ScatterOptions::new(), attempts, |shard| async move {
    ///         let count = format!("SELECT count(*) FROM account WHERE {}", shard.present("g_user"));
    ///         sqlx::query_scalar::<_, i64>(&count).fetch_one(&shard).await
    ///     })
    ///     .await?;
    /// println!("{} accounts", counts.iter().map(|(_, count)| count).sum::<i64>());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn each_shard_settled<T, E, F, Fut>(
        &self,
        options: ScatterOptions,
        attempts: NonZeroU32,
        mut work: F,
    ) -> Result<Vec<(ShardInfo, T)>, SettleError<E>>
    where
        F: FnMut(ShardHandle<DB>) -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        for attempt in 1..=attempts.get() {
            let watched = self.each_shard_watched(options, &mut work).await?;
            let moved = watched.moved_meanwhile();
            let ScatterReport {
                succeeded, failed, ..
            } = watched.into_report();
            if let Some((shard, source)) = failed.into_iter().next() {
                return Err(SettleError::Work(ScatterError { shard, source }));
            }
            if !moved {
                return Ok(succeeded);
            }
            if attempt < attempts.get() {
                tokio::time::sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
            }
        }
        Err(SettleError::Moving { attempts })
    }
}
