//! The identity stamp: which shard of which store a database is.
//!
//! A stamp has the shard's place (store, area, generation, partition, position), and the *spread* of the list that it is
//! in: of how many shards, and by which hash. A place alone stays the same when somebody makes a list longer; but ids would
//! be looked for on other shards.

use std::fmt;

use crate::config::HashKind;
use crate::engine::{Engine, ErrorClass, Value};
use crate::topology::{ShardId, Topology};

/// The version of the layout of MDB's own tables.
const FORMAT: i64 = 2;

/// The version before stamps had a spread.
const WITHOUT_SPREAD: i64 = 1;

/// What a database is, as its stamp says or should say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    store: String,
    area: String,
    generation: String,
    partition: String,
    shard: u8,
    spread: String,
}

impl Identity {
    /// The identity that `shard` has in `topology`.
    pub fn of(topology: &Topology, shard: ShardId) -> Self {
        let (area, generation, partition, spread) = match topology.range_of(shard) {
            None => {
                let central = topology.central();
                (
                    "CENTRAL".to_owned(),
                    String::new(),
                    String::new(),
                    spread(central.shards().len(), central.hash()),
                )
            }
            Some((area, generation, partition)) => (
                area.name().to_string(),
                generation.breakpoint().to_string(),
                partition.start().to_string(),
                spread(partition.shards().len(), area.hash()),
            ),
        };
        Self {
            store: topology.store().to_string(),
            area,
            generation,
            partition,
            shard: topology.shard(shard).home().position().get(),
            spread,
        }
    }

    /// The area, `CENTRAL` for CENTRAL's shards.
    pub fn area(&self) -> &str {
        &self.area
    }

    /// The store.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// The shard's position in its partition's (or CENTRAL's) list.
    pub fn shard(&self) -> u8 {
        self.shard
    }

    /// The start of the partition; empty for CENTRAL's shards.
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// How what belongs to the list is spread over it: `2 shards by xxh3`. With one shard no hash decides: `1 shard`.
    pub fn spread(&self) -> &str {
        &self.spread
    }

    /// Whether it is the same shard, however its list is spread.
    fn is_same_place(&self, other: &Self) -> bool {
        let alike = Self {
            spread: other.spread.clone(),
            ..self.clone()
        };
        alike == *other
    }
}

fn spread(shards: usize, hash: HashKind) -> String {
    match shards {
        1 => "1 shard".to_owned(),
        shards => format!("{shards} shards by {hash}"),
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            store,
            area,
            generation,
            partition,
            shard,
            spread: _,
        } = self;
        if partition.is_empty() {
            write!(f, "shard {shard} of {area} in store `{store}`")
        } else {
            write!(
                f,
                "shard {shard} of area `{area}`, generation {generation}, partition {partition}, in store `{store}`"
            )
        }
    }
}

/// Why a database is not taken for the shard that it is configured as.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The database has no stamp.
    #[error("the database is not initialised as {expected}: run `mdb init`")]
    Missing {
        /// What it is configured as.
        expected: Box<Identity>,
    },
    /// The database is stamped as something else.
    #[error(
        "the database is stamped as {found}, but the configuration has it as {expected}: \
         the configuration names the wrong server or database"
    )]
    Different {
        /// What it is configured as.
        expected: Box<Identity>,
        /// What its stamp says.
        found: Box<Identity>,
    },
    /// The database is the right shard, of a list with another spread.
    #[error(
        "the database is stamped as {found}, one of {}, but the configuration has it as one of {}: with another list or \
         another `hash`, what is there is looked for elsewhere; put them back as they were",
        found.spread(), expected.spread()
    )]
    Spread {
        /// What it is configured as.
        expected: Box<Identity>,
        /// What its stamp says.
        found: Box<Identity>,
    },
    /// The stamp was written by an older version of MDB.
    #[error(
        "the database's tables have format {found}; this version of MDB needs format {FORMAT}: run `mdb init`, which alters them"
    )]
    Outdated {
        /// The format that was found.
        found: i64,
    },
    /// The stamp was written by a newer version of MDB.
    #[error(
        "the database's tables have format {found}; this version of MDB knows format {FORMAT}: update it"
    )]
    Format {
        /// The format that was found.
        found: i64,
    },
}

/// A stamp, and the least epoch that who comes to this database has to know.
pub(super) struct Stamp {
    pub(super) identity: Identity,
    least_epoch: u64,
}

/// What a database says that it is.
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A shard.
    Stamp(Stamp),
    /// A shard, without a spread.
    Outdated(Identity),
    /// A format that is not known.
    Format(i64),
}

