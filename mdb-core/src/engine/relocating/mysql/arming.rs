//! Creating and dropping the triggers and change tables, without holding anybody up.
//!
//! A trigger's creation waits for every transaction that has touched its table, and whoever wants the
//! table queues behind it; so it waits for its limit only. (MySQL counts that wait in seconds, so there the mover ends it
//! from another session.)
//!
//! Definitions are not transactional here. A named lock keeps movers from arming and disarming the same
//! database at once, and what is found installed is looked up under that lock, or vouched for (see `voucher`).

mod definer;
mod voucher;

use std::collections::BTreeSet;
use std::fmt::Write;

use sqlx::mysql::MySqlConnection;
use sqlx::{MySql, Row};

use self::definer::Definer;
use super::triggers::{self, Event, Following};
use super::{busy, error_number, keys_as_numbered, quoted, run};
use crate::engine::Engine;
use crate::engine::mysql::{foreign_keys, left_some_out};
use crate::engine::relocating::{
    LockLimit, Manifest, MoveId, MovedTable, Standing, StepError, others_rely,
};

/// A trigger or change table that is there.
pub(super) struct Installed {
    pub(super) name: String,
    is_table: bool,
    /// Of a trigger: its table and body. Of a table: its comment.
    on: String,
    text: String,
}

pub(super) async fn installed(
    connection: &mut MySqlConnection,
) -> Result<Vec<Installed>, sqlx::Error> {
    let query = "SELECT CAST(trigger_name AS BINARY), 0 AS is_table, CAST(event_object_table AS BINARY), CAST(action_statement AS BINARY) \
                 FROM information_schema.triggers \
                 WHERE trigger_schema = DATABASE() AND trigger_name LIKE 'mdb!_capture!_%' ESCAPE '!' \
                 UNION ALL \
                 SELECT CAST(table_name AS BINARY), 1, '', CAST(table_comment AS BINARY) \
                 FROM information_schema.tables \
                 WHERE table_schema = DATABASE() AND table_name LIKE 'mdb!_change!_%' ESCAPE '!' \
                 ORDER BY 2, 1";
    let rows = run(connection, query).await?;
    rows.iter()
        .map(|row| {
            let text = |place: usize| -> Result<String, sqlx::Error> {
                let bytes: &[u8] = row.try_get_unchecked(place)?;
                Ok(String::from_utf8_lossy(bytes).into_owned())
            };
            Ok(Installed {
                name: text(0)?,
                is_table: row.try_get::<i64, _>(1)? == 1,
                on: text(2)?,
                text: text(3)?,
            })
        })
        .collect()
}

/// The name of the lock under which definitions change. MySQL's names of locks have up to 64 characters,
/// as those of databases.
const LOCK: &str = "CONCAT('mdb-arming:', LEFT(SHA2(DATABASE(), 256), 40))";

pub(super) async fn arm(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
    by: Option<&MoveId>,
    limit: &LockLimit<'_>,
) -> Result<(), StepError> {
    if voucher::is_armed(connection, manifest).await? {
        return Ok(());
    }
    alone(connection, async |connection| {
        install(connection, manifest, by, limit).await?;
        voucher::vouch(connection, manifest).await
    })
    .await
}

/// What a fence of any move needs stays: it may have come after the caller looked for fences.
pub(super) async fn disarm(
    connection: &mut MySqlConnection,
    limit: &LockLimit<'_>,
) -> Result<(), StepError> {
    alone(connection, async |connection| {
        if run(connection, "SELECT 1 FROM mdb_fence LIMIT 1")
            .await?
            .is_empty()
        {
            remove(connection, limit).await?;
        }
        Ok(())
    })
    .await
}

/// Does `work` while no other mover changes this database's triggers.
async fn alone(
    connection: &mut MySqlConnection,
    work: impl AsyncFnOnce(&mut MySqlConnection) -> Result<(), StepError>,
) -> Result<(), StepError> {
    let take = format!("SELECT CAST(GET_LOCK({LOCK}, 0) AS SIGNED)");
    let rows = run(connection, &take).await?;
    let taken: Option<i64> = rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
    if taken != Some(1) {
        return Err(StepError::Busy);
    }
    let done = work(connection).await;
    run(connection, &format!("DO RELEASE_LOCK({LOCK})")).await?;
    done
}

