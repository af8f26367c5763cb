//! Looking at the journal of moves, and at who holds them up.

use mdb_gdid::Gdid;

use super::error::MoveError;
use super::record::MoveRecord;
use super::relocator::Relocator;
use crate::engine::Value;

impl Relocator {
    /// All moves that the journal has, the oldest first.
    ///
    /// # Errors
    ///
    /// [`MoveError::Catalog`], [`MoveError::Database`]: the catalog could not be asked.
    pub async fn list(&self) -> Result<Vec<MoveRecord>, MoveError> {
        self.journal().list().await
    }

    /// One move, by its id.
    ///
    /// # Errors
    ///
    /// [`MoveError::Unknown`], and as [`list`](Self::list).
    pub async fn find(&self, id: &str) -> Result<MoveRecord, MoveError> {
        self.journal().find(id).await
    }

    /// The briefcases of a move, ascending.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn briefcases(&self, record: &MoveRecord) -> Result<Vec<Gdid>, MoveError> {
        self.journal().briefcases(&record.id).await
    }

    /// The moves of a briefcase of `area`, the oldest first.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn moves_of(&self, area: &str, id: Gdid) -> Result<Vec<MoveRecord>, MoveError> {
        let query = "SELECT move FROM mdb_move_briefcase WHERE gdid = ?";
        let rows = self.home().pool().query(query, &[Value::from(id)]).await?;
        let found = rows.iter().map(|row| row.text(0));
        let found: Vec<&str> = found.collect::<Result<_, _>>()?;
        let topology = self.servers.topology();
        let area = topology.area_index(area);
        let mut records = self.list().await?;
        records.retain(|record| {
            topology.area_index(record.area()) == area && found.contains(&record.id())
        });
        Ok(records)
    }

    /// The processes that do not know of the present epoch yet, with what they wait for.
    ///
    /// # Errors
    ///
    /// [`MoveError::Catalog`], [`MoveError::Database`]: the catalog could not be asked.
    pub async fn waits_for(&self) -> Result<Vec<String>, MoveError> {
        let epoch = self.home().epoch().await?;
        let routers = self.home().behind(epoch).await?;
        Ok(routers.iter().map(ToString::to_string).collect())
    }
}
