//! Moving briefcases between SQLite files.
//!
//! The target's connection has the source's file attached as `source`, so rows go from file to file
//! inside SQLite. A database has one writer at a time, which makes every lock of the protocol the
//! database's own: a trigger that reads a fence row reads what holds.

mod capture;
mod changes;
mod copy;
mod handle;
mod hashing;
mod pieces;
mod purge;
mod sums;
#[cfg(test)]
mod tests;
mod transactions;
mod unchecked;

use std::time::Duration;

use mdb_gdid::Gdid;
use sqlx::Sqlite;
use sqlx::sqlite::SqliteConnection;

use super::{
    Amount, Commits, Installed, LockLimit, Manifest, MoveId, MovedReach, MovedTable, OwnerToken,
    Pace, Pair, Relocating, Side, Span, StepError, TableSum, Taken, joined,
};
use crate::engine::{Engine, ErrorClass, Value};
use transactions::{at_once, begin_as_mover, end};

/// The ids of a move, as a query with the move's id as its only value.
const IDS: &str = "SELECT gdid FROM mdb_fence WHERE move = ?1";

impl Relocating for Sqlite {
    // Each is a statement of its own.
    const SPANS: usize = 16;

    const JOIN_IN_ORDER: &'static str = "CROSS JOIN";

    async fn enter_as_mover(
        connection: &mut SqliteConnection,
        id: &MoveId,
        _: Duration,
    ) -> Result<(), sqlx::Error> {
        let insert = Self::insert_if_absent("INSERT INTO mdb_guest (move) VALUES (?)", "move");
        Self::execute_own(connection, &insert, &[id.into()]).await?;
        Ok(())
    }

    async fn leave_as_mover(
        connection: &mut SqliteConnection,
        id: &MoveId,
    ) -> Result<(), sqlx::Error> {
        let delete = "DELETE FROM mdb_guest WHERE move = ?";
        Self::execute_own(connection, delete, &[id.into()]).await?;
        Ok(())
    }

    async fn check_owner(
        connection: &mut SqliteConnection,
        id: &MoveId,
        owner: OwnerToken,
    ) -> Result<(), StepError> {
        let query = "SELECT owner FROM mdb_mover WHERE move = ?";
        let rows = Self::query_own(connection, query, &[id.into()]).await?;
        match rows.first().map(|row| row.integer(0)).transpose()? {
            Some(found) if found == owner.get() => Ok(()),
            _ => Err(StepError::NotOwner),
        }
    }

    async fn begin_as_mover(
        connection: &mut SqliteConnection,
        id: &MoveId,
        owner: OwnerToken,
        _: Duration,
    ) -> Result<(), StepError> {
        begin_as_mover(connection, id, owner).await
    }

    async fn lock_shared(_: &mut SqliteConnection, _: Gdid) -> Result<(), sqlx::Error> {
        // A reader's snapshot and a writer's lock keep the fence as it is.
        Ok(())
    }

    async fn lock_exclusive(
        _: &mut SqliteConnection,
        _: &[Gdid],
        _: Duration,
    ) -> Result<(), StepError> {
        // The caller's transaction is the only one that writes.
        Ok(())
    }

    async fn arm(
        connection: &mut SqliteConnection,
        manifest: &Manifest,
        by: Option<&MoveId>,
        _: &LockLimit<'_>,
    ) -> Result<(), StepError> {
        capture::arm(connection, manifest, by).await
    }

    async fn is_armed(
        connection: &mut SqliteConnection,
        manifest: &Manifest,
    ) -> Result<bool, StepError> {
        capture::is_armed(connection, manifest).await
    }

    async fn disarm(connection: &mut SqliteConnection, _: &LockLimit<'_>) -> Result<(), StepError> {
        capture::disarm(connection).await
    }

    async fn installed(connection: &mut SqliteConnection) -> Result<Installed, sqlx::Error> {
        let installed = capture::installed(connection).await?.into_iter();
        Ok(Installed::enabled(
            installed.map(|(_, name)| name).collect(),
        ))
    }

