//! What tables there are, with their columns.

use std::time::Duration;

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{Executor, Row};

use crate::engine::schema::{
    ForeignKey, Nullability, Numbering, Origin, Unnamed, foreign_keys_of, tables_of,
};
use crate::engine::{Catalogue, Column, Table};

/// How often the tables are asked for when some are being changed at that moment, and the pause in between.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// `ER_WARN_I_S_SKIPPED_TABLE`: the schema's tables were asked for while one was being changed.
const LEFT_OUT: u64 = 1684;

/// Told the schema, the server doesn't look into all others for each of the tables that are joined.
///
/// Of a column's indexes the primary key goes first. Older servers call `utf8` what newer ones call `utf8mb3`.
const QUERY: &str = "SELECT CAST(t.table_name AS CHAR), CAST(c.column_name AS CHAR), CAST(c.column_type AS CHAR), \
     CAST(c.is_nullable AS CHAR), CAST(c.extra AS CHAR), CAST(coalesce(k.place, 0) AS SIGNED), \
     CAST(IF(k.place = 1, 'PRIMARY', k.first_in) AS CHAR), \
     CAST(IF(c.extra LIKE '%GENERATED' AND c.generation_expression <> '', c.generation_expression, \
        IF(c.character_set_name = 'utf8', 'utf8mb3', c.character_set_name)) AS CHAR), \
     CAST(IF(LEFT(c.collation_name, 5) = 'utf8_', CONCAT('utf8mb3', SUBSTRING(c.collation_name, 5)), c.collation_name) AS CHAR), \
     CAST(c.column_default IS NOT NULL AS SIGNED) \
     FROM information_schema.tables t \
     JOIN information_schema.columns c ON c.table_schema = DATABASE() AND c.table_name = t.table_name \
     LEFT JOIN (SELECT s.table_name AS in_table, s.column_name AS of_column, \
          MAX(IF(s.index_name = 'PRIMARY', s.seq_in_index, 0)) AS place, \
          MIN(IF(s.seq_in_index = 1 AND s.index_type = 'BTREE' \
                 /*M!100600 AND s.ignored = 'NO' */ /*!80000 AND s.is_visible = 'YES' */, s.index_name, NULL)) AS first_in \
          FROM information_schema.statistics s WHERE s.table_schema = DATABASE() \
          GROUP BY s.table_name, s.column_name) k \
          ON k.in_table = t.table_name AND k.of_column = c.column_name \
     WHERE t.table_schema = DATABASE() AND t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND t.table_name NOT LIKE 'mdb!_%' ESCAPE '!' \
     ORDER BY t.table_name, c.ordinal_position";

pub(super) const CATALOGUE: Catalogue = Catalogue {
    unique: "SELECT table_name, index_name, column_name FROM information_schema.statistics \
        WHERE table_schema = DATABASE() AND non_unique = 0 ORDER BY table_name, index_name, seq_in_index",
    foreign_keys: "SELECT c.table_name, c.constraint_name, c.constraint_name, \
          IF(k.referenced_table_schema = DATABASE(), c.referenced_table_name, \
             CONCAT(k.referenced_table_schema, '.', c.referenced_table_name)), \
          k.column_name, k.referenced_column_name, c.delete_rule, c.update_rule \
        FROM information_schema.referential_constraints c \
        JOIN information_schema.key_column_usage k ON k.constraint_schema = c.constraint_schema \
             AND k.constraint_name = c.constraint_name AND k.table_name = c.table_name \
        WHERE c.constraint_schema = DATABASE() AND k.table_schema = DATABASE() \
        ORDER BY c.table_name, c.constraint_name, k.ordinal_position",
    // Apart, for MariaDB opens all tables of the server for it, and each batch asks for the others. Their rules are looked up
    // for those that are found.
    from_elsewhere: Some(
        "SELECT CAST(CONCAT(k.table_schema, '.', k.table_name) AS CHAR), CAST(k.constraint_name AS CHAR), \
          CAST(k.constraint_name AS CHAR), CAST(k.referenced_table_name AS CHAR), CAST(k.column_name AS CHAR), \
          CAST(k.referenced_column_name AS CHAR), \
          (SELECT CAST(c.delete_rule AS CHAR) FROM information_schema.referential_constraints c \
             WHERE c.constraint_schema = k.constraint_schema AND c.constraint_name = k.constraint_name \
             AND c.table_name = k.table_name), \
          (SELECT CAST(c.update_rule AS CHAR) FROM information_schema.referential_constraints c \
             WHERE c.constraint_schema = k.constraint_schema AND c.constraint_name = k.constraint_name \
             AND c.table_name = k.table_name) \
        FROM information_schema.key_column_usage k \
        WHERE k.referenced_table_schema = DATABASE() AND k.table_schema <> DATABASE() \
        ORDER BY k.table_schema, k.table_name, k.constraint_name, k.ordinal_position",
    ),
    // A mover inserts and deletes only.
    triggers: "SELECT event_object_table, trigger_name, action_statement FROM information_schema.triggers \
        WHERE trigger_schema = DATABASE() AND event_object_schema = DATABASE() AND event_manipulation <> 'UPDATE' \
        AND trigger_name NOT LIKE 'mdb!_capture!_%' ESCAPE '!' ORDER BY event_object_table, trigger_name",
    obstacles: "SELECT table_name, IF(table_type = 'BASE TABLE', 'storage engine', 'versioned'), engine \
        FROM information_schema.tables WHERE table_schema = DATABASE() \
        AND (table_type = 'SYSTEM VERSIONED' OR table_type = 'BASE TABLE' AND engine <> 'InnoDB') \
        UNION ALL SELECT table_name, 'partitioned', engine FROM information_schema.tables \
        WHERE table_schema = DATABASE() AND create_options LIKE '%partitioned%' ORDER BY 1, 2",
    // With a binary log, a transaction that this one lacks is rolled back after a crash. (3 is MariaDB's, and forces too.)
    unforced: "SELECT 'innodb_flush_log_at_trx_commit', CAST(@@GLOBAL.innodb_flush_log_at_trx_commit AS CHAR), \
          'SET GLOBAL innodb_flush_log_at_trx_commit = 1' \
          FROM DUAL WHERE @@GLOBAL.innodb_flush_log_at_trx_commit NOT IN (1, 3) \
        UNION ALL SELECT 'sync_binlog', CAST(@@GLOBAL.sync_binlog AS CHAR), 'SET GLOBAL sync_binlog = 1' \
          FROM DUAL WHERE @@GLOBAL.log_bin = 1 AND @@GLOBAL.sync_binlog <> 1",
    // Neither server knows the other's variable.
    several_writers: Some(
        "SHOW GLOBAL VARIABLES WHERE Variable_name = 'wsrep_on' AND Value = 'ON' \
         OR Variable_name = 'group_replication_single_primary_mode' AND Value = 'OFF'",
    ),
    // MySQL's own type; MariaDB keeps JSON as text. What differs in its text is noticed before the move is decided; what has
    // another type and the same text is not.
    peculiar: &[(
        "json",
        "JSON, which moves as text: decimals that SQL has put into it arrive as doubles, and stop the move where their texts \
         differ; dates and times arrive as strings",
    )],
    // Columns say it for themselves.
    encoding: None,
};

