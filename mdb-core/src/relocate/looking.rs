//! Looking at the journal of moves, and at who holds them up.

use mdb_gdid::Gdid;

use super::error::MoveError;
use super::record::MoveRecord;
use super::relocator::Relocator;

impl Relocator {
    /// All moves that the journal has, the oldest first.
    ///
    /// # Errors
    ///
    /// [`MoveError::Catalog`], [`MoveError::Database`]: the catalog could not be asked.
    pub async fn list(&self) -> Result<Vec<MoveRecord>, MoveError> {
        self.journal().list().await
    }

    /// The moves that are not over, the oldest first.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn under_way(&self) -> Result<Vec<MoveRecord>, MoveError> {
        self.journal().under_way().await
    }

    /// The moves whose ids begin with `text`, the oldest first.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn beginning_with(&self, text: &str) -> Result<Vec<MoveRecord>, MoveError> {
        self.journal().beginning_with(text).await
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
        let topology = self.servers.topology();
        let area = topology.area_index(area);
        let mut records = self.journal().of_briefcase(id).await?;
        records.retain(|record| topology.area_index(record.area()) == area);
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
