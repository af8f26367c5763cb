//! What a round of catching up took.

use std::collections::BTreeSet;

use mdb_gdid::Gdid;

use super::{Manifest, MoveId, Relocating, Span};
use crate::engine::Value;

/// How many tables one statement looks at. SQLite takes 500.
pub(crate) const QUERIES_AT_ONCE: usize = 100;

/// What a round of catching up took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// How many records.
    pub(crate) records: u64,
    /// Whose rows may be others now at the target.
    pub(crate) touched: Touched,
}

/// Briefcases of a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Touched {
    All,
    These(BTreeSet<Gdid>),
}

impl Taken {
    pub(crate) fn nothing() -> Self {
        Self {
            records: 0,
            touched: Touched::These(BTreeSet::new()),
        }
    }
}

impl Touched {
    /// Whether one of them is in the span.
    pub(crate) fn is_any_in(&self, span: Span) -> bool {
        match self {
            Self::All => true,
            Self::These(ids) => ids.iter().any(|id| span.contains(*id)),
        }
    }
}

/// The move's briefcases of which changes are recorded at the source.
pub(crate) async fn changed<DB: Relocating>(
    source: &mut DB::Connection,
    manifest: &Manifest,
    id: &MoveId,
) -> Result<BTreeSet<Gdid>, sqlx::Error> {
    let tables = manifest.tables().iter();
    let queries: Vec<String> = tables
        .map(|table| {
            format!(
                "SELECT gdid FROM {} WHERE gdid IN (SELECT gdid FROM mdb_fence WHERE move = ?)",
                table.change_table()
            )
        })
        .collect();
    let mut changed = BTreeSet::new();
    for queries in queries.chunks(QUERIES_AT_ONCE) {
        // UNION finds each of them once.
        let query = queries.join(" UNION ");
        let values = vec![Value::from(id); queries.len()];
        for row in DB::query_own(source, &query, &values).await? {
            changed.insert(row.id(0)?);
        }
    }
    Ok(changed)
}

/// For tests: a round, of which each of `ids` that it changes at the target is among those that it touches.
#[cfg(test)]
pub(crate) async fn checked_round<DB: Relocating>(
    pair: &mut super::Pair<DB>,
    manifest: &Manifest,
    id: &MoveId,
    owner: super::OwnerToken,
    ids: &[Gdid],
) -> Taken {
    let spans = Span::split(ids, ids.len());
    let before = DB::sums(&mut pair.target, manifest, id, &spans).await;
    let taken = DB::catch_up(pair, manifest, id, owner, &super::Unhurried).await;
    let after = DB::sums(&mut pair.target, manifest, id, &spans).await;
    let (before, taken, after) = (before.unwrap(), taken.unwrap(), after.unwrap());
    for ((span, before), after) in spans.iter().zip(&before).zip(&after) {
        assert!(
            before == after || taken.touched.is_any_in(*span),
            "{span:?}: {taken:?}"
        );
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_touched_by_what_is_in_them() {
        let id = |counter| Gdid::new(0, 0, counter).unwrap();
        let [first, second] = Span::split(&[id(1), id(2), id(5), id(9)], 2)[..] else {
            panic!("not two");
        };
        assert!(Touched::All.is_any_in(first));
        let touched = Touched::These([id(5)].into());
        assert!(!touched.is_any_in(first));
        assert!(touched.is_any_in(second));
        assert!(!Taken::nothing().touched.is_any_in(second));
    }
}
