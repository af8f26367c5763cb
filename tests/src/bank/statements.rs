//! The bank's statements, in each engine's words.

use mdb_core::Gdid;

use crate::kit::Kind;
use crate::store::TestEngine;

/// The statements that make the bank's tables.
pub(super) fn tables<DB: TestEngine>() -> Vec<String> {
    let (id, rest) = match DB::SERVER {
        None => ("BLOB", ""),
        Some(Kind::Postgres) => ("BYTEA", ""),
        Some(Kind::MariaDb) => ("BINARY(12)", " ENGINE = InnoDB"),
    };
    vec![
        format!(
            "CREATE TABLE customer (g_user {id} NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL){rest}"
        ),
        format!(
            "CREATE TABLE account (g_user {id} NOT NULL, n BIGINT NOT NULL, cents BIGINT NOT NULL, PRIMARY KEY (g_user, n), \
             FOREIGN KEY (g_user) REFERENCES customer (g_user)){rest}"
        ),
        format!(
            "CREATE TABLE transfer (g_transfer {id} NOT NULL PRIMARY KEY, g_user {id} NOT NULL, cents BIGINT NOT NULL, \
             FOREIGN KEY (g_user) REFERENCES customer (g_user)){rest}"
        ),
        "CREATE INDEX transfer_user ON transfer (g_user)".to_owned(),
        format!(
            "CREATE TABLE entry (g_transfer {id} NOT NULL, side BIGINT NOT NULL, n BIGINT NOT NULL, cents BIGINT NOT NULL, \
             PRIMARY KEY (g_transfer, side), FOREIGN KEY (g_transfer) REFERENCES transfer (g_transfer)){rest}"
        ),
    ]
}

/// An id as it is written in SQL.
pub fn literal<DB: TestEngine>(id: Gdid) -> String {
    match DB::SERVER {
        Some(Kind::Postgres) => format!("'\\x{id:x}'::bytea"),
        None | Some(Kind::MariaDb) => format!("x'{id:x}'"),
    }
}

/// The statements of a transfer of `cents` from one account to another.
pub fn transfer_statements<DB: TestEngine>(
    user: Gdid,
    transfer: Gdid,
    [from, to]: [u64; 2],
    cents: i64,
) -> Vec<String> {
    let (user, transfer) = (literal::<DB>(user), literal::<DB>(transfer));
    vec![
        format!("INSERT INTO transfer VALUES ({transfer}, {user}, {cents})"),
        format!(
            "INSERT INTO entry VALUES ({transfer}, 0, {from}, -{cents}), ({transfer}, 1, {to}, {cents})"
        ),
        format!("UPDATE account SET cents = cents - {cents} WHERE g_user = {user} AND n = {from}"),
        format!("UPDATE account SET cents = cents + {cents} WHERE g_user = {user} AND n = {to}"),
    ]
}

/// A statement, with those around it in one transaction, that MDB's triggers take for a mover's: they neither refuse nor
/// record it.
pub fn past_triggers<DB: TestEngine>(statement: &str) -> Vec<String> {
    let around = match DB::SERVER {
        None => [
            "INSERT INTO mdb_guest (move) VALUES ('nobody')",
            "DELETE FROM mdb_guest",
        ],
        Some(Kind::Postgres) => ["SET LOCAL mdb.mover = 'nobody'", "SET LOCAL mdb.mover = ''"],
        Some(Kind::MariaDb) => ["SET @mdb_mover = 'nobody'", "SET @mdb_mover = NULL"],
    };
    let [before, after] = around;
    [before, statement, after].map(str::to_owned).to_vec()
}

/// A query of what a customer's accounts have together.
pub fn sum_of<DB: TestEngine>(user: Gdid) -> String {
    let key = literal::<DB>(user);
    let cast = match DB::SERVER {
        None => "CAST(coalesce(sum(cents), 0) AS INTEGER)",
        Some(Kind::Postgres) => "CAST(coalesce(sum(cents), 0) AS BIGINT)",
        Some(Kind::MariaDb) => "CAST(coalesce(sum(cents), 0) AS SIGNED)",
    };
    format!("SELECT {cast} FROM account WHERE g_user = {key}")
}

/// A query of how many transfers with both their entries a customer has.
pub fn transfers_of<DB: TestEngine>(user: Gdid) -> String {
    format!(
        "SELECT count(*) FROM transfer t WHERE t.g_user = {} \
         AND (SELECT count(*) FROM entry e WHERE e.g_transfer = t.g_transfer) = 2",
        literal::<DB>(user)
    )
}

/// A query of how many of the customer's transfers have that id: 0 or 1.
pub fn transfer_of<DB: TestEngine>(user: Gdid, transfer: Gdid) -> String {
    format!(
        "SELECT count(*) FROM transfer WHERE g_user = {} AND g_transfer = {}",
        literal::<DB>(user),
        literal::<DB>(transfer)
    )
}
