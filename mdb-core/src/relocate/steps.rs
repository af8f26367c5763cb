//! From the announcement to the last round of catching up.

use std::time::{Duration, Instant};

use super::batch::Batch;
use super::error::MoveError;
use super::fail::pass;
use super::pace::BatchPace;
use super::record::MovePhase;
use super::report::{MoveReport, TableReceipt};
use crate::engine::relocating::{Relocating, Side, StepError, Taken, Touched};

/// How few changes are left to the fenced window.
const FEW_CHANGES: u64 = 50;
/// After how many rounds of catching up the fence is tried in any case.
const ROUNDS: usize = 20;

impl<DB: Relocating> Batch<'_, DB> {
    /// Runs the move from where it is to its end.
    pub(super) async fn run(&mut self) -> Result<MoveReport, MoveError> {
        let heartbeat = self.journal().heartbeat(self.record.id.clone(), self.owner);
        let end = tokio::select! {
            end = self.all_phases() => end,
            never = heartbeat => match never {},
        };
        match end {
            // What the server says of it need not tell that somebody has changed the tables.
            Err(MoveError::Database(_) | MoveError::OnShard { .. })
                if matches!(self.record.phase, MovePhase::Copying | MovePhase::Flipping)
                    && self.is_altered().await =>
            {
                Err(MoveError::Altered)
            }
            end => end,
        }
    }

    async fn all_phases(&mut self) -> Result<MoveReport, MoveError> {
        let is_announced = self.record.phase >= MovePhase::Announced;
        if is_announced {
            self.claim().await?;
        } else {
            self.announce().await?;
        }
        let mut pause = Duration::ZERO;
        let receipt: Vec<TableReceipt>;
        if is_announced && self.is_flipped().await? {
            self.spare_checks_of_deletions(Side::Source).await;
            self.land().await?;
            receipt = self.kept_receipt().await?;
        } else {
            DB::spare_checks(&mut self.pair, self.manifest, &self.record.id).await?;
            self.acknowledged_for_flip().await?;
            // In this order: nobody who waits for the turn keeps another one from its work.
            self.turn = Some(self.run.turn().await);
            self.shift = Some(self.run.shift().await);
            self.keep_going()?;
            self.capture().await?;
            self.enter(MovePhase::Copying).await?;
            self.copy().await?;
            self.turn = None;
            (pause, receipt) = self.flip().await?;
            let details = self.record.details.with_receipt(&receipt);
            let (journal, id) = (self.journal(), self.record.id.clone());
            let keep = journal.keep_details(&id, self.owner, &details);
            let (kept, landed) = tokio::join!(keep, self.land());
            landed?;
            kept?;
        }
        self.progress.arrived(self.ids.len(), pause);
        self.publish_and_purge().await?;
        Ok(MoveReport {
            id: self.record.id().to_owned(),
            briefcases: self.ids.len(),
            rows: receipt.iter().map(|table| table.rows).sum(),
            pause,
            tables: receipt,
        })
    }

    /// What whoever decided the move has verified. If it died before it had kept that, the source still has all of it.
    async fn kept_receipt(&mut self) -> Result<Vec<TableReceipt>, MoveError> {
        let kept = self.record.receipt();
        if !kept.is_empty() || self.record.phase >= MovePhase::Purging {
            return Ok(kept);
        }
        match self.sums_at_source().await {
            Ok(sums) => {
                let receipt = self.receipt(&sums);
                let details = self.record.details.with_receipt(&receipt);
                let (journal, id) = (self.journal(), self.record.id.clone());
                journal.keep_details(&id, self.owner, &details).await?;
                Ok(receipt)
            }
            Err(MoveError::Stopped) => Err(MoveError::Stopped),
            // What is decided comes to its end whatever has become of the tables.
            Err(error) => {
                tracing::warn!(id = self.record.id(), error = %crate::error::chain(&error), "the move will have no receipt");
                Ok(kept)
            }
        }
    }

    /// Whether the commit point has been passed: the source's own fences say so.
    pub(super) async fn is_flipped(&mut self) -> Result<bool, MoveError> {
        let mut patience = self.patience("read its fences");
        loop {
            match self.fences(Side::Source, "3").await {
                // Once everything is purged, the fences are gone; the journal knows.
                Ok(moved) => {
                    let decided = matches!(self.record.phase, MovePhase::Purging | MovePhase::Done);
                    return Ok(moved > 0 || decided);
                }
                Err(error) => patience.after::<DB>(error).await?,
            }
        }
    }

    /// Has the source record every change of the briefcases from now on, and lets nobody but this move write
    /// them at the target.
    async fn capture(&mut self) -> Result<(), MoveError> {
        let (manifest, ids) = (self.manifest, self.ids.clone());
        let is_first = self.record.phase < MovePhase::Copying;
        if !is_first {
            self.still_has_fences().await?;
        }
        let [mut source, mut target] = self.sides();
        let reserve = async {
            if is_first {
                target.reserve_blank(manifest, &ids).await
            } else {
                target.reserve(manifest, &ids).await
            }
        };
        // Both to their end: a transaction must not be left halfway.
        let (captured, reserved) = tokio::join!(source.capture(manifest, &ids), reserve);
        reserved?;
        captured?;
        self.remember_tables().await
    }

    /// Makes sure that both sides have the fences that every move has which has come as far as copying, and is not decided.
    ///
    /// Otherwise one of them, or the catalog, is as it was earlier. The move may have ended since, and the briefcases may be
    /// nowhere but at the target.
    async fn still_has_fences(&mut self) -> Result<(), MoveError> {
        let mut patience = self.patience("read its fences");
        for (side, states) in [(Side::Source, "1, 2"), (Side::Target, "4")] {
            let found = loop {
                match self.fences(side, states).await {
                    Ok(found) => break found,
                    Err(error) => patience.after::<DB>(error).await?,
                }
            };
            if found < self.ids.len() {
                let shard = match side {
                    Side::Source => self.record.source(),
                    Side::Target => self.record.target(),
                };
                return Err(MoveError::FencesLost {
                    shard: shard.to_owned(),
                });
            }
        }
        Ok(())
    }

    pub(super) async fn copy(&mut self) -> Result<(), MoveError> {
        let pace = BatchPace::new(self.progress, self.options);
        let mut patience = self.patience("copy rows").between(self.pools);
        let (manifest, owner) = (self.manifest, self.owner);
        let id = self.record.id.clone();
        loop {
            match pass(DB::copy(&mut self.pair, manifest, &id, owner, &pace)).await {
                Ok(copied) => {
                    self.copied = copied.rows;
                    return Ok(());
                }
                Err(error) => patience.after::<DB>(error).await?,
            }
            self.keep_going()?;
        }
    }

    /// Applies what was recorded, until little is left.
    pub(super) async fn catch_up(&mut self) -> Result<(), MoveError> {
        for _ in 0..ROUNDS {
            if self.catch_up_once().await?.records <= FEW_CHANGES {
                break;
            }
        }
        Ok(())
    }

    /// Applies what is recorded now.
    pub(super) async fn catch_up_once(&mut self) -> Result<Taken, MoveError> {
        let pace = BatchPace::new(self.progress, self.options);
        let mut patience = self.patience("catch up").between(self.pools);
        let (manifest, owner) = (self.manifest, self.owner);
        let id = self.record.id.clone();
        loop {
            match pass(DB::catch_up(&mut self.pair, manifest, &id, owner, &pace)).await {
                Ok(taken) => {
                    self.keep_going()?;
                    return Ok(taken);
                }
                Err(error) => patience.after::<DB>(error).await?,
            }
            self.keep_going()?;
        }
    }

    /// Catches up to the very last change, while nobody makes new ones: where few were left, one round takes them all.
    /// Should there be another one all the same, it is found when the move is decided.
    /// Says what each round has touched.
    pub(super) async fn drain(&mut self, until: Instant) -> Result<Vec<Touched>, StepError> {
        let pace = BatchPace::hurried(self.progress);
        let (manifest, owner) = (self.manifest, self.owner);
        let id = self.record.id.clone();
        let mut touched = Vec::new();
        loop {
            let caught_up = DB::catch_up(&mut self.pair, manifest, &id, owner, &pace);
            let taken = pass(caught_up).await?;
            touched.push(taken.touched);
            if taken.records <= FEW_CHANGES {
                return Ok(touched);
            }
            if Instant::now() >= until {
                return Err(StepError::Busy);
            }
        }
    }
}
