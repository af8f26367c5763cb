//! A catalog that knows less than the shards: its database was restored from a backup, or made anew.
//!
//! A shard that briefcases have left turns everybody away who does not know of that. When the catalog has forgotten it,
//! nobody can know. That is right until a person has looked which briefcases were moved since; then the catalog's epoch is
//! raised above all that shards ask for.

use super::error::MoveError;
use super::record::MovePhase;
use super::relocator::Relocator;
use crate::catalog::{Epoch, forget_copies, spread_copies};
use crate::engine::{Step, Value};
use crate::topology::{AreaTopology, ShardId};

/// A shard that turns away everybody who knows no more than the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardAhead {
    shard: ShardId,
    least: Epoch,
    catalog: Epoch,
}

impl ShardAhead {
    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The least epoch that one has to know to be let in.
    pub fn least(&self) -> Epoch {
        self.least
    }

    /// The catalog's epoch.
    pub fn catalog(&self) -> Epoch {
        self.catalog
    }
}

/// What was done about the catalog's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochRaise {
    before: Epoch,
    after: Epoch,
}

impl EpochRaise {
    /// What it was.
    pub fn before(&self) -> Epoch {
        self.before
    }

    /// What it is now; the same where every shard lets in who knows the catalog.
    pub fn after(&self) -> Epoch {
        self.after
    }
}

impl Relocator {
    /// Those of `shards` that turn away everybody who knows no more than the catalog: it was restored from a backup, or
    /// made anew, and briefcases have left these shards in moves that it does not know.
    ///
    /// # Errors
    ///
    /// - [`MoveError::Database`]: a shard could not be asked.
    /// - [`MoveError::Catalog`]: the catalog could not be asked.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn ahead(&self, shards: &[ShardId]) -> Result<Vec<ShardAhead>, MoveError> {
        let mut asked = Vec::with_capacity(shards.len());
        for shard in shards {
            let least = "SELECT least_epoch FROM mdb_shard WHERE only_row = 1";
            let rows = self.servers.pool(*shard).query(least, &[]).await?;
            let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
            asked.push((*shard, Epoch::new(row.integer(0)?.unsigned_abs())));
        }
        // Last: a move that ends meanwhile raises it before it raises what a shard asks for.
        let catalog = self.home().epoch().await?;
        let ahead = asked.into_iter().filter(|(_, least)| *least > catalog);
        let ahead = ahead.map(|(shard, least)| ShardAhead {
            shard,
            least,
            catalog,
        });
        Ok(ahead.collect())
    }

    /// Makes sure that the catalog has come as far as the shards ask for.
    pub(super) async fn refuse_behind(&self, shards: &[ShardId]) -> Result<(), MoveError> {
        match self.ahead(shards).await?.first() {
            None => Ok(()),
            Some(ahead) => Err(MoveError::CatalogBehind {
                shard: self.servers.topology().shard_place(ahead.shard),
                least: ahead.least,
                catalog: ahead.catalog,
            }),
        }
    }

    /// Has every shard let in again who knows the catalog, after that was restored from a backup or made anew: raises its
    /// epoch above the greatest that a shard asks for. Doing it again changes nothing.
    ///
    /// Briefcases that were moved since the backup are looked for where they were before from then on. So find them
    /// first, by [`verify`](Self::verify), and bring their rows to where the catalog has them. Moves that it doesn't know
    /// and that were under way keep that from being done, until they are [ended](Self::forget_unknown).
    ///
    /// # Errors
    ///
    /// - As [`ahead`](Self::ahead), for any shard of any area.
    /// - [`MoveError::UnderWay`]: by the catalog, moves are. They ended otherwise since, perhaps; [`verify`](Self::verify)
    ///   can't tell what it finds of their briefcases from half copies until they are aborted, or resumed where that can
    ///   be done.
    /// - [`MoveError::Database`] also when a copy of the relocations can't be emptied.
    ///
    /// It has not been raised then.
    ///
    /// # Cancel safety
    ///
    /// It may have been raised or not; do it again.
    pub async fn raise_epoch(&self) -> Result<EpochRaise, MoveError> {
        let areas = self.servers.topology().areas().iter();
        let shards: Vec<ShardId> = areas.flat_map(AreaTopology::shards).collect();
        let ahead = self.ahead(&shards).await?;
        let most = ahead.into_iter().max_by_key(ShardAhead::least);
        let home = self.home();
        if let Some(ShardAhead { least, catalog, .. }) = most {
            let moves = self.under_way().await?;
            let moves = moves
                .iter()
                .filter(|record| record.phase() > MovePhase::Planned);
            let moves: Vec<String> = moves.map(|record| record.id().to_owned()).collect();
            if !moves.is_empty() {
                return Err(MoveError::UnderWay { moves });
            }
            // Later nothing would tell that they know more than the catalog.
            forget_copies(&self.servers).await?;
            let after = Epoch::new(least.get().saturating_add(1));
            let raise = "UPDATE mdb_catalog SET epoch = ? WHERE only_row = 1 AND epoch < ?";
            let values = [after, least].map(|epoch| {
                let number = i64::try_from(epoch.get());
                Value::Integer(number.unwrap_or(i64::MAX))
            });
            let mut steps = vec![Step::new(raise, values).expecting(1)];
            steps.extend(self.journal().tell());
            let is_raised = home.together(&steps).await?;
            spread_copies(&self.servers).await;
            if is_raised {
                let before = catalog;
                return Ok(EpochRaise { before, after });
            }
        }
        let epoch = home.epoch().await?;
        Ok(EpochRaise {
            before: epoch,
            after: epoch,
        })
    }
}
