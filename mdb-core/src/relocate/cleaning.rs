//! Collecting what moves that are over have left on shards.

use sqlx::{MySql, Postgres, Sqlite};

use super::batch::{LOCK_LIMIT, open};
use super::error::MoveError;
use super::journal::Journal;
use crate::catalog::Home;
use crate::config::EngineKind;
use crate::engine::Value;
use crate::engine::relocating::{Manifest, Relocating};
use crate::servers::Servers;
use crate::topology::ShardId;

/// Something that a move has left on a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    shard: ShardId,
    what: String,
    removed: bool,
}

impl Leftover {
    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// What it is.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Whether it was removed; otherwise a move that is not over needs it, or processes that have not
    /// been heard of may still run into it.
    pub fn is_removed(&self) -> bool {
        self.removed
    }
}

pub(super) async fn clean(servers: &Servers, home: Home<'_>) -> Result<Vec<Leftover>, MoveError> {
    let topology = servers.topology();
    let live: Vec<String> = Journal::new(home)
        .list()
        .await?
        .into_iter()
        .filter(|record| !record.phase().is_over())
        .map(|record| record.id().to_owned())
        .collect();
    let everybody_knows = home.behind(home.epoch().await?).await?.is_empty();
    let mut found = Vec::new();
    for area in topology.areas() {
        for shard in area.shards() {
            let cleaner = Cleaner {
                servers,
                shard,
                live: &live,
                everybody_knows,
            };
            found.extend(match servers.config_of(shard).engine() {
                EngineKind::Sqlite => cleaner.clean::<Sqlite>().await?,
                EngineKind::Postgres => cleaner.clean::<Postgres>().await?,
                EngineKind::MySql => cleaner.clean::<MySql>().await?,
            });
        }
    }
    Ok(found)
}

struct Cleaner<'c> {
    servers: &'c Servers,
    shard: ShardId,
    /// The moves that are not over.
    live: &'c [String],
    everybody_knows: bool,
}

impl Cleaner<'_> {
    fn leftover(&self, what: String, removed: bool) -> Leftover {
        Leftover {
            shard: self.shard,
            what,
            removed,
        }
    }

    async fn clean<DB: Relocating>(&self) -> Result<Vec<Leftover>, MoveError> {
        let mut connection = open::<DB>(self.servers.typed::<DB>(self.shard)?).await?;
        let mut found = Vec::new();
        let mut needed = false;
        for (table, what) in [("mdb_fence", "fences"), ("mdb_mover", "the mover's mark")] {
            let query = format!("SELECT move, count(*) FROM {table} GROUP BY move");
            for row in DB::query_own(&mut connection, &query, &[]).await? {
                let id = row.text(0)?.to_owned();
                // Fences of a finished move turn away who has not heard of it.
                let removable = !self.live.contains(&id) && self.everybody_knows;
                if removable {
                    let delete = format!("DELETE FROM {table} WHERE move = ?");
                    let values = [Value::from(id.as_str())];
                    DB::execute_own(&mut connection, &delete, &values).await?;
                } else {
                    needed = true;
                }
                found.push(self.leftover(format!("{what} of move {id}"), removable));
            }
        }
        let installed = DB::installed(&mut connection).await?;
        if !installed.is_empty() {
            let removable = !needed && self.live.is_empty();
            if removable {
                let nothing = Manifest::new(Vec::new());
                let disarmed = DB::disarm(&mut connection, &nothing, LOCK_LIMIT).await;
                disarmed.map_err(|error| match super::error::Trouble::of::<DB>(error) {
                    super::error::Trouble::Failed(error) => error,
                    super::error::Trouble::Busy => MoveError::Busy {
                        phase: "remove triggers",
                        waited: LOCK_LIMIT,
                    },
                })?;
            }
            found.extend(
                installed
                    .into_iter()
                    .map(|what| self.leftover(what, removable)),
            );
        }
        Ok(found)
    }
}
