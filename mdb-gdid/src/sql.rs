//! Columns for sqlx: ids as 12 bytes, ids of era 0 as 64-bit integers.
//!
//! | | SQLite | PostgreSQL | MySQL/MariaDB |
//! |---|---|---|---|
//! | [`Gdid`] | `BLOB` | `BYTEA` | `BINARY(12)` |
//! | [`EraZeroId`] | `INTEGER` | `BIGINT` | `BIGINT` |
//!
//! On MySQL and MariaDB any other column of bytes does as well, such as `VARBINARY(12)` or a BLOB.
//! A column of another length than 12 is refused with an error that says how long it is.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{Database, Decode, Encode, Type};

use crate::gdid::{EraZeroId, Gdid};

macro_rules! columns {
    ($engine:ty) => {
        impl Type<$engine> for Gdid {
            fn type_info() -> <$engine as Database>::TypeInfo {
                <[u8] as Type<$engine>>::type_info()
            }

            fn compatible(found: &<$engine as Database>::TypeInfo) -> bool {
                <[u8] as Type<$engine>>::compatible(found)
            }
        }

        impl Type<$engine> for EraZeroId {
            fn type_info() -> <$engine as Database>::TypeInfo {
                <i64 as Type<$engine>>::type_info()
            }

            fn compatible(found: &<$engine as Database>::TypeInfo) -> bool {
                <i64 as Type<$engine>>::compatible(found)
            }
        }

        impl<'r> Decode<'r, $engine> for EraZeroId {
            fn decode(value: <$engine as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
                Ok(Self::from_i64(<i64 as Decode<$engine>>::decode(value)?))
            }
        }

        impl<'q> Encode<'q, $engine> for EraZeroId {
            fn encode_by_ref(
                &self,
                buffer: &mut <$engine as Database>::ArgumentBuffer<'q>,
            ) -> Result<IsNull, BoxDynError> {
                <i64 as Encode<$engine>>::encode(self.to_i64(), buffer)
            }
        }
    };
}

#[cfg(feature = "sqlite")]
columns!(sqlx::Sqlite);
#[cfg(feature = "postgres")]
columns!(sqlx::Postgres);
#[cfg(feature = "mysql")]
columns!(sqlx::MySql);

#[cfg(feature = "sqlite")]
impl<'r> Decode<'r, sqlx::Sqlite> for Gdid {
    fn decode(value: <sqlx::Sqlite as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        let bytes = <&[u8] as Decode<sqlx::Sqlite>>::decode(value)?;
        Ok(Self::try_from(bytes)?)
    }
}

#[cfg(feature = "sqlite")]
impl<'q> Encode<'q, sqlx::Sqlite> for Gdid {
    fn encode_by_ref(
        &self,
        buffer: &mut <sqlx::Sqlite as Database>::ArgumentBuffer<'q>,
    ) -> Result<IsNull, BoxDynError> {
        // SQLite keeps arguments until the statement runs, so they have to own their bytes.
        <Vec<u8> as Encode<sqlx::Sqlite>>::encode(self.to_bytes().to_vec(), buffer)
    }
}

#[cfg(feature = "postgres")]
impl<'r> Decode<'r, sqlx::Postgres> for Gdid {
    fn decode(value: <sqlx::Postgres as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        let id = match value.format() {
            sqlx::postgres::PgValueFormat::Binary => Self::try_from(value.as_bytes()?)?,
            // An unprepared statement answers in text, which has to be turned into bytes first.
            sqlx::postgres::PgValueFormat::Text => {
                Self::try_from(<Vec<u8> as Decode<sqlx::Postgres>>::decode(value)?.as_slice())?
            }
        };
        Ok(id)
    }
}

#[cfg(feature = "postgres")]
impl<'q> Encode<'q, sqlx::Postgres> for Gdid {
    fn encode_by_ref(
        &self,
        buffer: &mut <sqlx::Postgres as Database>::ArgumentBuffer<'q>,
    ) -> Result<IsNull, BoxDynError> {
        <&[u8] as Encode<sqlx::Postgres>>::encode(self.to_bytes().as_slice(), buffer)
    }
}

/// So that `= ANY($1)` takes a list of ids.
#[cfg(feature = "postgres")]
impl sqlx::postgres::PgHasArrayType for Gdid {
    fn array_type_info() -> sqlx::postgres::PgTypeInfo {
        <Vec<u8> as sqlx::postgres::PgHasArrayType>::array_type_info()
    }
}

/// So that `= ANY($1)` takes a list of ids.
#[cfg(feature = "postgres")]
impl sqlx::postgres::PgHasArrayType for EraZeroId {
    fn array_type_info() -> sqlx::postgres::PgTypeInfo {
        <i64 as sqlx::postgres::PgHasArrayType>::array_type_info()
    }
}

#[cfg(feature = "mysql")]
impl<'r> Decode<'r, sqlx::MySql> for Gdid {
    fn decode(value: <sqlx::MySql as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        let bytes = <&[u8] as Decode<sqlx::MySql>>::decode(value)?;
        Ok(Self::try_from(bytes)?)
    }
}

#[cfg(feature = "mysql")]
impl<'q> Encode<'q, sqlx::MySql> for Gdid {
    fn encode_by_ref(
        &self,
        buffer: &mut <sqlx::MySql as Database>::ArgumentBuffer<'q>,
    ) -> Result<IsNull, BoxDynError> {
        <&[u8] as Encode<sqlx::MySql>>::encode(self.to_bytes().as_slice(), buffer)
    }
}

#[cfg(test)]
mod tests;
