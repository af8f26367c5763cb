//! Reading what a catalogue says, from queries whose rows have the same form on every engine.

use super::{Checked, ForeignKey, Obstacle, Risk, Schema, Table, Trigger, UniqueKey};
use crate::engine::{Engine, Values};

/// An engine's queries about the tables of the connected database. All that they select is text, or NULL.
pub(crate) struct Catalogue {
    /// Of unique keys that hold for all rows: table, key, column; NULL for an expression, and for a column of which the key allows
    /// values that the column takes for the same. Where the engine can't say that by itself: how the key compares it.
    pub(crate) unique: &'static str,
    /// Of foreign keys that concern the tables: table, key, its name, the table that it refers to, column, the column that
    /// it refers to, the rules for deletes and updates; where the engine checks what movers bring, `DEFERRABLE` or `AT ONCE`. Rows of one
    /// key follow each other.
    pub(crate) foreign_keys: &'static str,
    /// The same of keys from elsewhere on the server to the tables, where these are asked for apart; what is being altered just
    /// then may be missing.
    pub(crate) from_elsewhere: Option<&'static str>,
    /// Of users' triggers that movers fire: table, name, text.
    pub(crate) triggers: &'static str,
    /// Of what is in the way: table, its kind, what belongs to it.
    pub(crate) obstacles: &'static str,
    /// Of the server's settings by which it may lose what it has committed: name, value, the statement that mends it.
    pub(crate) unforced: &'static str,
    /// Of those by which other servers may take writes of the same rows: name, value.
    pub(crate) several_writers: Option<&'static str>,
    /// Types of columns of which not all values travel as they are, with what becomes of them.
    pub(crate) peculiar: &'static [(&'static str, &'static str)],
    /// Of how the database keeps texts, where all columns keep them in one way.
    pub(crate) encoding: Option<&'static str>,
}

type Row = Vec<Option<String>>;

/// Reads all of it.
pub(crate) async fn read<DB: Engine>(
    connection: &mut DB::Connection,
) -> Result<Schema, sqlx::Error> {
    let catalogue = DB::CATALOGUE;
    let tables = DB::tables(connection).await?;
    let unique = DB::texts(connection, catalogue.unique).await?;
    let mut foreign_keys = foreign_keys::<DB>(connection).await?;
    if let Some(query) = catalogue.from_elsewhere {
        let rows = DB::query_own(connection, query, &[]).await?;
        let rows = rows.iter().map(Values::optional_texts);
        foreign_keys.extend(foreign_keys_of(&rows.collect::<Result<Vec<_>, _>>()?)?);
    }
    let triggers = DB::texts(connection, catalogue.triggers).await?;
    let obstacles = DB::texts(connection, catalogue.obstacles).await?;
    let encoding = match catalogue.encoding {
        Some(query) => DB::texts(connection, query).await?.pop(),
        None => None,
    };
    Ok(Schema {
        unique: unique_keys_of(&unique, &tables)?,
        encoding: encoding.map(|row| text(&row, 0)).transpose()?,
        tables,
        foreign_keys,
        triggers: triggers
            .iter()
            .map(|row| {
                Ok(Trigger {
                    table: text(row, 0)?,
                    name: text(row, 1)?,
                    // Kept from those who may not make triggers.
                    text: row.get(2).cloned().flatten().unwrap_or_default(),
                })
            })
            .collect::<Result<_, sqlx::Error>>()?,
        obstacles: obstacles
            .iter()
            .map(|row| Ok((text(row, 0)?, obstacle_of(row)?)))
            .collect::<Result<_, sqlx::Error>>()?,
        names: DB::NAMES,
        peculiar: catalogue.peculiar,
        lanes: DB::LANES,
    })
}

/// The settings by which commits may be lost.
pub(crate) async fn risks<DB: Engine>(
    connection: &mut DB::Connection,
) -> Result<Vec<Risk>, sqlx::Error> {
    let mut risks = Vec::new();
    for row in DB::texts(connection, DB::CATALOGUE.unforced).await? {
        risks.push(Risk::Unforced {
            setting: text(&row, 0)?,
            value: text(&row, 1)?,
            mend: text(&row, 2)?,
        });
    }
    if let Some(query) = DB::CATALOGUE.several_writers {
        for row in DB::texts(connection, query).await? {
            risks.push(Risk::SeveralWriters {
                setting: text(&row, 0)?,
                value: text(&row, 1)?,
            });
        }
    }
    Ok(risks)
}

