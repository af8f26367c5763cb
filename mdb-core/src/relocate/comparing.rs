//! Verification: whether source and target have the same rows.
//!
//! Briefcases can't be used while they are verified under the fence, so they are verified before it, in
//! **spans** of ids. Under the fence only the spans are verified again in which something was recorded since.

use std::time::Instant;

use super::batch::{Batch, busy};
use super::error::MoveError;
use super::pace::BatchPace;
use crate::engine::relocating::{Relocating, Span, StepError, TableSum};

/// From how many rows on a batch has several spans.
const MANY_ROWS: u64 = 2_000;

/// How often spans are verified again before the fence.
const ROUNDS: usize = 3;

/// Verifying one of so many spans again takes no time in which much could be changed.
const FEW_SPANS: usize = 16;

impl<DB: Relocating> Batch<'_, DB> {
    /// The spans that are equal on both sides now, or were when somebody changed them meanwhile.
    ///
    /// A span holds as long as no change of it is recorded, or caught up with.
    pub(super) async fn verify_beforehand(
        &mut self,
    ) -> Result<Vec<(Span, Vec<TableSum>)>, MoveError> {
        let mut verified = Vec::new();
        let spans = self.spans();
        for (span, sums) in spans.iter().zip(self.compare_paced(&spans).await?) {
            verified.extend(sums.map(|sums| (*span, sums)));
        }
        Ok(verified)
    }

    /// Catches up with what was changed meanwhile, and verifies the spans again in which that was, until they are few:
    /// what is left is verified under the fence. So is a single one.
    pub(super) async fn verify_again(
        &mut self,
        verified: &mut Vec<(Span, Vec<TableSum>)>,
    ) -> Result<(), MoveError> {
        let spans = self.spans();
        if spans.len() == 1 {
            return Ok(());
        }
        for _ in 0..ROUNDS {
            let touched = self.catch_up_once().await?.touched;
            verified.retain(|(span, _)| !touched.is_any_in(*span));
            let is_open = |span: &Span| verified.iter().all(|(held, _)| held != span);
            let open: Vec<Span> = spans.iter().copied().filter(is_open).collect();
            for (span, sums) in open.iter().zip(self.compare_paced(&open).await?) {
                verified.extend(sums.map(|sums| (*span, sums)));
            }
            if open.len() <= spans.len() / FEW_SPANS {
                break;
            }
        }
        Ok(())
    }

    /// Under the fence: applies the last changes, and sums up what is equal then; `None` when it is not.
    pub(super) async fn drain_and_verify(
        &mut self,
        until: Instant,
        verified: &[(Span, Vec<TableSum>)],
    ) -> Result<Option<Vec<TableSum>>, StepError> {
        let touched = self.drain(until).await?;
        let hold: Vec<&(Span, Vec<TableSum>)> = verified
            .iter()
            .filter(|(span, _)| touched.iter().all(|touched| !touched.is_any_in(*span)))
            .collect();
        let open = if hold.is_empty() {
            vec![Span::ALL]
        } else {
            let mut open = self.spans();
            open.retain(|span| hold.iter().all(|(held, _)| held != span));
            open
        };
        let mut total = vec![TableSum::NOTHING; self.manifest.tables().len()];
        let mut rows = Vec::new();
        let mut add = |span: Span, sums: &[TableSum]| {
            add_each(&mut total, sums);
            rows.push((span, sums.iter().map(|sum| sum.rows).sum()));
        };
        for (span, sums) in hold {
            add(*span, sums);
        }
        for (span, sums) in open.iter().zip(self.compare(&open).await?) {
            match sums {
                Some(sums) => add(*span, &sums),
                None => return Ok(None),
            }
        }
        rows.sort_unstable_by_key(|(span, _)| span.places(&self.ids).start);
        self.verified = rows;
        Ok(Some(total))
    }

    /// What is moved, as the source has it. Once the move is decided nobody writes that there, so these are the sums that were
    /// verified.
    pub(super) async fn sums_at_source(&mut self) -> Result<Vec<TableSum>, MoveError> {
        let pace = BatchPace::new(self.progress, self.options);
        let mut total = vec![TableSum::NOTHING; self.manifest.tables().len()];
        for span in Span::split(&self.ids, DB::SPANS) {
            let began = Instant::now();
            let mut patience = self.patience("sum up what was moved").on(self.pools[0]);
            let spans = loop {
                let (source, id) = (&mut self.pair.source, &self.record.id);
                match DB::sums(source, self.manifest, id, &[span]).await {
                    Ok(spans) => break spans,
                    Err(error) => patience.after::<DB>(busy::<DB>(error)).await?,
                }
            };
            for sums in spans {
                add_each(&mut total, &sums);
            }
            pace.rest(pace.worked(began.elapsed()), DB::LANES).await?;
        }
        Ok(total)
    }

    /// As [`compare`](Self::compare), while the briefcases are in use.
    async fn compare_paced(
        &mut self,
        spans: &[Span],
    ) -> Result<Vec<Option<Vec<TableSum>>>, MoveError> {
        let pace = BatchPace::new(self.progress, self.options);
        if !pace.is_bounded() {
            return Ok(self.compare(spans).await?);
        }
        let mut compared = Vec::with_capacity(spans.len());
        for span in spans {
            let began = Instant::now();
            compared.extend(self.compare(std::slice::from_ref(span)).await?);
            self.keep_going()?;
            tokio::time::sleep(pace.worked(began.elapsed())).await;
        }
        Ok(compared)
    }

    /// The parts that are verified one by one; all ids at once where rows are few.
    fn spans(&self) -> Vec<Span> {
        if self.copied < MANY_ROWS {
            vec![Span::ALL]
        } else {
            Span::split(&self.ids, DB::SPANS)
        }
    }

    /// The sums of each span, where both sides have the same and the target's rows refer to nothing that is missing.
    async fn compare(&mut self, spans: &[Span]) -> Result<Vec<Option<Vec<TableSum>>>, sqlx::Error> {
        if spans.is_empty() {
            return Ok(Vec::new());
        }
        let (manifest, id) = (self.manifest, &self.record.id);
        let (here, there) = tokio::join!(
            DB::sums(&mut self.pair.source, manifest, id, spans),
            DB::sums(&mut self.pair.target, manifest, id, spans),
        );
        let (here, there) = (here?, there?);
        let holding = self.holding(spans).await?;
        let sides = here.into_iter().zip(there).zip(spans);
        Ok(sides
            .map(|((here, there), span)| (here == there && holding.contains(span)).then_some(here))
            .collect())
    }
}

/// Table by table.
fn add_each(total: &mut [TableSum], sums: &[TableSum]) {
    for (total, sum) in total.iter_mut().zip(sums) {
        total.rows += sum.rows;
        total.sum = total.sum.wrapping_add(sum.sum);
    }
}
