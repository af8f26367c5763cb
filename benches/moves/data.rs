//! What is moved: briefcases of 250 rows over 8 tables, three levels deep.

use std::fmt::Write as _;

use mdb_core::Gdid;
use mdb_tests::bank::literal;
use mdb_tests::kit::Kind;
use mdb_tests::store::TestEngine;

/// How many rows a briefcase has.
pub(crate) const ROWS: usize = 250;

/// How many briefcases there are.
pub(crate) fn briefcases() -> usize {
    std::env::var("MDB_BENCH_BRIEFCASES").map_or(1_000, |text| text.parse().unwrap())
}

/// One table.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// How many rows of it a briefcase has.
    rows: u64,
    /// Reached through `purchase`, not by a key of its own.
    is_below_purchase: bool,
    definition: &'static str,
}

/// Parents first.
pub(crate) const TABLES: [Table; 8] = [
    Table {
        name: "account",
        rows: 1,
        is_below_purchase: false,
        definition: "g_user {id} NOT NULL PRIMARY KEY, cents BIGINT NOT NULL, name VARCHAR(80) NOT NULL, \
            joined {time} NOT NULL, settings {json}, picture {bytes}",
    },
    Table {
        name: "address",
        rows: 4,
        is_below_purchase: false,
        definition: "g_user {id} NOT NULL, n INTEGER NOT NULL, street VARCHAR(80) NOT NULL, city VARCHAR(40), \
            latitude {double}, PRIMARY KEY (g_user, n), FOREIGN KEY (g_user) REFERENCES account (g_user)",
    },
    Table {
        name: "purchase",
        rows: 20,
        is_below_purchase: false,
        definition: "g_purchase {id} NOT NULL PRIMARY KEY, g_user {id} NOT NULL, placed {time} NOT NULL, \
            total DECIMAL(12, 2) NOT NULL, is_paid BOOLEAN NOT NULL, \
            FOREIGN KEY (g_user) REFERENCES account (g_user)",
    },
    Table {
        name: "item",
        rows: 100,
        is_below_purchase: true,
        definition: "g_purchase {id} NOT NULL, n INTEGER NOT NULL, product VARCHAR(60) NOT NULL, pieces INTEGER NOT NULL, \
            price DECIMAL(12, 2) NOT NULL, PRIMARY KEY (g_purchase, n), \
            FOREIGN KEY (g_purchase) REFERENCES purchase (g_purchase)",
    },
    Table {
        name: "payment",
        rows: 20,
        is_below_purchase: true,
        definition: "g_purchase {id} NOT NULL, n INTEGER NOT NULL, paid {time}, amount DECIMAL(12, 2) NOT NULL, \
            reference {bytes}, PRIMARY KEY (g_purchase, n), \
            FOREIGN KEY (g_purchase) REFERENCES purchase (g_purchase)",
    },
    Table {
        name: "message",
        rows: 50,
        is_below_purchase: false,
        definition: "g_user {id} NOT NULL, n INTEGER NOT NULL, sent {time} NOT NULL, body VARCHAR(1000) NOT NULL, \
            PRIMARY KEY (g_user, n), FOREIGN KEY (g_user) REFERENCES account (g_user)",
    },
    Table {
        name: "attachment",
        rows: 15,
        is_below_purchase: false,
        definition: "g_user {id} NOT NULL, message INTEGER NOT NULL, content {bytes} NOT NULL, \
            PRIMARY KEY (g_user, message), FOREIGN KEY (g_user, message) REFERENCES message (g_user, n)",
    },
    Table {
        name: "event",
        rows: 40,
        is_below_purchase: false,
        definition: "g_user {id} NOT NULL, n INTEGER NOT NULL, happened {time} NOT NULL, level {double} NOT NULL, \
            detail {json}, PRIMARY KEY (g_user, n), FOREIGN KEY (g_user) REFERENCES account (g_user)",
    },
];

impl Table {
    /// A condition on the row `t` that it belongs to the briefcase with that key.
    pub(crate) fn condition(&self, key: &str) -> String {
        if self.is_below_purchase {
            format!("t.g_purchase IN (SELECT p.g_purchase FROM purchase p WHERE p.g_user = {key})")
        } else {
            format!("t.g_user = {key}")
        }
    }

