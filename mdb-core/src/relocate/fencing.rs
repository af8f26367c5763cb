//! The fenced window: drain, verify, flip; and the arrival.

use std::time::{Duration, Instant};

use super::batch::{Batch, LOCK_LIMIT, busy};
use super::error::{MoveError, Trouble};
use super::fail::pass;
use super::record::MovePhase;
use super::report::TableReceipt;
use super::side::{forget_mover, owned_patiently};
use crate::engine::Value;
use crate::engine::relocating::{
    COUNT_FLIP, Relocating, Side, Span, StepError, TableSum, Turn, take,
};

/// How many differing rows are named.
const NAMED_DIFFERENCES: u32 = 5;
/// How often a difference is looked into by copying anew before it is reported.
const COPIES: u32 = 2;

impl<DB: Relocating> Batch<'_, DB> {
    /// Fences the briefcases, brings the target to the last change, verifies, and flips. Says for
    /// how long they were fenced, and what was verified.
    pub(super) async fn flip(&mut self) -> Result<(Duration, Vec<TableReceipt>), MoveError> {
        let mut patience = self.patience("fence the briefcases").on(self.pools[0]);
        let mut copies = 1;
        loop {
            self.catch_up().await?;
            let mut verified = self.verify_and_enter_flipping().await?;
            let fenced_at = loop {
                self.verify_again(&mut verified).await?;
                let fenced_at = Instant::now();
                match self.fence().await {
                    Ok(()) => break fenced_at,
                    Err(error) => patience.after::<DB>(error).await?,
                }
                self.keep_going()?;
            };
            match self.in_the_window(fenced_at, &verified).await {
                Ok(Some(sums)) => {
                    let pause = fenced_at.elapsed();
                    let receipt = self.receipt(&sums);
                    return Ok((pause, receipt));
                }
                Ok(None) => {
                    self.lift().await?;
                    // As it was under the fence: the target is as the last change left it.
                    if let Some(outward) = self.dangling(Span::ALL).await? {
                        return Err(MoveError::Dangling {
                            table: outward.key.table.clone(),
                            key: outward.key.to_string(),
                            referred: outward.key.referred.clone(),
                        });
                    }
                    copies += 1;
                    if copies > COPIES {
                        return Err(self.mismatch().await?);
                    }
                    self.copy_anew().await?;
                }
                Err(error) => match Trouble::of::<DB>(error) {
                    Trouble::Failed(error) => return Err(error),
                    Trouble::FailedAt(side, error) => return Err(self.failed_at(side, error)),
                    Trouble::Busy if fenced_at.elapsed() < self.options.longest_pause() => {
                        self.lift().await?;
                        patience.again().await?;
                    }
                    Trouble::Busy => {
                        self.lift().await?;
                        let tired = patience.after_own_work().await;
                        tired.map_err(|_| MoveError::Window {
                            pause: self.options.longest_pause(),
                        })?;
                    }
                },
            }
        }
    }

    /// Verifies what there is before the fence, while the journal takes its word for that.
    async fn verify_and_enter_flipping(&mut self) -> Result<Vec<(Span, Vec<TableSum>)>, MoveError> {
        let (journal, id, owner) = (self.journal(), self.record.id.clone(), self.owner);
        self.keep_going()?;
        self.progress.set_phase(MovePhase::Flipping);
        let entering = journal.enter(&id, owner, MovePhase::Flipping);
        let (entered, verified) = tokio::join!(entering, self.verify_beforehand());
        entered?;
        self.entered(MovePhase::Flipping);
        verified
    }

    /// Waits, not for long, until nobody uses the briefcases, and lets nobody use them until the
    /// deadline.
    async fn fence(&mut self) -> Result<(), StepError> {
        let pause = self.options.longest_pause().as_millis();
        let milliseconds = i64::try_from(pause).unwrap_or(i64::MAX);
        let Some(seen) = self.seen.clone() else {
            return Err(StepError::Altered);
        };
        let as_they_were = seen.shape();
        let others = as_they_were.has_still_others::<DB>(&mut self.pair.source);
        if !others.await.map_err(busy::<DB>)? {
            return Err(StepError::Altered);
        }
        self.take_turn(Turn::Fence {
            milliseconds,
            as_they_were,
            glance: seen.glance(),
        })
        .await
    }

    /// A transaction at the source, which waits, not for long, until nobody uses the briefcases.
    async fn take_turn(&mut self, turn: Turn<'_>) -> Result<(), StepError> {
        let (manifest, id, ids) = (self.manifest, self.record.id.clone(), self.ids.clone());
        let (owner, source) = (self.owner, &mut self.pair.source);
        let at_once = async {
            let done = DB::turn_at_once(source, manifest, &id, owner, &ids, turn).await;
            done.transpose()
        };
        if pass(at_once).await?.is_some() {
            return Ok(());
        }
        self.side(Side::Source)
            .owned(async |connection| {
                DB::lock_exclusive(connection, &ids, LOCK_LIMIT).await?;
                take::<DB>(connection, manifest, &id, &ids, turn).await
            })
            .await
    }

    /// What was summed and is moved now; `None` when the two sides differ.
    async fn in_the_window(
        &mut self,
        fenced_at: Instant,
        verified: &[(Span, Vec<TableSum>)],
    ) -> Result<Option<Vec<TableSum>>, StepError> {
        let until = fenced_at + self.options.longest_pause();
        let Some(sums) = self.drain_and_verify(until, verified).await? else {
            return Ok(None);
        };
        if Instant::now() >= until {
            return Err(StepError::Busy);
        }
        self.decide().await?;
        Ok(Some(sums))
    }

    /// The commit point.
    async fn decide(&mut self) -> Result<(), StepError> {
        let target = self.record.target().to_owned();
        let epoch = i64::try_from(self.record.announced().get()).unwrap_or(i64::MAX);
        let target = target.as_str();
        self.take_turn(Turn::Flip { target, epoch }).await
    }

    /// Lets everybody go on at the source.
    async fn lift(&mut self) -> Result<(), MoveError> {
        let id = Value::from(&self.record.id);
        owned_patiently!(
            self.side(Side::Source),
            "lift the fence",
            async |connection| {
                let lift =
                    "UPDATE mdb_fence SET state = 1, deadline = 0 WHERE move = ? AND state = 2";
                DB::execute_own(connection, lift, std::slice::from_ref(&id))
                    .await
                    .map_err(busy::<DB>)?;
                Ok(())
            }
        )
    }

    /// Copies everything again, in case a change was made past the triggers.
    async fn copy_anew(&mut self) -> Result<(), MoveError> {
        tracing::warn!(
            id = self.record.id(),
            "source and target differ after catching up; copying anew"
        );
        self.copy().await
    }

    /// Which rows differ.
    async fn mismatch(&mut self) -> Result<MoveError, MoveError> {
        let (manifest, id) = (self.manifest, self.record.id.clone());
        let mut first = None;
        for table in manifest.tables() {
            let keys =
                DB::differences(&mut self.pair, manifest, table, &id, NAMED_DIFFERENCES).await?;
            if !keys.is_empty() {
                first = Some((table.name.clone(), keys));
                break;
            }
        }
        let (table, keys) = match first {
            Some(first) => first,
            None => (self.table_with_other_sums().await?, Vec::new()),
        };
        Ok(MoveError::Mismatch { table, keys })
    }

    async fn table_with_other_sums(&mut self) -> Result<String, MoveError> {
        let (manifest, id) = (self.manifest, &self.record.id);
        let here = DB::sums(&mut self.pair.source, manifest, id, &[Span::ALL]).await?;
        let there = DB::sums(&mut self.pair.target, manifest, id, &[Span::ALL]).await?;
        let sums = here.into_iter().flatten().zip(there.into_iter().flatten());
        let mut tables = manifest.tables().iter().zip(sums);
        let other = tables.find(|(_, (here, there))| here != there);
        let tables = manifest.tables().iter();
        Ok(match other {
            Some((table, _)) => table.name.clone(),
            None => tables
                .map(|table| table.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    pub(super) fn receipt(&self, sums: &[TableSum]) -> Vec<TableReceipt> {
        let tables = self.manifest.tables().iter().zip(sums);
        tables
            .map(|(table, sum)| TableReceipt {
                table: table.name.clone(),
                rows: sum.rows,
                checksum: format!("{:032x}", sum.sum),
            })
            .collect()
    }

    /// Completes the arrival at the target: what the source has decided, holds there too. That is the move's last work
    /// there, so its mark goes along.
    pub(super) async fn land(&mut self) -> Result<(), MoveError> {
        let move_id = &self.record.id.clone();
        let id = Value::from(move_id);
        owned_patiently!(
            self.side(Side::Target),
            "open the target",
            async |connection| {
                let arrive = "DELETE FROM mdb_fence WHERE move = ? AND state = 4";
                DB::execute_own(connection, arrive, std::slice::from_ref(&id)).await?;
                DB::execute_own(connection, COUNT_FLIP, &[]).await?;
                forget_mover::<DB>(connection, move_id).await
            }
        )?;
        owned_patiently!(
            self.side(Side::Source),
            "note the arrival",
            async |connection| {
                let landed = "UPDATE mdb_fence SET landed = 1 WHERE move = ? AND state = 3";
                DB::execute_own(connection, landed, std::slice::from_ref(&id)).await?;
                Ok(())
            }
        )
    }
}
