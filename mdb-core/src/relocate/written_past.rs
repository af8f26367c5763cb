//! Writes at the source that were refused and kept.

use super::batch::{Batch, busy};
use super::error::MoveError;
use super::patience::place_of;
use crate::engine::relocating::Relocating;

impl<DB: Relocating> Batch<'_, DB> {
    /// Before anything is deleted at the source: nothing there was written since nobody was to.
    pub(super) async fn refuse_written_past(&mut self) -> Result<(), MoveError> {
        let [source, _] = self.pools;
        let mut patience = self.patience("look for late changes").on(source);
        let found = loop {
            let (source, id) = (&mut self.pair.source, &self.record.id);
            match DB::written_past(source, self.manifest, id).await {
                Ok(found) => break found,
                Err(error) => patience.after::<DB>(busy::<DB>(error)).await?,
            }
            self.keep_going()?;
        };
        if found.is_empty() {
            return Ok(());
        }
        let tables = found.iter();
        let tables = tables.map(|table| {
            format!(
                "table `{}` (their keys: `{}`)",
                table.name,
                table.change_table()
            )
        });
        Err(MoveError::WrittenPast {
            shard: place_of(source),
            tables: tables.collect(),
        })
    }
}