    fn is_taken(error: &sqlx::Error) -> bool {
        changes::is_taken(error)
    }

    async fn copy(
        pair: &mut Pair<Self>,
        manifest: &Manifest,
        id: &MoveId,
        owner: OwnerToken,
        pace: &dyn Pace,
    ) -> Result<Amount, StepError> {
        copy::copy(pair, manifest, id, owner, pace).await
    }

    async fn catch_up(
        pair: &mut Pair<Self>,
        manifest: &Manifest,
        id: &MoveId,
        owner: OwnerToken,
        pace: &dyn Pace,
    ) -> Result<Taken, StepError> {
        changes::catch_up(pair, manifest, id, owner, pace).await
    }

    async fn pending_changes(
        connection: &mut SqliteConnection,
        manifest: &Manifest,
        id: &MoveId,
    ) -> Result<u64, sqlx::Error> {
        changes::pending(connection, manifest, id).await
    }

    async fn forget_some(
        connection: &mut SqliteConnection,
        table: &MovedTable,
        id: &MoveId,
        limit: u32,
    ) -> Result<u64, sqlx::Error> {
        changes::forget_some(connection, table, id, limit).await
    }

    async fn sums(
        connection: &mut SqliteConnection,
        manifest: &Manifest,
        id: &MoveId,
        spans: &[Span],
    ) -> Result<Vec<Vec<TableSum>>, sqlx::Error> {
        let mut sums = Vec::with_capacity(spans.len());
        for span in spans {
            sums.push(sums::sums(connection, manifest, id, *span).await?);
        }
        Ok(sums)
    }

    async fn differences(
        pair: &mut Pair<Self>,
        manifest: &Manifest,
        table: &MovedTable,
        id: &MoveId,
        limit: u32,
    ) -> Result<Vec<String>, sqlx::Error> {
        copy::attach(pair).await?;
        sums::differences(&mut pair.target, manifest, table, id, limit).await
    }

    async fn delete_some(
        connection: &mut SqliteConnection,
        manifest: &Manifest,
        id: &MoveId,
        limit: u32,
    ) -> Result<u64, StepError> {
        purge::delete_some(connection, manifest, id, limit.into()).await
    }

    async fn delete_all(
        connection: &mut SqliteConnection,
        manifest: &Manifest,
        id: &MoveId,
        briefcases: &[Gdid],
    ) -> Result<(), StepError> {
        purge::delete_all(connection, manifest, id, briefcases).await
    }

    async fn set_commits(
        connection: &mut SqliteConnection,
        commits: Commits,
    ) -> Result<(), StepError> {
        transactions::set_commits(connection, commits).await
    }

    async fn end_sessions(_: &mut SqliteConnection, _: &str) -> Result<(), sqlx::Error> {
        // Nobody can end a session of another process; fences and triggers stay until it is over.
        Ok(())
    }
}

fn busy(error: sqlx::Error) -> StepError {
    match Sqlite::error_class(&error) {
        ErrorClass::Conflict => StepError::Busy,
        _ => StepError::Database(error),
    }
}

/// The failure of a statement that reads the source and writes the target: some can only be the target's.
fn at_target(error: StepError) -> StepError {
    /// SQLite's codes for a database that is only read or full, and for a constraint: <https://sqlite.org/rescode.html>. What
    /// is said besides is above their lowest byte.
    const WRITING: [i64; 3] = [8, 13, 19];
    let code = match &error {
        StepError::Database(sqlx::Error::Database(error)) => error.code(),
        _ => None,
    };
    match code.and_then(|code| code.parse::<i64>().ok()) {
        Some(code) if WRITING.contains(&(code & 0xff)) => error.at(Side::Target),
        _ => error,
    }
}

/// Names in SQL, which read the same in every part.
impl MovedTable {
    fn quoted(&self, schema: &str) -> String {
        format!("{schema}.{}", Sqlite::quote(&self.name))
    }

