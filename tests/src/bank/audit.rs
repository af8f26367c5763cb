//! The books, read past MDB: whether the briefcases are whole, each on one shard only, with all transfers.

use std::collections::HashSet;
use std::fmt;

use mdb_core::Gdid;
use mdb_core::error::chain;
use sqlx::{Connection as _, Database};

use super::{ACCOUNTS, Bank, Known, Ledger, SUM, literal};
use crate::kit::Kind;
use crate::store::TestEngine;

/// How many tables a briefcase has.
const TABLES: usize = 4;

/// How many ids one query names.
const NAMED_AT_ONCE: usize = 200;

/// A connection to each of a bank's two shards, on which nothing goes through MDB. Look at the books while no
/// move is under way; tellers may work.
pub struct Audit<DB: TestEngine> {
    connections: [<DB as Database>::Connection; 2],
    context: String,
}

impl<DB: TestEngine> fmt::Debug for Audit<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl<DB: TestEngine> Audit<DB> {
    /// Opens the books; what doesn't fit is reported with the context.
    ///
    /// # Panics
    ///
    /// When a shard can't be reached.
    pub async fn open(bank: &Bank<DB>, context: impl Into<String>) -> Self {
        let connect = async |number| {
            let url = bank.url(number);
            let connection = <DB as Database>::Connection::connect(&url).await;
            connection.unwrap_or_else(|error| panic!("shard {number}: {}", chain(&error)))
        };
        Self {
            connections: [connect(0).await, connect(1).await],
            context: context.into(),
        }
    }

    async fn number(&mut self, shard: usize, sql: &str) -> i64 {
        let number = DB::number_on(&mut self.connections[shard], sql).await;
        number.unwrap_or_else(|error| panic!("{}: {sql}: {}", self.context, chain(&error)))
    }

    /// The shard that all these briefcases are on, whole, with nothing of them on the other one.
    ///
    /// # Panics
    ///
    /// When that is not so.
    pub async fn home(&mut self, users: &[Gdid]) -> usize {
        let names = list::<DB>(users);
        let count = i64::try_from(users.len()).expect("not many");
        let mut counts = [[0; 3]; 2];
        for (shard, counts) in counts.iter_mut().enumerate() {
            for (table, count) in ["customer", "account", "transfer"].into_iter().zip(counts) {
                let rows = format!("SELECT count(*) FROM {table} WHERE g_user IN ({names})");
                *count = self.number(shard, &rows).await;
            }
        }
        let home = usize::from(counts[0][0] == 0);
        assert_eq!(counts[1 - home], [0; 3], "rows left: {}", self.context);
        let [customers, accounts, _] = counts[home];
        assert_eq!(customers, count, "customers: {}", self.context);
        let expected = count * ACCOUNTS.cast_signed();
        assert_eq!(accounts, expected, "accounts: {}", self.context);
        home
    }

    /// Looks whether every transfer has both its entries, every entry a transfer, and every account has the cents that
    /// its entries come to.
    ///
    /// # Panics
    ///
    /// When that is not so.
    pub async fn balances(&mut self) {
        let first = SUM / ACCOUNTS.cast_signed();
        let wrong = [
            "SELECT count(*) FROM transfer t \
             WHERE (SELECT count(*) FROM entry e WHERE e.g_transfer = t.g_transfer) <> 2"
                .to_owned(),
            "SELECT count(*) FROM entry e \
             WHERE NOT EXISTS (SELECT 1 FROM transfer t WHERE t.g_transfer = e.g_transfer)"
                .to_owned(),
            format!(
                "SELECT count(*) FROM account a WHERE a.cents <> {first} + \
                 (SELECT coalesce(sum(e.cents), 0) FROM entry e JOIN transfer t ON t.g_transfer = e.g_transfer \
                 WHERE t.g_user = a.g_user AND e.n = a.n)"
            ),
        ];
        for shard in [0, 1] {
            for query in &wrong {
                let count = self.number(shard, query).await;
                assert_eq!(count, 0, "shard {shard}: {query}: {}", self.context);
            }
        }
    }

