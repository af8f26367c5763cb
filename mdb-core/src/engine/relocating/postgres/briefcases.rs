//! The briefcases of a move, as statements select by them.

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::{ids, run};
use crate::engine::relocating::{MoveId, Span};

/// Up to how many briefcases rows are looked up by indexes only, however few rows the planner takes
/// a table to have: statistics may be missing, and scanning a big table for a small briefcase takes
/// longer than all the rest.
const FEW_BRIEFCASES: usize = 16;

/// Up to how many briefcases stand in a statement one by one.
const MANY_BRIEFCASES: usize = 1_000;

/// The briefcases of a move, or of some spans of it.
pub(super) struct Briefcases {
    /// What a key is compared with.
    pub(super) comparison: String,
    /// Settings of a transaction that looks their rows up.
    pub(super) settings: &'static str,
}

impl Briefcases {
    /// Reads them from the fences. Their ids stand in statements, so the planner knows how many they
    /// are; unless they are too many.
    pub(super) async fn of(
        connection: &mut PgConnection,
        id: &MoveId,
    ) -> Result<Self, sqlx::Error> {
        Self::within(connection, id, &[Span::ALL]).await
    }

    pub(super) async fn within(
        connection: &mut PgConnection,
        id: &MoveId,
        spans: &[Span],
    ) -> Result<Self, sqlx::Error> {
        let within: Vec<String> = spans
            .iter()
            .map(|span| {
                let [first, last] = span.digits();
                format!("gdid BETWEEN '\\x{first}'::bytea AND '\\x{last}'::bytea")
            })
            .collect();
        let ids = format!("{} AND ({})", ids(id), within.join(" OR "));
        // Not as the session writes bytes.
        let query = format!(
            "SELECT encode(gdid, 'hex') AS id FROM ({ids}) AS f LIMIT {}",
            MANY_BRIEFCASES + 1
        );
        let rows = run(connection, &query).await?;
        if rows.len() > MANY_BRIEFCASES {
            return Ok(Self {
                comparison: format!("= ANY (ARRAY({ids}))"),
                settings: "",
            });
        }
        let list: Vec<String> = rows
            .iter()
            .map(|row| Ok(format!("'\\x{}'", row.try_get::<&str, _>("id")?)))
            .collect::<Result<_, sqlx::Error>>()?;
        let settings = if rows.len() <= FEW_BRIEFCASES {
            // Starting workers would take longer than their work.
            "SET LOCAL enable_seqscan = off; SET LOCAL max_parallel_workers_per_gather = 0; "
        } else {
            ""
        };
        Ok(Self {
            comparison: format!("= ANY (ARRAY[{}]::bytea[])", list.join(",")),
            settings,
        })
    }
}
