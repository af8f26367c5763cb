//! Foreign keys of moved rows to what does not move along: reference data, or another briefcase's rows.
//!
//! A mover's session brings rows without such checks where the engine can't leave out some of them only. So they are
//! made up for before the move is decided.

use super::batch::Batch;
use crate::engine::Value;
use crate::engine::relocating::{OutwardKey, QUERIES_AT_ONCE, Relocating, Span};

impl<DB: Relocating> Batch<'_, DB> {
    /// A foreign key by which a row of the move at the target refers to nothing, in a span.
    pub(super) async fn dangling(
        &mut self,
        span: Span,
    ) -> Result<Option<&OutwardKey>, sqlx::Error> {
        let manifest = self.manifest;
        let outward = manifest.outward();
        if DB::CHECKS_OUTWARD || outward.is_empty() {
            return Ok(None);
        }
        let [first, last] = span.ends().map(Value::from);
        let values = [Value::from(&self.record.id), first, last];
        for (chunk, begin) in outward
            .chunks(QUERIES_AT_ONCE)
            .zip((0..).step_by(QUERIES_AT_ONCE))
        {
            let queries = chunk.iter().zip(begin..).map(|(outward, place)| {
                let joined = manifest.joined_to::<DB>(&manifest.tables()[outward.table], "t", "f.gdid");
                format!(
                    "SELECT only_row * {place} FROM mdb_shard WHERE EXISTS (SELECT 1 FROM mdb_fence f {joined} \
                     WHERE f.move = ? AND f.gdid >= ? AND f.gdid <= ? AND {})",
                    outward.dangles::<DB>("t")
                )
            });
            let queries: Vec<String> = queries.collect();
            let query = queries.join(" UNION ALL ");
            let values: Vec<Value> = chunk.iter().flat_map(|_| values.clone()).collect();
            let found = DB::query_own(&mut self.pair.target, &query, &values).await?;
            let place = found.first().map(|row| row.integer(0)).transpose()?;
            let place = place.and_then(|place| usize::try_from(place).ok());
            if let Some(outward) = place.and_then(|place| outward.get(place)) {
                return Ok(Some(outward));
            }
        }
        Ok(None)
    }

    /// Those of `spans`, which ascend, in which nothing dangles.
    pub(super) async fn holding(&mut self, spans: &[Span]) -> Result<Vec<Span>, sqlx::Error> {
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else {
            return Ok(Vec::new());
        };
        if self.dangling(first.to(*last)).await?.is_none() {
            return Ok(spans.to_vec());
        }
        let mut holding = Vec::new();
        for span in spans {
            if self.dangling(*span).await?.is_none() {
                holding.push(*span);
            }
        }
        Ok(holding)
    }
}