/// Compares the stamp with what the configuration says, and hands out the least epoch.
pub(super) async fn verify<DB: Engine>(
    connection: &mut DB::Connection,
    expected: &Identity,
) -> Result<Result<u64, IdentityError>, sqlx::Error> {
    let found = read::<DB>(connection).await?;
    let configured = || Box::new(expected.clone());
    Ok(Err(match found {
        Found::Nothing => IdentityError::Missing {
            expected: configured(),
        },
        Found::Format(found) => IdentityError::Format { found },
        Found::Stamp(found) if found.identity == *expected => return Ok(Ok(found.least_epoch)),
        Found::Stamp(Stamp { identity, .. }) if identity.is_same_place(expected) => {
            IdentityError::Spread {
                expected: configured(),
                found: Box::new(identity),
            }
        }
        Found::Outdated(identity) if identity.is_same_place(expected) => IdentityError::Outdated {
            found: WITHOUT_SPREAD,
        },
        Found::Stamp(Stamp { identity, .. }) | Found::Outdated(identity) => {
            IdentityError::Different {
                expected: configured(),
                found: Box::new(identity),
            }
        }
    }))
}

/// Reads the stamp.
pub(super) async fn read<DB: Engine>(
    connection: &mut DB::Connection,
) -> Result<Found, sqlx::Error> {
    let with = |spread: &str| {
        format!(
            "SELECT format, store, area, generation, partition_start, shard, least_epoch, {spread} FROM mdb_shard \
             WHERE only_row = 1"
        )
    };
    let mut rows = DB::query_own(connection, &with("spread"), &[]).await;
    if let Err(error) = &rows
        && DB::error_class(error) == ErrorClass::MissingColumn
    {
        rows = DB::query_own(connection, &with("''"), &[]).await;
    }
    let rows = match rows {
        Err(error) if DB::error_class(&error) == ErrorClass::MissingTable => {
            return Ok(Found::Nothing);
        }
        rows => rows?,
    };
    let Some(row) = rows.first() else {
        return Ok(Found::Nothing);
    };
    let format = row.integer(0)?;
    if ![WITHOUT_SPREAD, FORMAT].contains(&format) {
        return Ok(Found::Format(format));
    }
    let identity = Identity {
        store: row.text(1)?.to_owned(),
        area: row.text(2)?.to_owned(),
        generation: row.text(3)?.to_owned(),
        partition: row.text(4)?.to_owned(),
        shard: u8::try_from(row.integer(5)?).unwrap_or(u8::MAX),
        spread: row.text(7)?.to_owned(),
    };
    Ok(match format {
        WITHOUT_SPREAD => Found::Outdated(identity),
        _ => Found::Stamp(Stamp {
            identity,
            least_epoch: row.integer(6)?.unsigned_abs(),
        }),
    })
}

/// Writes the stamp where there is none; whoever comes second finds the first one's.
pub(super) async fn stamp<DB: Engine>(
    connection: &mut DB::Connection,
    identity: &Identity,
) -> Result<(), sqlx::Error> {
    let insert = DB::insert_if_absent(
        "INSERT INTO mdb_shard (only_row, format, store, area, generation, partition_start, shard, spread, least_epoch, flips) \
         VALUES (1, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
        "format",
    );
    let values = [
        Value::from(FORMAT),
        Value::from(identity.store.as_str()),
        Value::from(identity.area.as_str()),
        Value::from(identity.generation.as_str()),
        Value::from(identity.partition.as_str()),
        Value::from(i64::from(identity.shard)),
        Value::from(identity.spread.as_str()),
    ];
    DB::execute_own(connection, &insert, &values)
        .await
        .map(drop)
}

/// Gives the stamp of an older version its spread.
pub(super) async fn alter<DB: Engine>(
    connection: &mut DB::Connection,
    identity: &Identity,
) -> Result<(), sqlx::Error> {
    let name = DB::column_types().name;
    let add = format!("ALTER TABLE mdb_shard ADD COLUMN spread {name} NOT NULL DEFAULT ''");
    let added = DB::execute_own(connection, &add, &[]).await;
    let update = "UPDATE mdb_shard SET format = ?, spread = ? WHERE only_row = 1 AND format = ?";
    let values = [
        Value::from(FORMAT),
        Value::from(identity.spread.as_str()),
        Value::from(WITHOUT_SPREAD),
    ];
    match DB::execute_own(connection, update, &values).await {
        // An interrupted run, or another one, may have added the column: then only that failed.
        Err(error) if DB::error_class(&error) == ErrorClass::MissingColumn => added.and(Err(error)),
        updated => updated.map(drop),
    }
}

/// Puts another spread in the place of `found`.
pub(super) async fn respread<DB: Engine>(
    connection: &mut DB::Connection,
    found: &Identity,
    identity: &Identity,
) -> Result<(), sqlx::Error> {
    let update = "UPDATE mdb_shard SET spread = ? WHERE only_row = 1 AND spread = ?";
    let values = [&identity.spread, &found.spread].map(|spread| Value::from(spread.as_str()));
    DB::execute_own(connection, update, &values).await.map(drop)
}
