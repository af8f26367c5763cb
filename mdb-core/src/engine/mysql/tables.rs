//! What tables there are, with their columns.

use std::time::Duration;

use sqlx::mysql::MySqlConnection;
use sqlx::{Executor, Row};

use crate::engine::schema::{Nullability, Numbering, Origin, tables_of};
use crate::engine::{Column, Table};

/// How often the tables are asked for when some are being changed at that moment, and the pause in between.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// `ER_WARN_I_S_SKIPPED_TABLE`: the schema's tables were asked for while one was being changed.
const LEFT_OUT: u64 = 1684;

/// Told the schema, the server doesn't look into all others for each of the tables that are joined.
///
/// Of a column's indexes the primary key goes first.
const QUERY: &str = "SELECT CAST(t.table_name AS CHAR), CAST(c.column_name AS CHAR), CAST(c.column_type AS CHAR), \
     CAST(c.is_nullable AS CHAR), CAST(c.extra AS CHAR), CAST(coalesce(k.place, 0) AS SIGNED), \
     CAST(IF(k.place = 1, 'PRIMARY', k.first_in) AS CHAR) \
     FROM information_schema.tables t \
     JOIN information_schema.columns c ON c.table_schema = DATABASE() AND c.table_name = t.table_name \
     LEFT JOIN (SELECT s.table_name AS in_table, s.column_name AS of_column, \
          MAX(IF(s.index_name = 'PRIMARY', s.seq_in_index, 0)) AS place, \
          MIN(IF(s.seq_in_index = 1 AND s.index_type = 'BTREE' \
                 /*M!100600 AND s.ignored = 'NO' */ /*!80000 AND s.is_visible = 'YES' */, s.index_name, NULL)) AS first_in \
          FROM information_schema.statistics s WHERE s.table_schema = DATABASE() \
          GROUP BY s.table_name, s.column_name) k \
          ON k.in_table = t.table_name AND k.of_column = c.column_name \
     WHERE t.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' AND t.table_name NOT LIKE 'mdb\\_%' \
     ORDER BY t.table_name, c.ordinal_position";

pub(super) async fn tables(connection: &mut MySqlConnection) -> Result<Vec<Table>, sqlx::Error> {
    let mut tries = 0;
    let rows = loop {
        // As text: what prepares and closes statements may clear the warnings.
        let rows = connection.fetch_all(QUERY).await?;
        if tries == TRIES || !left_some_out(connection).await? {
            break rows;
        }
        tries += 1;
        tokio::time::sleep(PAUSE).await;
    };
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
            first_in: row.try_get(6)?,
        };
        Ok((name, column))
    }))
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
