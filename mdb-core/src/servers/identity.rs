//! The identity stamp: which shard of which store a database is.

use std::fmt;

use crate::engine::{Engine, ErrorClass, Value};
use crate::topology::{ShardId, Topology};

/// The version of the layout of MDB's own tables.
const FORMAT: i64 = 1;

/// What a database is, as its stamp says or should say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    store: String,
    area: String,
    generation: String,
    partition: String,
    shard: u8,
}

impl Identity {
    /// The identity that `shard` has in `topology`.
    pub fn of(topology: &Topology, shard: ShardId) -> Self {
        let (area, generation, partition) = match topology.range_of(shard) {
            None => ("CENTRAL".to_owned(), String::new(), String::new()),
            Some((area, generation, partition)) => (
                area.name().to_string(),
                generation.breakpoint().to_string(),
                partition.start().to_string(),
            ),
        };
        Self {
            store: topology.store().to_string(),
            area,
            generation,
            partition,
            shard: topology.shard(shard).home().position().get(),
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
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            store,
            area,
            generation,
            partition,
            shard,
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
    /// The stamp was written by a newer version of MDB.
    #[error(
        "the database's tables have format {found}; this version of MDB knows format {FORMAT}: update it"
    )]
    Format {
        /// The format that was found.
        found: i64,
    },
}

impl IdentityError {
    pub(super) fn different(expected: &Identity, found: Identity) -> Self {
        Self::Different {
            expected: Box::new(expected.clone()),
            found: Box::new(found),
        }
    }
}

/// A stamp, and the least epoch that who comes to this database has to know.
pub(super) struct Stamp {
    pub(super) identity: Identity,
    least_epoch: u64,
}

/// Reads the stamp: `None` when there is none.
pub(super) async fn read<DB: Engine>(
    connection: &mut DB::Connection,
) -> Result<Option<Result<Stamp, IdentityError>>, sqlx::Error> {
    let query = "SELECT format, store, area, generation, partition_start, shard, least_epoch FROM mdb_shard \
                 WHERE only_row = 1";
    let rows = match DB::query_own(connection, query, &[]).await {
        Err(error) if DB::error_class(&error) == ErrorClass::MissingTable => return Ok(None),
        rows => rows?,
    };
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let found = row.integer(0)?;
    if found != FORMAT {
        return Ok(Some(Err(IdentityError::Format { found })));
    }
    let identity = Identity {
        store: row.text(1)?.to_owned(),
        area: row.text(2)?.to_owned(),
        generation: row.text(3)?.to_owned(),
        partition: row.text(4)?.to_owned(),
        shard: u8::try_from(row.integer(5)?).unwrap_or(u8::MAX),
    };
    Ok(Some(Ok(Stamp {
        identity,
        least_epoch: row.integer(6)?.unsigned_abs(),
    })))
}

/// Compares the stamp with what the configuration says, and hands out the least epoch.
pub(super) async fn verify<DB: Engine>(
    connection: &mut DB::Connection,
    expected: &Identity,
) -> Result<Result<u64, IdentityError>, sqlx::Error> {
    Ok(match read::<DB>(connection).await? {
        None => Err(IdentityError::Missing {
            expected: Box::new(expected.clone()),
        }),
        Some(Err(error)) => Err(error),
        Some(Ok(found)) if found.identity == *expected => Ok(found.least_epoch),
        Some(Ok(found)) => Err(IdentityError::different(expected, found.identity)),
    })
}

/// Writes the stamp where there is none; whoever comes second finds the first one's.
pub(super) async fn stamp<DB: Engine>(
    connection: &mut DB::Connection,
    identity: &Identity,
) -> Result<(), sqlx::Error> {
    let insert = DB::insert_if_absent(
        "INSERT INTO mdb_shard (only_row, format, store, area, generation, partition_start, shard, least_epoch, flips) \
         VALUES (1, ?, ?, ?, ?, ?, ?, 0, 0)",
        "format",
    );
    let values = [
        Value::from(FORMAT),
        Value::from(identity.store.as_str()),
        Value::from(identity.area.as_str()),
        Value::from(identity.generation.as_str()),
        Value::from(identity.partition.as_str()),
        Value::from(i64::from(identity.shard)),
    ];
    DB::execute_own(connection, &insert, &values)
        .await
        .map(drop)
}
