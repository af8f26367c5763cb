//! What a mover's session is set to, whatever the server or the user's URL has set.

use super::literal;
use crate::engine::relocating::MoveId;

/// For as long as the session is open.
///
/// Moments travel as text, and texts of statements are UTF-8. The mode lets the target store whatever the source has stored,
/// both sides read a column alike, and a backslash escape what comes after it. A mover may change rows without naming a
/// key. Unique values are looked at row by row: MariaDB would load an empty table in bulk otherwise, and lock all of it.
/// A move that flows slowly has nothing to say for long.
pub(super) const SESSION: &str = "SET SESSION time_zone = '+00:00', \
     sql_mode = 'PIPES_AS_CONCAT,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', \
     sql_safe_updates = 0, unique_checks = 1, wait_timeout = 28800, NAMES utf8mb4";

/// Takes back what [`mover_settings`] set.
pub(super) const LEAVE: &str = "SET @mdb_mover = NULL, SESSION foreign_key_checks = 1 \
     /*!80000 , SESSION wait_timeout = 28800 */";

/// After how many seconds without a word a mover's transaction is given up: he may be cut off
/// without his connection ending, and whoever takes the move over waits for it.
const LONG_SILENCE: u32 = 60;

/// Has a session look rows up by keys rather than read all of them.
const BY_KEYS: &str = "SESSION max_seeks_for_key = 1 /*M! , SESSION join_cache_level = 0 */ \
     /*!80020 , SESSION optimizer_switch = 'block_nested_loop=off' */";

/// Marks the session as the mover's. A wait for a row is bounded by a second, the least there is;
/// rows that others want too are locked by [`lock_exclusive`](super::locks::lock_exclusive).
pub(super) fn mover_settings(id: &MoveId) -> String {
    format!(
        "SET @mdb_mover = {}, SESSION foreign_key_checks = 0, SESSION innodb_lock_wait_timeout = 1, \
         SESSION lock_wait_timeout = 1, {BY_KEYS} /*M! , SESSION idle_transaction_timeout = {LONG_SILENCE} */ \
         /*!80000 , SESSION wait_timeout = {LONG_SILENCE} */",
        literal(id.as_str())
    )
}
