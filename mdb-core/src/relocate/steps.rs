//! From the announcement to the last round of catching up.

use std::time::{Duration, Instant};

use mdb_gdid::Gdid;

use super::batch::{Batch, LOCK_LIMIT, count_fences};
use super::error::MoveError;
use super::fail::pass;
use super::journal::{NAMED_AT_ONCE, repeated};
use super::record::MovePhase;
use super::report::{BatchPace, MoveReport, TableReceipt};
use crate::engine::Value;
use crate::engine::relocating::{FenceState, MoveId, Relocating, Side, StepError};

/// How few changes are left to the fenced window.
const FEW_CHANGES: u64 = 50;
/// After how many rounds of catching up the fence is tried in any case.
const ROUNDS: usize = 20;

impl<DB: Relocating> Batch<'_, DB> {
    /// Runs the move from where it is to its end.
    pub(super) async fn run(&mut self) -> Result<MoveReport, MoveError> {
        let journal = self.journal();
        let (id, owner) = (self.record.id.clone(), self.owner);
        let heartbeat = async move {
            loop {
                tokio::time::sleep(super::journal::MOVER_LEASE / 3).await;
                if let Err(error) = journal.beat(&id, owner).await {
                    tracing::debug!(error = %crate::error::chain(&error), "could not renew the mover's lease");
                }
            }
        };
        tokio::select! {
            end = self.all_phases() => end,
            never = heartbeat => never,
        }
    }

    async fn all_phases(&mut self) -> Result<MoveReport, MoveError> {
        self.claim().await?;
        let mut pause = Duration::ZERO;
        let mut receipt = Vec::new();
        if self.is_flipped().await? {
            self.land().await?;
        } else {
            if self.record.phase < MovePhase::Announced {
                let journal = self.journal();
                let taken = journal.others(&self.record).await?;
                if self.ids.iter().any(|id| taken.contains(id)) {
                    return Err(MoveError::Conflict);
                }
                let announced = journal
                    .announce(&self.record, self.owner, &self.ids)
                    .await?;
                self.record.announced = announced;
                self.record.phase = MovePhase::Announced;
                self.progress.set_phase(MovePhase::Announced);
            }
            self.acknowledged_for_flip().await?;
            let is_first = self.record.phase < MovePhase::Copying;
            self.capture(is_first).await?;
            self.enter(MovePhase::Copying).await?;
            self.copy().await?;
            (pause, receipt) = self.flip().await?;
            let text = serde_json::to_string(&receipt).expect("texts and numbers");
            let (journal, id) = (self.journal(), self.record.id.clone());
            let keep = journal.receipt(&id, self.owner, &text);
            let (kept, landed) = tokio::join!(keep, self.land());
            landed?;
            kept?;
        }
        self.progress.arrived(self.ids.len(), pause);
        self.publish_and_purge().await?;
        Ok(MoveReport {
            id: self.record.id().to_owned(),
            briefcases: self.ids.len(),
            rows: receipt.iter().map(|table: &TableReceipt| table.rows).sum(),
            pause,
            tables: receipt,
        })
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

    /// Has the source record every change of the briefcases from now on.
    async fn capture(&mut self, is_first: bool) -> Result<(), MoveError> {
        self.arm().await?;
        let reserved = self.reserve_target(is_first).await;
        if let Err(MoveError::Strays { .. } | MoveError::Conflict) = reserved {
            // Whose rows they are is for others to find out, and to mend.
            self.free_target().await?;
        }
        reserved?;
        let (id, ids) = (self.record.id.clone(), self.ids.clone());
        self.owned_patiently(Side::Source, "record changes", async |connection| {
            DB::lock_exclusive(connection, &ids, LOCK_LIMIT).await?;
            put_fences::<DB>(connection, &id, &ids, FenceState::Capturing).await
        })
        .await?
        .then_some(())
        .ok_or(MoveError::Conflict)?;
        // Another move that ended meanwhile may have taken the triggers away.
        self.arm().await
    }

    /// Lets nobody but this move write the briefcases at the target.
    async fn reserve_target(&mut self, is_first: bool) -> Result<(), MoveError> {
        let (id, ids) = (self.record.id.clone(), self.ids.clone());
        self.owned_patiently(Side::Target, "reserve the target", async |connection| {
            for ids in ids.chunks(NAMED_AT_ONCE) {
                // From an earlier stay here.
                let forget = format!(
                    "DELETE FROM mdb_fence WHERE gdid IN ({}) AND state = 3",
                    repeated("?", ids.len())
                );
                let named: Vec<Value> = ids.iter().map(|id| Value::from(*id)).collect();
                DB::execute_own(connection, &forget, &named).await?;
            }
            put_fences::<DB>(connection, &id, &ids, FenceState::Receiving).await
        })
        .await?
        .then_some(())
        .ok_or(MoveError::Conflict)?;
        if is_first {
            self.refuse_strays().await?;
        }
        Ok(())
    }

    /// Takes that back.
    pub(super) async fn free_target(&mut self) -> Result<(), MoveError> {
        let id = Value::from(&self.record.id);
        self.owned_patiently(Side::Target, "free the target", async |connection| {
            let free = "DELETE FROM mdb_fence WHERE move = ? AND state = 4";
            DB::execute_own(connection, free, std::slice::from_ref(&id)).await?;
            Ok(())
        })
        .await
    }

    async fn arm(&mut self) -> Result<(), MoveError> {
        let mut patience = self.patience("install triggers");
        let manifest = self.manifest;
        // At the target they turn away who takes half a copy for the briefcase.
        for side in [Side::Target, Side::Source] {
            while let Err(error) = pass(DB::arm(self.connection(side), manifest, LOCK_LIMIT)).await
            {
                patience.after::<DB>(error).await?;
                self.keep_going()?;
            }
        }
        Ok(())
    }

    pub(super) async fn copy(&mut self) -> Result<(), MoveError> {
        let pace = BatchPace::new(self.progress, self.options);
        let mut patience = self.patience("copy rows");
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
        let pace = BatchPace::new(self.progress, self.options);
        let mut patience = self.patience("catch up");
        let (manifest, owner) = (self.manifest, self.owner);
        let id = self.record.id.clone();
        let mut rounds = 0;
        while rounds < ROUNDS {
            match pass(DB::catch_up(&mut self.pair, manifest, &id, owner, &pace)).await {
                Ok(taken) if taken <= FEW_CHANGES => return Ok(()),
                Ok(_) => rounds += 1,
                Err(error) => patience.after::<DB>(error).await?,
            }
            self.keep_going()?;
        }
        Ok(())
    }

    /// Catches up to the very last change, while nobody makes new ones.
    pub(super) async fn drain(&mut self, until: Instant) -> Result<(), StepError> {
        let pace = BatchPace::hurried(self.progress);
        let (manifest, owner) = (self.manifest, self.owner);
        let id = self.record.id.clone();
        loop {
            let caught_up = DB::catch_up(&mut self.pair, manifest, &id, owner, &pace);
            let taken = pass(caught_up).await?;
            if taken == 0 {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(StepError::Busy);
            }
        }
    }
}

/// Writes the fences of a move where there are none; whether all of them are this move's then.
async fn put_fences<DB: Relocating>(
    connection: &mut DB::Connection,
    id: &MoveId,
    ids: &[Gdid],
    state: FenceState,
) -> Result<bool, StepError> {
    for ids in ids.chunks(NAMED_AT_ONCE) {
        let row = format!("(?, ?, {}, 0, NULL, 0, 0)", state as i64);
        let insert = format!(
            "INSERT INTO mdb_fence (gdid, move, state, deadline, target, epoch, landed) VALUES {}",
            repeated(&row, ids.len())
        );
        let pairs = ids
            .iter()
            .flat_map(|briefcase| [Value::from(*briefcase), Value::from(id)]);
        let pairs: Vec<Value> = pairs.collect();
        DB::execute_own(connection, &DB::insert_if_absent(&insert, "move"), &pairs).await?;
    }
    let own = count_fences::<DB>(connection, Value::from(id), "1, 2, 4").await?;
    Ok(own == ids.len())
}