/// Without the right to see them, MySQL refuses to name those transactions. It keeps the tables that they have changed
/// locked; MariaDB does only as long as their client is connected.
pub(super) async fn prepared_transactions(
    connection: &mut MySqlConnection,
) -> Result<BTreeSet<Vec<u8>>, sqlx::Error> {
    /// "Fatal error occurred in the transaction branch", and "Access denied".
    const NO_RIGHT: [u16; 2] = [1401, 1227];
    let rows = match run(connection, "XA RECOVER").await {
        Err(error) if error_number(&error).is_some_and(|n| NO_RIGHT.contains(&n)) => Vec::new(),
        rows => rows?,
    };
    rows.iter()
        .map(|row| row.try_get_unchecked::<Vec<u8>, _>("data"))
        .collect()
}

pub(super) async fn is_armed(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
) -> Result<bool, StepError> {
    Ok(missing(connection, manifest).await?.changes.is_empty())
}

/// What has to be done to have everything installed.
async fn missing(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
) -> Result<Missing, StepError> {
    let found = installed(connection).await?;
    let mut is_partial = left_some_out(connection).await?;
    let following = following(connection, manifest).await?;
    is_partial |= left_some_out(connection).await?;
    if is_partial {
        // Somebody changes tables just now.
        return Err(StepError::Busy);
    }
    Ok(changes(manifest, &found, &following))
}

/// What has to be done.
struct Missing {
    changes: Vec<Change>,
    /// What is there under the same name is another one.
    differs: bool,
}

async fn install(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
    by: Option<&MoveId>,
    limit: &LockLimit<'_>,
) -> Result<(), StepError> {
    let Missing { changes, differs } = missing(connection, manifest).await?;
    if changes.is_empty() {
        return Ok(());
    }
    if differs {
        let rely = format!(
            "SELECT 1 FROM (SELECT 1 AS one) o WHERE {}",
            others_rely(by)
        );
        if !run(connection, &rely).await?.is_empty() {
            return Err(StepError::OtherTables);
        }
    }
    voucher::revoke(connection).await?;
    let definer = Definer::on(connection, limit).await?;
    for change in &changes {
        match change {
            Change::Bounded(sql) => definer.change(connection, sql).await?,
            Change::BoundedInMySql(sql) => {
                if definer.is_mysql() {
                    definer.change(connection, sql).await?;
                }
            }
            Change::Own(sql) => run(connection, sql).await.map(drop).map_err(busy)?,
        }
    }
    Ok(())
}

/// A statement that changes a definition.
enum Change {
    /// It needs a table that others use.
    Bounded(String),
    /// The same, in MySQL only.
    BoundedInMySql(String),
    /// It keeps nobody waiting, however long it takes.
    Own(String),
}

/// How what was found differs from what there has to be.
fn changes(manifest: &Manifest, found: &[Installed], following: &[Following]) -> Missing {
    let named = |name: &str| found.iter().find(|object| object.name == name);
    let mut differs = false;
    let mut changes = Vec::new();
    for table in manifest.tables() {
        let name = table.change_table();
        let shape = shape(table);
        let is_there = named(&name).is_some_and(|object| object.text == shape);
        if !is_there {
            // Its old triggers could not write to it.
            for event in Event::ALL {
                let trigger = triggers::name(table, event);
                if named(&trigger).is_some() {
                    changes.push(Change::Bounded(format!("DROP TRIGGER IF EXISTS {trigger}")));
                }
            }
            if named(&name).is_some() {
                differs = true;
                changes.push(Change::Bounded(format!("DROP TABLE IF EXISTS {name}")));
            }
            changes.push(Change::Own(create_table(table, &shape)));
        }
        for event in Event::ALL {
            let name = triggers::name(table, event);
            let body = triggers::body(manifest, table, event, following);
            let other = named(&name).filter(|_| is_there);
            if other.is_some_and(|o| o.text == body && o.on == table.name) {
                continue;
            }
            differs |= other.is_some();
            match other {
                // Nobody can have one replace another table's, and MySQL can't replace one at all.
                Some(other) if other.on != table.name => {
                    changes.push(Change::Bounded(format!("DROP TRIGGER IF EXISTS {name}")));
                }
                Some(_) => {
                    changes.push(Change::BoundedInMySql(format!(
                        "DROP TRIGGER IF EXISTS {name}"
                    )));
                }
                None => {}
            }
            changes.push(Change::Bounded(format!(
                "CREATE /*M! OR REPLACE */ TRIGGER {name} AFTER {} ON {} FOR EACH ROW {body}",
                event.name(),
                quoted(table)
            )));
        }
    }
    Missing { changes, differs }
}