    fn column_list(&self, alias: &str) -> String {
        list(
            self.columns.iter().map(|column| column.name.as_str()),
            alias,
        )
    }

    fn key_list(&self, alias: &str) -> String {
        list(self.key_columns().map(|column| column.name.as_str()), alias)
    }

    /// Columns `k1`, `k2` … for keys of the table, which compare as its own do. Without types they keep every value as it is.
    fn numbered_columns(&self) -> String {
        let columns = self.key_columns().zip(1..).map(|(column, place)| {
            let collation = column.collation.as_deref().map(Sqlite::quote);
            let collation = collation.map(|name| format!(" COLLATE {name}"));
            format!("k{place}{}", collation.unwrap_or_default())
        });
        columns.collect::<Vec<_>>().join(", ")
    }

    /// A condition on a row with `k1`, `k2` …: others may have the same key.
    fn lacks_key(&self, keys: &str) -> String {
        let places = 1..=self.primary_key.len();
        let is_null = places.map(|place| format!("{keys}.k{place} IS NULL"));
        is_null.collect::<Vec<_>>().join(" OR ")
    }

    fn numbered_list(&self, alias: &str) -> String {
        let names: Vec<String> = (1..=self.primary_key.len())
            .map(|place| format!("{alias}.k{place}"))
            .collect();
        names.join(", ")
    }

    /// A condition that two rows have the same key: a row of the table, and one with `k1`, `k2` ….
    fn same_key(&self, alias: &str, keys: &str) -> String {
        let pairs: Vec<String> = self
            .key_columns()
            .zip(1..)
            .map(|(column, place)| {
                format!("{alias}.{} IS {keys}.k{place}", Sqlite::quote(&column.name))
            })
            .collect();
        pairs.join(" AND ")
    }
}

/// A condition that the parent of `alias`, a row of `table`, has arrived in the main schema: one that has been
/// missed brings its children along later, and one that never comes would leave them behind as nobody's.
fn parent_is_here(manifest: &Manifest, table: &MovedTable, alias: &str) -> String {
    let MovedReach::Parent { parent, on } = &table.reach else {
        return "TRUE".to_owned();
    };
    format!(
        "EXISTS (SELECT 1 FROM {} above WHERE {})",
        manifest.tables()[*parent].quoted("main"),
        joined::<Sqlite>(on, alias, "above")
    )
}

/// A query of the briefcase keys that `row`, such as `OLD` or `NEW`, belongs to.
fn keys_of(manifest: &Manifest, table: &MovedTable, row: &str) -> String {
    let (mut tables, mut conditions) = (Vec::new(), Vec::new());
    let (mut table, mut alias) = (table, row.to_owned());
    let key = loop {
        match &table.reach {
            MovedReach::Key { column } => {
                break format!("SELECT {alias}.{}", Sqlite::quote(column));
            }
            MovedReach::Parent { parent, on } => {
                let above = format!("p{parent}");
                conditions.push(joined::<Sqlite>(on, &alias, &above));
                (table, alias) = (&manifest.tables()[*parent], above);
                tables.push(format!("{} {alias}", Sqlite::quote(&table.name)));
            }
        }
    };
    if tables.is_empty() {
        return key;
    }
    format!(
        "{key} FROM {} WHERE {}",
        tables.join(", "),
        conditions.join(" AND ")
    )
}

fn list<'a>(names: impl Iterator<Item = &'a str>, alias: &str) -> String {
    let prefix = if alias.is_empty() {
        String::new()
    } else {
        format!("{alias}.")
    };
    let names: Vec<String> = names
        .map(|name| format!("{prefix}{}", Sqlite::quote(name)))
        .collect();
    names.join(", ")
}

async fn run(
    connection: &mut SqliteConnection,
    sql: &str,
    values: &[Value],
) -> Result<u64, StepError> {
    Ok(Sqlite::execute_own(connection, sql, values).await?)
}
