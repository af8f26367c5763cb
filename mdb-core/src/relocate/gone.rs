//! Processes that have gone without a word: their registrations are kept for a day, and forgotten then.
//!
//! Who is registered has to hear of each move, or be shut out. A process that has died does neither, and would be shut
//! out again by every batch. It may also be asleep; so before it is forgotten its sessions are ended on every server: it
//! begins anew then, as a process that nobody knows. Where sessions can't be ended it is remembered until a person says
//! that it is dead.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::{MySql, Postgres};

use super::batch::open;
use super::error::MoveError;
use super::relocator::Relocator;
use crate::config::EngineKind;
use crate::engine::Value;
use crate::engine::relocating::Relocating;
use crate::topology::ShardId;

/// For how long a process that was shut out is remembered.
const REMEMBERED: Duration = Duration::from_hours(24);

impl Relocator {
    /// Forgets processes that moves have shut out and that have not been heard of for a day.
    pub(super) async fn forget_gone(&self) -> Result<(), MoveError> {
        let engine = |shard| self.servers.config_of(shard).engine();
        if self
            .shards()
            .any(|shard| engine(shard) == EngineKind::Sqlite)
        {
            return Ok(());
        }
        let pool = self.home().pool();
        let long = i64::try_from(REMEMBERED.as_millis()).unwrap_or(i64::MAX);
        let is_gone = format!("acknowledged = -1 AND lease_until < {} - ?", pool.now());
        let query = format!("SELECT router FROM mdb_router WHERE {is_gone}");
        for row in pool.query(&query, &[Value::Integer(long)]).await? {
            let router = row.text(0)?;
            self.end_sessions_everywhere(router).await?;
            let forget = format!("DELETE FROM mdb_router WHERE router = ? AND {is_gone}");
            pool.execute(&forget, &[Value::from(router), Value::Integer(long)])
                .await?;
            tracing::info!(router, "forgot a process that has been gone for a day");
        }
        Ok(())
    }

    fn shards(&self) -> impl Iterator<Item = ShardId> {
        let shards = (0..).map(ShardId::new);
        shards.take(self.servers.topology().shards().len())
    }

    /// Ends the sessions of a process on all servers that have sessions.
    pub(super) async fn end_sessions_everywhere(&self, router: &str) -> Result<(), MoveError> {
        let mut servers = BTreeSet::new();
        for shard in self.shards() {
            let server = self.servers.config_of(shard);
            if !servers.insert(server.name()) {
                continue;
            }
            match server.engine() {
                EngineKind::Postgres => self.end_sessions::<Postgres>(shard, router).await?,
                EngineKind::MySql => self.end_sessions::<MySql>(shard, router).await?,
                EngineKind::Sqlite => {}
            }
        }
        Ok(())
    }

    async fn end_sessions<DB: Relocating>(
        &self,
        shard: ShardId,
        router: &str,
    ) -> Result<(), MoveError> {
        let mut connection = open::<DB>(self.servers.typed::<DB>(shard)?).await?;
        DB::end_sessions(&mut connection, router).await?;
        Ok(())
    }
}