    /// The values of its row `n` in the briefcase `user`.
    fn row<DB: TestEngine>(&self, user: Gdid, n: u64) -> String {
        let key = literal::<DB>(user);
        let counter = user.counter();
        let time = format!(
            "'2026-{:02}-{:02} {:02}:{:02}:07.125'",
            1 + n % 12,
            1 + counter % 28,
            n % 24,
            counter % 60
        );
        let cents = (counter * 7919 + n * 104_729) % 10_000_000;
        let money = format!("{}.{:02}", cents / 100, cents % 100);
        let json = format!("'{{\"page\": {n}, \"seen\": [1, 2, {counter}], \"theme\": \"dark\"}}'");
        match self.name {
            "account" => format!(
                "{key}, {cents}, 'Customer {counter}', {time}, {json}, {}",
                bytes::<DB>(cents, 600)
            ),
            "address" if n == 3 => format!("{key}, {n}, 'Long Road {cents}', NULL, NULL"),
            "address" => format!("{key}, {n}, 'Long Road {cents}', 'Cleveland', {money}"),
            "purchase" => {
                let paid = if n.is_multiple_of(3) { "FALSE" } else { "TRUE" };
                let purchase = literal::<DB>(purchase(user, n));
                format!("{purchase}, {key}, {time}, {money}, {paid}")
            }
            "item" => {
                let purchase = literal::<DB>(purchase(user, n / 5));
                format!(
                    "{purchase}, {}, 'Product number {cents}', {}, {money}",
                    n % 5,
                    1 + n % 9
                )
            }
            "payment" => {
                let purchase = literal::<DB>(purchase(user, n));
                format!("{purchase}, 0, {time}, {money}, {}", bytes::<DB>(cents, 16))
            }
            "message" => {
                let body = "It has arrived, thank you; the second parcel is still on its way. ";
                format!(
                    "{key}, {n}, {time}, '{cents}: {}'",
                    body.repeat(1 + (n % 4) as usize)
                )
            }
            "attachment" => format!("{key}, {n}, {}", bytes::<DB>(cents, 400)),
            _ => format!("{key}, {n}, {time}, {money}, {json}"),
        }
    }
}

fn purchase(user: Gdid, n: u64) -> Gdid {
    Gdid::new(1, 0, user.counter() * 100 + n).unwrap()
}

/// Bytes that don't shrink much when they are compressed.
fn bytes<DB: TestEngine>(seed: u64, length: usize) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut digits = String::new();
    for _ in 0..length {
        let _ = write!(digits, "{:02x}", random.u8(..));
    }
    match DB::SERVER {
        Some(Kind::Postgres) => format!("'\\x{digits}'::bytea"),
        None | Some(Kind::MariaDb) => format!("x'{digits}'"),
    }
}

/// The statements that make the tables.
pub(crate) fn create<DB: TestEngine>() -> Vec<String> {
    let [id, time, json, bytes, double] = match DB::SERVER {
        None => ["BLOB", "TEXT", "TEXT", "BLOB", "REAL"],
        Some(Kind::Postgres) => ["BYTEA", "TIMESTAMPTZ", "JSONB", "BYTEA", "DOUBLE PRECISION"],
        Some(Kind::MariaDb) => ["BINARY(12)", "DATETIME(6)", "JSON", "BLOB", "DOUBLE"],
    };
    let mut statements: Vec<String> = TABLES
        .iter()
        .map(|table| {
            let columns = table.definition.replace("{id}", id).replace("{time}", time);
            let columns = columns.replace("{json}", json).replace("{bytes}", bytes);
            let columns = columns.replace("{double}", double);
            format!("CREATE TABLE {} ({columns})", table.name)
        })
        .collect();
    statements.push("CREATE INDEX purchase_user ON purchase (g_user)".to_owned());
    statements
}

/// The statements that fill the tables, a few briefcases with each list.
pub(crate) fn fill<DB: TestEngine>(ids: &[Gdid]) -> impl Iterator<Item = Vec<String>> {
    ids.chunks(20).map(|ids| {
        let statements = TABLES.iter().map(|table| {
            let rows = ids
                .iter()
                .flat_map(|id| (0..table.rows).map(|n| format!("({})", table.row::<DB>(*id, n))));
            let rows: Vec<String> = rows.collect();
            format!("INSERT INTO {} VALUES {}", table.name, rows.join(", "))
        });
        statements.collect()
    })
}