async fn remove(connection: &mut MySqlConnection, limit: &LockLimit<'_>) -> Result<(), StepError> {
    let found = installed(connection).await?;
    if found.is_empty() {
        return Ok(());
    }
    voucher::revoke(connection).await?;
    let definer = Definer::on(connection, limit).await?;
    let (tables, triggers): (Vec<_>, Vec<_>) = found.iter().partition(|object| object.is_table);
    // The triggers first: they write to the tables.
    for trigger in triggers {
        let drop = format!("DROP TRIGGER IF EXISTS {}", MySql::quote(&trigger.name));
        definer.change(connection, &drop).await?;
    }
    let tables: Vec<String> = tables.iter().map(|t| MySql::quote(&t.name)).collect();
    if !tables.is_empty() {
        let drop = format!("DROP TABLE IF EXISTS {}", tables.join(", "));
        definer.change(connection, &drop).await?;
    }
    Ok(())
}

/// What a change table has to fit, kept as its comment.
fn shape(table: &MovedTable) -> String {
    let types: Vec<String> = table
        .key_columns()
        .map(|column| match &column.collation {
            Some(collation) => format!("{} {collation}", column.data_type),
            None => column.data_type.clone(),
        })
        .collect();
    let hash =
        xxhash_rust::xxh3::xxh3_128(format!("{}\n{}", table.name, types.join("\n")).as_bytes());
    format!("mdb 1 {hash:032x}")
}

/// Takes the types of a key's columns as they are written where they say all; as text has a collation too,
/// its columns are those of the missing side of a join with the table. Either may be NULL.
fn create_table(table: &MovedTable, shape: &str) -> String {
    let head = format!(
        "CREATE TABLE {} (seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, gdid BINARY(12) NOT NULL, \
         deep BOOLEAN NOT NULL, ",
        table.change_table()
    );
    let tail = format!("KEY (gdid)) ENGINE=InnoDB COMMENT='{shape}'");
    if table
        .key_columns()
        .all(|column| is_whole_type(&column.data_type))
    {
        let mut keys = String::new();
        for (column, place) in table.key_columns().zip(1..) {
            let _ = write!(keys, "k{place} {} NULL, ", column.data_type);
        }
        return format!("{head}{keys}{tail}");
    }
    format!(
        "{head}{tail} AS SELECT x'' AS gdid, FALSE AS deep, {} \
         FROM (SELECT 1 AS one) o LEFT JOIN {} t ON FALSE LIMIT 0",
        keys_as_numbered(table, "t"),
        quoted(table),
    )
}

/// Whether a column of the type needs no other word to be the same.
fn is_whole_type(data_type: &str) -> bool {
    let data_type = data_type.to_ascii_lowercase();
    let end = data_type
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(data_type.len());
    matches!(
        &data_type[..end],
        "binary" | "varbinary" | "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "date"
    )
}

/// The foreign keys between tables of the manifest by which rows go, or change, by themselves.
async fn following(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
) -> Result<Vec<Following>, sqlx::Error> {
    let mut found = Vec::new();
    for key in foreign_keys(connection).await? {
        if !key.follows_deletes && !key.follows_updates {
            continue;
        }
        if let Standing::Inside(reference) | Standing::Across(reference) =
            Standing::of(&key, manifest, MySql::NAMES)
        {
            found.push(Following {
                child: reference.child,
                parent: reference.parent,
                columns: reference
                    .columns
                    .into_iter()
                    .map(|(_, column)| column)
                    .collect(),
                on_delete: key.follows_deletes,
                on_update: key.follows_updates,
            });
        }
    }
    Ok(found)
}
