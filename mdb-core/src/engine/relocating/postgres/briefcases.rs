//! The briefcases of a move, as statements select by them.

use mdb_gdid::Gdid;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::{ids, run};
use crate::engine::relocating::{MoveId, Span};

/// Up to how many briefcases rows are looked up by indexes only, however few rows the planner takes
/// a table to have: statistics may be missing, and scanning a big table for a small briefcase takes
/// longer than all the rest.
const FEW_BRIEFCASES: usize = 16;

/// The settings for so few. Starting workers would take longer than their work.
const FEW: &str = "SET LOCAL enable_seqscan = off; SET LOCAL max_parallel_workers_per_gather = 0; ";

/// The settings for more. Most of their rows are in memory, having just been copied or being about to go; and workers are
/// the services'.
const MANY: &str =
    "SET LOCAL random_page_cost = 1.1; SET LOCAL max_parallel_workers_per_gather = 0; ";

/// Up to how many briefcases stand in a statement one by one.
const MANY_BRIEFCASES: usize = 1_000;

/// The briefcases of a move, or of some spans of it.
pub(super) struct Briefcases {
    /// What a key is compared with.
    pub(super) comparison: String,
    /// Settings of a transaction that looks their rows up.
    pub(super) settings: &'static str,
    /// The briefcases themselves, if they are so few that they are looked up by indexes only: then it is no matter
    /// whether the planner knows how many they are.
    pub(super) few: Option<Vec<Gdid>>,
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
                few: None,
            });
        }
        let digits: Vec<&str> = rows
            .iter()
            .map(|row| row.try_get("id"))
            .collect::<Result<_, _>>()?;
        let list: Vec<String> = digits.iter().map(|id| format!("'\\x{id}'")).collect();
        let comparison = format!("= ANY (ARRAY[{}]::bytea[])", list.join(","));
        if digits.len() > FEW_BRIEFCASES {
            return Ok(Self {
                comparison,
                settings: MANY,
                few: None,
            });
        }
        let few = digits.iter().map(|id| id.parse::<Gdid>());
        let few: Vec<Gdid> = few
            .collect::<Result<_, _>>()
            .map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(Self {
            comparison,
            settings: FEW,
            few: Some(few),
        })
    }
}