    /// Looks whether no move holds a briefcase: nothing is recorded, fenced or received, and nobody is noted as a mover.
    /// Signs that say where a briefcase has gone may be there.
    ///
    /// # Panics
    ///
    /// When that is not so.
    pub async fn at_rest(&mut self) {
        for shard in [0, 1] {
            for left in [
                "SELECT count(*) FROM mdb_fence WHERE state <> 3",
                "SELECT count(*) FROM mdb_mover",
            ] {
                let count = self.number(shard, left).await;
                assert_eq!(count, 0, "shard {shard}: {left}: {}", self.context);
            }
            for table in 0..TABLES {
                let table = format!("mdb_change_{table}");
                if self.number(shard, &is_there::<DB>(&table)).await == 1 {
                    let left = format!("SELECT count(*) FROM {table} {}", recorded::<DB>());
                    let count = self.number(shard, &left).await;
                    assert_eq!(count, 0, "shard {shard}: {left}: {}", self.context);
                }
            }
        }
    }

    /// Compares the transfers of the ledgers of all who have ever transferred with those that are there: each that
    /// was acknowledged, once; none that was refused; no other but those of which nobody knows.
    ///
    /// # Panics
    ///
    /// When that is not so.
    pub async fn reconcile(&mut self, ledger: &Ledger) {
        let acknowledged = self.found(ledger, Known::Acknowledged).await;
        let missing = ledger.count(Known::Acknowledged) - acknowledged;
        assert_eq!(missing, 0, "acknowledged and lost: {}", self.context);
        let refused = self.found(ledger, Known::Refused).await;
        assert_eq!(refused, 0, "refused and there: {}", self.context);
        let unknown = self.found(ledger, Known::Unknown).await;
        let mut all = 0;
        for shard in [0, 1] {
            all += self.number(shard, "SELECT count(*) FROM transfer").await;
        }
        let all = usize::try_from(all).expect("a count");
        assert_eq!(all, acknowledged + unknown, "others: {}", self.context);
    }

    /// How many of the transfers are there, over both shards.
    async fn found(&mut self, ledger: &Ledger, known: Known) -> usize {
        let lines: Vec<(Gdid, Gdid)> = ledger.of(known).collect();
        let different: HashSet<&(Gdid, Gdid)> = lines.iter().collect();
        assert_eq!(different.len(), lines.len(), "{}", self.context);
        let mut found = 0;
        for lines in lines.chunks(NAMED_AT_ONCE) {
            let pairs: Vec<String> = lines
                .iter()
                .map(|(user, id)| {
                    let (user, id) = (literal::<DB>(*user), literal::<DB>(*id));
                    format!("(g_transfer = {id} AND g_user = {user})")
                })
                .collect();
            let query = format!("SELECT count(*) FROM transfer WHERE {}", pairs.join(" OR "));
            for shard in [0, 1] {
                found += self.number(shard, &query).await;
            }
        }
        usize::try_from(found).expect("a count")
    }
}

/// A query for whether there is a table of that name: 1 or 0.
fn is_there<DB: TestEngine>(table: &str) -> String {
    let (tables, schema) = match DB::SERVER {
        None => return format!("SELECT count(*) FROM sqlite_schema WHERE name = '{table}'"),
        Some(Kind::Postgres) => ("pg_tables", "schemaname = current_schema() AND tablename"),
        Some(Kind::MariaDb) => (
            "information_schema.tables",
            "table_schema = DATABASE() AND table_name",
        ),
    };
    format!("SELECT count(*) FROM {tables} WHERE {schema} = '{table}'")
}

/// Which rows of a change table are records: movers on MariaDB leave each other a sign there, which has no such number.
fn recorded<DB: TestEngine>() -> &'static str {
    match DB::SERVER {
        Some(Kind::MariaDb) => "WHERE seq > 0",
        None | Some(Kind::Postgres) => "",
    }
}

fn list<DB: TestEngine>(ids: &[Gdid]) -> String {
    let names: Vec<String> = ids.iter().map(|id| literal::<DB>(*id)).collect();
    names.join(", ")
}