pub(super) async fn tables(connection: &mut MySqlConnection) -> Result<Vec<Table>, sqlx::Error> {
    let rows = all_rows(connection, QUERY).await?;
    tables_of(rows.iter().map(|row| {
        let name: String = row.try_get(0)?;
        let nullable: String = row.try_get(3)?;
        let extra: String = row.try_get(4)?;
        let key: i64 = row.try_get(5)?;
        let column = Column {
            name: row.try_get(1)?,
            data_type: row.try_get(2)?,
            nullability: if nullable == "YES" {
                Nullability::Nullable
            } else {
                Nullability::NotNull
            },
            key_position: u32::try_from(key).ok().filter(|place| *place > 0),
            numbering: if extra.contains("auto_increment") {
                Numbering::ByServer
            } else {
                Numbering::None
            },
            // Not DEFAULT_GENERATED, which is an ordinary column with a computed default.
            origin: if extra.contains("STORED GENERATED") || extra.contains("VIRTUAL GENERATED") {
                Origin::Generated
            } else {
                Origin::Written
            },
            unnamed: if row.try_get::<i64, _>(9)? == 1 {
                Unnamed::Default
            } else {
                Unnamed::Null
            },
            first_in: row.try_get(6)?,
            stored_as: row.try_get(7)?,
            collation: row.try_get(8)?,
        };
        Ok((name, column))
    }))
}

pub(super) async fn all_rows(
    connection: &mut MySqlConnection,
    query: &str,
) -> Result<Vec<MySqlRow>, sqlx::Error> {
    rows_in(connection, query, TRIES).await
}

/// As [`all_rows`], asking so many times more at the most.
pub(super) async fn rows_in(
    connection: &mut MySqlConnection,
    query: &str,
    most: u32,
) -> Result<Vec<MySqlRow>, sqlx::Error> {
    let mut tries = 0;
    loop {
        // As text: what prepares and closes statements may clear the warnings.
        let rows = connection.fetch_all(query).await?;
        if tries == most || !left_some_out(connection).await? {
            return Ok(rows);
        }
        tries += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// The rows of a query of texts, with no table left out that was being changed.
pub(super) async fn all_texts(
    connection: &mut MySqlConnection,
    query: &'static str,
) -> Result<Vec<Vec<Option<String>>>, sqlx::Error> {
    texts_of(&all_rows(connection, query).await?)
}

/// The foreign keys, but those of tables that are being changed; [`left_some_out`] says whether there are such.
pub(in crate::engine) async fn foreign_keys(
    connection: &mut MySqlConnection,
) -> Result<Vec<ForeignKey>, sqlx::Error> {
    let rows = connection.fetch_all(CATALOGUE.foreign_keys).await?;
    foreign_keys_of(&texts_of(&rows)?)
}

/// Parts of the catalogue are binary strings on one server and text on another.
fn texts_of(rows: &[MySqlRow]) -> Result<Vec<Vec<Option<String>>>, sqlx::Error> {
    let text = |row: &MySqlRow, place| -> Result<Option<String>, sqlx::Error> {
        let bytes: Option<&[u8]> = row.try_get_unchecked(place)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    };
    rows.iter()
        .map(|row| (0..row.len()).map(|place| text(row, place)).collect())
        .collect()
}

/// Whether the answer to the last query on the schema's tables lacks some.
pub(in crate::engine) async fn left_some_out(
    connection: &mut MySqlConnection,
) -> Result<bool, sqlx::Error> {
    for warning in connection.fetch_all("SHOW WARNINGS").await? {
        if warning.try_get_unchecked::<u64, _>("Code")? == LEFT_OUT {
            return Ok(true);
        }
    }
    Ok(false)
}
