//! Knowing that everything is installed without looking it up, which takes milliseconds.
//!
//! Who has looked leaves a **voucher**: a row of the first change table, of which his session keeps a copy.
//! While both are the same and nobody has the lock, no mover has changed a definition since. Whoever is
//! about to change one removes the voucher first. What people change by hand during a run is not noticed.

use sqlx::Row;
use sqlx::mysql::MySqlConnection;

use super::super::{busy, error_number, numbered, run};
use super::LOCK;
use crate::engine::relocating::{Manifest, StepError};

/// The table with the voucher, and its number there; records have positive ones.
const VOUCHERS: &str = "mdb_change_0";
const VOUCHER: i64 = -1;

/// `ER_NO_SUCH_TABLE`.
const NO_TABLE: u16 = 1146;

/// Whether this session has found everything installed, and nobody has changed it since.
///
/// The lock is looked at first: who changes something that the caller relies on has had it by then, and
/// so has removed the voucher, or has it still.
pub(super) async fn is_armed(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
) -> Result<bool, StepError> {
    let query = format!(
        "SELECT CAST(IS_FREE_LOCK({LOCK}) AS SIGNED) AS free; \
         SELECT 1 AS free FROM {VOUCHERS} \
         WHERE seq = {VOUCHER} AND CONCAT('{}:', HEX(gdid)) = @mdb_armed",
        digest(manifest)
    );
    match run(connection, &query).await {
        Err(error) if error_number(&error) == Some(NO_TABLE) => Ok(false),
        found => {
            let found = found.map_err(busy)?;
            let is_free = match found.first() {
                Some(row) => row.try_get::<Option<i64>, _>("free")? == Some(1),
                None => false,
            };
            Ok(is_free && found.len() == 2)
        }
    }
}

/// Leaves a voucher, if there is none, and keeps it in mind.
pub(super) async fn vouch(
    connection: &mut MySqlConnection,
    manifest: &Manifest,
) -> Result<(), StepError> {
    let Some(table) = manifest.tables().first() else {
        return Ok(());
    };
    let vouch = format!(
        "INSERT INTO {VOUCHERS} (seq, gdid, deep, {}) VALUES ({VOUCHER}, x'{:024x}', FALSE{}) \
         ON DUPLICATE KEY UPDATE seq = seq; \
         SET @mdb_armed = (SELECT CONCAT('{}:', HEX(gdid)) FROM {VOUCHERS} WHERE seq = {VOUCHER})",
        numbered(table, ""),
        fastrand::u128(..1 << 96),
        ", NULL".repeat(table.primary_key.len()),
        digest(manifest)
    );
    run(connection, &vouch).await.map(drop).map_err(busy)
}

/// Says that what is installed need not be any more.
pub(super) async fn revoke(connection: &mut MySqlConnection) -> Result<(), StepError> {
    let revoke = format!("DELETE FROM {VOUCHERS} WHERE seq = {VOUCHER}");
    match run(connection, &revoke).await {
        Err(error) if error_number(&error) == Some(NO_TABLE) => Ok(()),
        revoked => revoked.map(drop).map_err(busy),
    }
}

fn digest(manifest: &Manifest) -> String {
    format!(
        "{:032x}",
        xxhash_rust::xxh3::xxh3_128(format!("{manifest:?}").as_bytes())
    )
}