fn text(row: &Row, place: usize) -> Result<String, sqlx::Error> {
    let text = row.get(place).cloned().flatten();
    text.ok_or_else(|| sqlx::Error::ColumnNotFound(place.to_string()))
}

fn unique_keys_of(rows: &[Row], tables: &[Table]) -> Result<Vec<UniqueKey>, sqlx::Error> {
    let mut keys = Vec::new();
    let is_compared_so = |table: &str, column: &str, collation: Option<&str>| {
        let mut tables = tables.iter().filter(|found| found.name() == table);
        let column = tables.next().and_then(|table| table.column(column));
        column.is_some_and(|column| column.collation() == collation)
    };
    for rows in rows.chunk_by(|a, b| a.get(..2) == b.get(..2)) {
        let table = text(&rows[0], 0)?;
        // One of an expression says nothing about the columns in it.
        let columns = rows.iter().map(|row| {
            let column = row.get(2).cloned().flatten()?;
            let holds = row
                .get(3)
                .is_none_or(|collation| is_compared_so(&table, &column, collation.as_deref()));
            holds.then_some(column)
        });
        let columns: Option<Vec<String>> = columns.collect();
        if let Some(columns) = columns {
            keys.push(UniqueKey { table, columns });
        }
    }
    Ok(keys)
}

/// The foreign keys that concern the tables of the connected database.
pub(crate) async fn foreign_keys<DB: Engine>(
    connection: &mut DB::Connection,
) -> Result<Vec<ForeignKey>, sqlx::Error> {
    let rows = DB::texts(connection, DB::CATALOGUE.foreign_keys).await?;
    foreign_keys_of(&rows)
}

/// The foreign keys in the rows of [`Catalogue::foreign_keys`].
pub(crate) fn foreign_keys_of(rows: &[Row]) -> Result<Vec<ForeignKey>, sqlx::Error> {
    let follows = |rule: &str| !matches!(rule, "RESTRICT" | "NO ACTION");
    rows.chunk_by(|a, b| a.get(..2) == b.get(..2))
        .map(|rows| {
            let first = &rows[0];
            let columns = rows.iter().map(|row| Ok((text(row, 4)?, text(row, 5)?)));
            Ok(ForeignKey {
                name: first.get(2).cloned().flatten(),
                table: text(first, 0)?,
                referred: text(first, 3)?,
                columns: columns.collect::<Result<_, sqlx::Error>>()?,
                follows_deletes: follows(&text(first, 6)?),
                follows_updates: follows(&text(first, 7)?),
                checked: match first.get(8).and_then(Option::as_deref) {
                    None => Checked::Never,
                    Some("DEFERRABLE") => Checked::Deferrable,
                    Some(_) => Checked::AtOnce,
                },
            })
        })
        .collect()
}

fn obstacle_of(row: &Row) -> Result<Obstacle, sqlx::Error> {
    Ok(match text(row, 1)?.as_str() {
        "row security" => Obstacle::RowSecurity,
        "rule" => Obstacle::Rule(text(row, 2)?),
        "no identity" => Obstacle::NoIdentity(text(row, 2)?),
        "inherited" => Obstacle::Inherited,
        "large objects" => Obstacle::LargeObjects(text(row, 2)?),
        "versioned" => Obstacle::Versioned,
        "storage engine" => Obstacle::StorageEngine(text(row, 2)?),
        "virtual" => Obstacle::Virtual,
        "partitioned" => Obstacle::Partitioned,
        "not owned" => Obstacle::NotOwned(text(row, 2)?),
        "no binary form" => Obstacle::NoBinaryForm(text(row, 2)?),
        "unlogged" => Obstacle::Unlogged,
        other => {
            return Err(sqlx::Error::TypeNotFound {
                type_name: other.to_owned(),
            });
        }
    })
}
