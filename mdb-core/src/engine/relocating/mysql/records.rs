//! Counting what the triggers recorded, and removing it.

use sqlx::Row;
use sqlx::mysql::MySqlConnection;

use super::{LEAVE, busy, ids, is_owner, mover_settings, rollback, run, select_owner};
use crate::engine::relocating::{Manifest, MoveId, MovedTable, OwnerToken, StepError};

/// How many records one statement removes, and how long a text of such statements is.
const REMOVED_AT_ONCE: usize = 1_000;
const TEXT_BYTES: usize = 1 << 20;

/// How many changes of one table are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) all: u64,
    pub(super) deep: u64,
    pub(super) whole: u64,
}

pub(super) async fn recorded(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
    id: &MoveId,
) -> Result<Vec<Recorded>, sqlx::Error> {
    let nothing = Recorded {
        all: 0,
        deep: 0,
        whole: 0,
    };
    if !has_records(connection, manifest).await? {
        return Ok(vec![nothing; manifest.tables().len()]);
    }
    let counts: Vec<String> = manifest
        .tables()
        .iter()
        .map(|table| {
            format!(
                "SELECT {} AS number, COUNT(*), CAST(COALESCE(SUM(c.deep), 0) AS SIGNED), \
                 CAST(COALESCE(SUM(c.k1 IS NULL), 0) AS SIGNED) FROM {}",
                table.number,
                records(table, id)
            )
        })
        .collect();
    let query = format!("{} ORDER BY number", counts.join(" UNION ALL "));
    let rows = run(connection, &query).await?;
    rows.iter()
        .map(|row| {
            let count =
                |place: usize| Ok::<_, sqlx::Error>(row.try_get::<i64, _>(place)?.unsigned_abs());
            Ok(Recorded {
                all: count(1)?,
                deep: count(2)?,
                whole: count(3)?,
            })
        })
        .collect()
}

/// Whether anything is recorded, of whichever move: a look at the ends of the tables.
async fn has_records(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
) -> Result<bool, sqlx::Error> {
    let tables = manifest.tables().iter();
    let last = tables.map(|table| format!("(SELECT MAX(seq) FROM {})", table.change_table()));
    let last: Vec<String> = last.collect();
    if last.is_empty() {
        return Ok(false);
    }
    let query = format!("SELECT {}", last.join(", "));
    let rows = run(connection, &query).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    for place in 0..row.len() {
        if row
            .try_get::<Option<i64>, _>(place)?
            .is_some_and(|seq| seq > 0)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `FROM` this: the records `c` of the move.
pub(super) fn records(table: &MovedTable, id: &MoveId) -> String {
    format!(
        "({}) f STRAIGHT_JOIN {} c ON c.gdid = f.gdid",
        ids(id),
        table.change_table()
    )
}

/// Removes the records that were applied.
pub(super) async fn forget(
    source: &mut MySqlConnection,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
    taken: &[Vec<i64>],
) -> Result<(), StepError> {
    let begin = format!(
        "{}; START TRANSACTION; {} LOCK IN SHARE MODE",
        mover_settings(id),
        select_owner(id)
    );
    let removed = async {
        is_owner(&run(source, &begin).await.map_err(busy)?, owner)?;
        for text in removals(manifest, taken) {
            run(source, &text).await.map_err(busy)?;
        }
        let end = format!("COMMIT; {LEAVE}");
        run(source, &end).await.map(drop).map_err(busy)
    };
    let removed = removed.await;
    if removed.is_err() {
        rollback(source).await?;
    }
    removed
}

/// Statements that remove records, in texts that fit a packet however many there are.
fn removals(manifest: &Manifest, taken: &[Vec<i64>]) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for (table, numbers) in manifest.tables().iter().zip(taken) {
        for numbers in numbers.chunks(REMOVED_AT_ONCE) {
            let remove = remove_these(table, numbers);
            match texts.last_mut() {
                Some(text) if text.len() + remove.len() <= TEXT_BYTES => text.push_str(&remove),
                _ => texts.push(remove),
            }
        }
    }
    texts
}

/// Removes records by their numbers: by that index, or it would wait for records that are just being made.
fn remove_these(table: &MovedTable, numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!(
        "DELETE c FROM {} c FORCE INDEX (PRIMARY) WHERE c.seq IN ({}); ",
        table.change_table(),
        numbers.join(",")
    )
}

/// Removes at most `limit` of the move's records of a table.
pub(super) async fn forget_some(
    connection: &mut MySqlConnection,
    table: &MovedTable,
    id: &MoveId,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let query = format!("SELECT c.seq FROM {} LIMIT {limit}", records(table, id));
    let rows = run(connection, &query).await?;
    let numbers: Vec<i64> = rows
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    for numbers in numbers.chunks(REMOVED_AT_ONCE) {
        run(connection, &remove_these(table, numbers)).await?;
    }
    Ok(numbers.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::relocating::{MovedColumn, MovedReach};

    #[test]
    fn however_many_records_are_removed_by_texts_that_are_not_long() {
        let table = MovedTable {
            number: 0,
            name: "t".to_owned(),
            columns: vec![MovedColumn {
                name: "k".to_owned(),
                data_type: "int".to_owned(),
            }],
            primary_key: vec![0],
            reach: MovedReach::Key {
                column: "k".to_owned(),
            },
            index: None,
        };
        let manifest = Manifest::new(vec![table]);
        let numbers: Vec<i64> = (1_000_000_000..1_000_300_000).collect();
        let texts = removals(&manifest, &[numbers]);
        assert!(texts.len() > 1);
        assert!(texts.iter().all(|text| text.len() <= TEXT_BYTES));
        let named: usize = texts.iter().map(|text| text.matches("1000").count()).sum();
        assert!(named >= 300_000);
        assert_eq!(removals(&manifest, &[Vec::new()]), [""; 0]);
    }
}
