//! After the flip: publish, wait until everybody knows, delete at the source. And undoing a move.

use super::batch::{Batch, LOCK_LIMIT};
use super::error::MoveError;
use super::groups::groups;
use super::pace::BatchPace;
use super::record::MovePhase;
use super::side::{forget_mover, owned_patiently};
use crate::catalog::Epoch;
use crate::config::Capture;
use crate::engine::relocating::{Commits, Pace, Relocating, Side};
use crate::engine::{Lanes, Value};

/// How many rows one transaction deletes. Where there is one writer at a time, others wait for it.
fn deleted_at_once<DB: Relocating>(pace: &BatchPace<'_>) -> u32 {
    let most = match DB::LANES {
        Lanes::One => 10_000,
        Lanes::WriterAndReaders => 4_000,
    };
    u32::try_from(pace.chunk(most).max(FEWEST_AT_ONCE)).unwrap_or(u32::MAX)
}

/// What makes up for a transaction, however slowly rows are to flow.
const FEWEST_AT_ONCE: u64 = 50;

/// So many rows of briefcases that go as a whole are deleted at once however slowly rows are to flow.
const FEW_ROWS: u64 = 300;

/// What becomes of the fences at the source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fences {
    Drop,
    Keep,
}

impl<DB: Relocating> Batch<'_, DB> {
    pub(super) async fn acknowledged_for_flip(&mut self) -> Result<(), MoveError> {
        self.heard(self.record.announced).await
    }

    /// Waits until every process whose lease holds knows `epoch`. Whoever has none goes by the fence.
    async fn heard(&mut self, epoch: Epoch) -> Result<(), MoveError> {
        let mut patience = self.patience("hear of all processes").closely();
        let waits = self.progress.waits(self.record.id());
        loop {
            let behind = self.home.behind(epoch).await?;
            let alive = behind.iter().filter(|router| router.is_alive);
            let waiting: Vec<String> = alive.map(ToString::to_string).collect();
            if waiting.is_empty() {
                return Ok(());
            }
            waits.are_for(&waiting);
            self.keep_going()?;
            patience.again().await.map_err(|error| match error {
                MoveError::Busy { waited, .. } => MoveError::Unacknowledged {
                    routers: waiting,
                    waited,
                },
                other => other,
            })?;
        }
    }

    /// Waits until nobody can come to the source any more who does not know that the briefcases have
    /// gone. Says whether everybody knows, nobody being shut out.
    async fn nobody_comes_late(&mut self) -> Result<bool, MoveError> {
        let epoch = self.record.published;
        loop {
            self.heard(epoch).await?;
            // From here on every new session is told; so those that are ended can't be replaced by
            // others that know as little.
            self.raise_least_epoch(epoch).await?;
            let behind = self.home.behind(epoch).await?;
            if behind.iter().any(|router| router.is_alive) {
                continue;
            }
            let mut has_come_back = false;
            for router in &behind {
                has_come_back |= !self.evict(&router.router).await?;
            }
            if !has_come_back {
                return Ok(behind.is_empty());
            }
        }
    }

    /// Shuts a process out that has not been heard of since its lease ran out: it has to register
    /// anew, and what it has sent, or is about to send, on its present connections is lost.
    ///
    /// It stays on the list: it may be asleep with connections to other servers, which have to be ended
    /// when briefcases leave those. Nothing is done, and the answer is no, if it has come back meanwhile.
    async fn evict(&mut self, router: &str) -> Result<bool, MoveError> {
        let mark = format!(
            "UPDATE mdb_router SET acknowledged = -1 WHERE router = ? AND lease_until <= {}",
            self.home.pool().now()
        );
        let values = [Value::from(router)];
        if self.home.execute(&mark, &values).await? == 0 {
            return Ok(false);
        }
        tracing::warn!(router, "shutting out a process that has not been heard of");
        for side in [Side::Source, Side::Target] {
            DB::end_sessions(self.connection(side), router).await?;
        }
        Ok(true)
    }

    /// Turns everybody away from the source, from now on, who knows less than `epoch`.
    async fn raise_least_epoch(&mut self, epoch: Epoch) -> Result<(), MoveError> {
        let epoch = i64::try_from(epoch.get()).unwrap_or(i64::MAX);
        owned_patiently!(
            self.side(Side::Source),
            "raise the least epoch",
            async |connection| {
                let least = "UPDATE mdb_shard SET least_epoch = ? WHERE least_epoch < ?";
                let values = [Value::Integer(epoch), Value::Integer(epoch)];
                DB::execute_own(connection, least, &values).await?;
                Ok(())
            }
        )
    }

    /// Tells everybody what was decided, and deletes what nobody looks for any more.
    pub(super) async fn publish_and_purge(&mut self) -> Result<(), MoveError> {
        if self.record.phase < MovePhase::Purging {
            let target = self.record.target().to_owned();
            let journal = self.journal();
            let published = journal
                .publish(
                    &self.record,
                    self.owner,
                    &self.ids,
                    MovePhase::Purging,
                    Some(&target),
                )
                .await?;
            self.record.published = published;
            self.entered(MovePhase::Purging);
        }
        self.shift = None;
        let all_know = self.nobody_comes_late().await?;
        self.shift = Some(self.run.shift().await);
        // Where sessions can't be ended, whoever comes late is turned away by the fence, for good.
        let fences = if all_know || DB::LANES == Lanes::One {
            Fences::Drop
        } else {
            Fences::Keep
        };
        self.refuse_written_past().await?;
        self.delete_at_source(fences).await?;
        let ending = self.run.ending(self.source).await;
        let others_need_them = ending.is_last() && !self.disarm_if_idle().await?;
        self.enter(MovePhase::Done).await?;
        ending.over();
        if others_need_them {
            // They may have ended meanwhile, and have left the triggers because of this one, which is over whatever
            // comes of that.
            if let Err(error) = self.disarm_if_idle().await {
                tracing::info!(
                    error = %crate::error::chain(&error),
                    "it is not known whether the triggers are needed; they stay until the next move or `mdb move clean`"
                );
            }
        }
        Ok(())
    }

    /// Deletes what has moved away; the last transaction also removes what stands there of the move.
    async fn delete_at_source(&mut self, fences: Fences) -> Result<(), MoveError> {
        let pace = BatchPace::new(self.progress, self.options);
        let (manifest, id, ids) = (self.manifest, self.record.id.clone(), self.ids.clone());
        let limit = deleted_at_once::<DB>(&pace);
        // Whole briefcases go sooner than a part of their rows is found.
        let most = u64::from(limit).max(FEW_ROWS);
        let mut groups = groups(&ids, &self.verified, most).into_iter();
        let mut group = groups.next();
        // What a loss of power brings back is deleted again.
        self.set_commits_at_source(Commits::Unforced).await?;
        loop {
            let next = groups.next();
            let mut source = self.side(Side::Source);
            let is_empty = owned_patiently!(source, "delete rows", async |connection| {
                if let Some(group) = group {
                    DB::delete_all(connection, manifest, &id, group.ids).await?;
                }
                if next.is_some() {
                    return Ok(false);
                }
                // What is left: of briefcases that have many rows, or were not verified by this process.
                let deleted = DB::delete_some(connection, manifest, &id, limit).await?;
                if deleted >= u64::from(limit) {
                    return Ok(false);
                }
                if fences == Fences::Drop {
                    DB::lock_exclusive(connection, &ids, LOCK_LIMIT).await?;
                    let forget = "DELETE FROM mdb_fence WHERE move = ?";
                    DB::execute_own(connection, forget, &[Value::from(&id)]).await?;
                }
                forget_mover::<DB>(connection, &id).await?;
                Ok(true)
            });
            if is_empty? {
                // Before the journal forgets it.
                return self.set_commits_at_source(Commits::Forced).await;
            }
            self.keep_going()?;
            let deleted = group.map_or(u64::from(limit), |group| group.rows);
            pace.rest(pace.deleted(deleted), DB::LANES).await?;
            group = next;
        }
    }

    async fn set_commits_at_source(&mut self, commits: Commits) -> Result<(), MoveError> {
        let mut patience = self.patience("force deletions to the disk");
        while let Err(error) = DB::set_commits(&mut self.pair.source, commits).await {
            patience.after::<DB>(error).await?;
        }
        Ok(())
    }

    /// Deletes the half copy.
    async fn delete_at_target(&mut self) -> Result<(), MoveError> {
        let pace = BatchPace::new(self.progress, self.options);
        let (manifest, id) = (self.manifest, self.record.id.clone());
        let limit = deleted_at_once::<DB>(&pace);
        loop {
            let mut target = self.side(Side::Target);
            let found = owned_patiently!(target, "delete rows", async |connection| {
                DB::delete_some(connection, manifest, &id, limit).await
            });
            if self.is_last_part(found?, limit, &pace).await? {
                return Ok(());
            }
        }
    }

    /// Removes what is recorded of the briefcases, but for what comes meanwhile: that of change tables that are there.
    async fn forget_most(&mut self, armed: &[String]) -> Result<(), MoveError> {
        // Others may change rows faster than a slow move flows.
        let pace = BatchPace::hurried(self.progress);
        let (manifest, id) = (self.manifest, self.record.id.clone());
        let limit = deleted_at_once::<DB>(&pace);
        for table in manifest.tables() {
            let mut is_over = !armed.contains(&table.change_table());
            while !is_over {
                let mut source = self.side(Side::Source);
                let found = owned_patiently!(source, "forget changes", async |connection| {
                    Ok(DB::forget_some(connection, table, &id, limit).await?)
                });
                is_over = self.is_last_part(found?, limit, &pace).await?;
            }
        }
        Ok(())
    }

    /// Whether a part was the last one, in which so many of at most `limit` were found; rests after any other.
    async fn is_last_part(
        &mut self,
        found: u64,
        limit: u32,
        pace: &BatchPace<'_>,
    ) -> Result<bool, MoveError> {
        if found < u64::from(limit) {
            return Ok(true);
        }
        self.keep_going()?;
        pace.rest(pace.deleted(limit.into()), DB::LANES).await?;
        Ok(false)
    }

    /// Has the triggers fire no more where no other move needs them, if they are not to stay. Whether none did on either
    /// shard.
    async fn disarm_if_idle(&mut self) -> Result<bool, MoveError> {
        if self.capture == Capture::Always {
            return Ok(true);
        }
        let target_is_idle = self.is_idle(Side::Target).await?;
        let source_is_idle = self.is_idle(Side::Source).await?;
        let [source, target] = self.sides();
        // What fences need stays: whoever removes triggers looks for those.
        tokio::join!(
            async {
                if target_is_idle {
                    target.disarm().await;
                }
            },
            async {
                if source_is_idle {
                    source.disarm().await;
                }
            }
        );
        Ok(target_is_idle && source_is_idle)
    }

    /// Whether no other move of the area needs the triggers of that shard.
    async fn is_idle(&mut self, side: Side) -> Result<bool, MoveError> {
        let others = "SELECT count(*) FROM mdb_move WHERE area = ? AND (source = ? OR target = ?) \
             AND move <> ? AND phase NOT IN (5, 7)";
        let shard = match side {
            Side::Source => self.record.source(),
            Side::Target => self.record.target(),
        };
        let values = [
            Value::from(self.record.area()),
            Value::from(shard),
            Value::from(shard),
            Value::from(&self.record.id),
        ];
        let rows = self.home.query(others, &values).await?;
        Ok(rows.first().ok_or(sqlx::Error::RowNotFound)?.integer(0)? == 0)
    }

    /// Undoes everything. Only before the flip.
    pub(super) async fn abort(&mut self) -> Result<(), MoveError> {
        let heartbeat = self.journal().heartbeat(self.record.id.clone(), self.owner);
        tokio::select! {
            end = self.undo() => end,
            never = heartbeat => match never {},
        }
    }

    async fn undo(&mut self) -> Result<(), MoveError> {
        self.claim().await?;
        if self.is_flipped().await? {
            return Err(MoveError::WrongPhase {
                phase: self.record.phase,
                advice: "it has passed its commit point: resume it, and move the briefcases back by another move",
            });
        }
        if self.record.phase < MovePhase::Copying {
            // Nothing was copied: what is at the target is not the move's to delete. First, so that
            // aborting once more does not find it either.
            self.side(Side::Target).free().await?;
        }
        self.journal()
            .enter(&self.record.id, self.owner, MovePhase::Aborting)
            .await?;
        self.record.phase = MovePhase::Aborting;
        self.spare_checks_of_deletions(Side::Target).await;
        self.delete_at_target().await?;
        let (id, ids) = (Value::from(&self.record.id), self.ids.clone());
        let armed = DB::installed(&mut self.pair.source).await?.names;
        let manifest = self.manifest;
        self.forget_most(&armed).await?;
        owned_patiently!(
            self.side(Side::Source),
            "lift the fence",
            async |connection| {
                DB::lock_exclusive(connection, &ids, LOCK_LIMIT).await?;
                // Others wait meanwhile, so most of it has gone before.
                for table in manifest.tables() {
                    let name = table.change_table();
                    if armed.contains(&name) {
                        let forget = format!(
                            "DELETE FROM {name} WHERE gdid IN (SELECT gdid FROM mdb_fence WHERE move = ?)"
                        );
                        DB::execute_own(connection, &forget, std::slice::from_ref(&id)).await?;
                    }
                }
                let lift = "DELETE FROM mdb_fence WHERE move = ?";
                DB::execute_own(connection, lift, std::slice::from_ref(&id)).await?;
                Ok(())
            }
        )?;
        self.side(Side::Target).free().await?;
        for side in [Side::Target, Side::Source] {
            self.side(side).forget_mover().await?;
        }
        let journal = self.journal();
        journal
            .publish(
                &self.record,
                self.owner,
                &self.ids,
                MovePhase::Aborted,
                None,
            )
            .await?;
        self.record.phase = MovePhase::Aborted;
        self.disarm_if_idle().await?;
        Ok(())
    }
}
