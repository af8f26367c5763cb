//! What tables there are, with their columns and all else that the schema says of them.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::collation::{BINARY, collations};
use crate::engine::schema::{Nullability, Numbering, Origin, Unnamed};
use crate::engine::{Catalogue, Column, Table};

pub(super) const CATALOGUE: Catalogue = Catalogue {
    unique: "SELECT m.name, l.name, i.name, nullif(upper(i.coll), 'BINARY') \
        FROM main.sqlite_schema m, pragma_index_list(m.name) l, pragma_index_xinfo(l.name) i \
        WHERE m.type = 'table' AND l.\"unique\" = 1 AND l.partial = 0 AND i.\"key\" = 1 ORDER BY m.name, l.name, i.seqno",
    // Without columns it refers to the primary key.
    foreign_keys: "SELECT m.name, CAST(f.id AS TEXT), NULL, f.\"table\", f.\"from\", coalesce(f.\"to\", \
          (SELECT x.name FROM pragma_table_xinfo(f.\"table\") x WHERE x.pk = f.seq + 1), ''), f.on_delete, f.on_update \
        FROM main.sqlite_schema m, pragma_foreign_key_list(m.name) f \
        WHERE m.type = 'table' ORDER BY m.name, f.id, f.seq",
    from_elsewhere: None,
    triggers: "SELECT tbl_name, name, sql FROM main.sqlite_schema WHERE type = 'trigger' \
        AND name NOT LIKE 'mdb\\_capture\\_%' ESCAPE '\\' ORDER BY tbl_name, name",
    obstacles: "SELECT name, 'virtual', NULL FROM main.sqlite_schema \
        WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL %' ORDER BY name",
    // Each connection says for itself how it commits.
    unforced: "SELECT NULL, NULL, NULL WHERE FALSE",
    several_writers: None,
    peculiar: &[],
    encoding: Some("SELECT encoding FROM pragma_encoding"),
};

pub(super) async fn tables(connection: &mut SqliteConnection) -> Result<Vec<Table>, sqlx::Error> {
    // Not by the text of their definitions, where any word may stand in a comment. A user's own table is a shadow by its name alone.
    let names: Vec<(String, bool)> = sqlx::query_as(
        "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual', 'shadow') \
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'mdb\\_%' ESCAPE '\\' ORDER BY name",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut tables = Vec::with_capacity(names.len());
    for (name, is_without_rowid) in names {
        let rows = sqlx::query(
            "SELECT x.name, x.type, x.\"notnull\", x.pk, x.hidden, x.dflt_value IS NOT NULL, \
               (SELECT min(l.name) FROM pragma_index_list(?1) l JOIN pragma_index_info(l.name) i \
                WHERE l.partial = 0 AND i.seqno = 0 AND i.name = x.name) \
             FROM pragma_table_xinfo(?1) x ORDER BY x.cid",
        )
        .bind(&name)
        .fetch_all(&mut *connection)
        .await?;
        let keys = rows.iter().filter(|row| row.get::<i64, _>(3) > 0).count();
        let columns = rows
            .iter()
            .map(|row| {
                let data_type: String = row.get(1);
                let key = row.get::<i64, _>(3);
                // The only column that SQLite numbers is a lone INTEGER PRIMARY KEY: it is the rowid.
                let is_rowid = key > 0
                    && keys == 1
                    && data_type.eq_ignore_ascii_case("INTEGER")
                    && !is_without_rowid;
                Column {
                    name: row.get(0),
                    nullability: if row.get::<i64, _>(2) != 0 || is_rowid {
                        Nullability::NotNull
                    } else {
                        Nullability::Nullable
                    },
                    key_position: u32::try_from(key).ok().filter(|place| *place > 0),
                    numbering: if is_rowid {
                        Numbering::ByServer
                    } else {
                        Numbering::None
                    },
                    // https://sqlite.org/pragma.html#pragma_table_xinfo
                    origin: if matches!(row.get::<i64, _>(4), 2 | 3) {
                        Origin::Generated
                    } else {
                        Origin::Written
                    },
                    unnamed: if row.get::<i64, _>(5) != 0 {
                        Unnamed::Default
                    } else {
                        Unnamed::Null
                    },
                    first_in: row.get(6),
                    stored_as: None,
                    collation: None,
                    data_type,
                }
            })
            .collect();
        tables.push(Table { name, columns });
    }
    add_collations(connection, &mut tables).await?;
    Ok(tables)
}

async fn add_collations(
    connection: &mut SqliteConnection,
    tables: &mut [Table],
) -> Result<(), sqlx::Error> {
    let columns = tables.iter().flat_map(|table| {
        let columns = table.columns.iter();
        columns.map(|column| (table.name.as_str(), column.name.as_str()))
    });
    let columns: Vec<(&str, &str)> = columns.collect();
    let collations = collations(connection, &columns).await?;
    let columns = tables.iter_mut().flat_map(|table| &mut table.columns);
    for (column, collation) in columns.zip(collations) {
        column.collation = (collation != BINARY).then_some(collation);
    }
    Ok(())
}
