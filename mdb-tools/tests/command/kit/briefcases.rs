//! A store with three briefcases, each row of which is known.

use serde_json::Value;

use super::{Store, status, text};

const SAMPLE: &str = include_str!("../../../../config/quickstart.toml");

const TABLES: &str = "
    CREATE TABLE account (g_user BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE address (g_user BLOB NOT NULL, kind TEXT NOT NULL, PRIMARY KEY (g_user, kind)) WITHOUT ROWID;
    CREATE TABLE orders (g_order BLOB NOT NULL PRIMARY KEY, g_user BLOB NOT NULL) WITHOUT ROWID;
    CREATE INDEX orders_user ON orders (g_user);
    CREATE TABLE line_item (g_order BLOB NOT NULL, line_no INTEGER NOT NULL, PRIMARY KEY (g_order, line_no)) WITHOUT ROWID;
    CREATE TABLE balance (g_user BLOB NOT NULL PRIMARY KEY, cents INTEGER NOT NULL) WITHOUT ROWID;
";

/// All databases that have briefcases.
pub(crate) const SHARDS: [&str; 4] = ["user_a0", "user_a1", "user_b0", "user_b1"];

/// The id `0:0:counter`, in SQL.
pub(crate) fn id(counter: u64) -> String {
    format!("x'{counter:024X}'")
}

impl Store {
    /// The briefcases `0:0:2` and `0:0:4` on `user_a0`, and `0:0:3` on `user_a1`, of six rows each.
    pub(crate) fn with_briefcases() -> Self {
        let store = Self::with(SAMPLE);
        store.run(["init"]).ends_with(status::DONE);
        for shard in SHARDS {
            store.execute(shard, TABLES);
        }
        for (shard, user) in [("user_a0", 2), ("user_a0", 4), ("user_a1", 3)] {
            let (user, order) = (id(user), id(1000 + user));
            store.execute(
                shard,
                &format!(
                    "INSERT INTO account VALUES ({user}, 'Ann');
                     INSERT INTO address VALUES ({user}, 'home');
                     INSERT INTO orders VALUES ({order}, {user});
                     INSERT INTO line_item VALUES ({order}, 1), ({order}, 2);
                     INSERT INTO balance VALUES ({user}, 500)"
                ),
            );
        }
        store
    }

    /// What stands under `key` in the findings of a kind that `mdb check` has, none of which is an error.
    #[track_caller]
    pub(crate) fn warnings(&self, check: &str, key: &str) -> Vec<String> {
        let found = self
            .run(["check", "--json"])
            .ends_with(status::DONE)
            .objects();
        let found = found.iter().filter(|found| text(found, "check") == check);
        found.map(|found| text(found, key).to_owned()).collect()
    }

    /// How many rows of accounts a database has.
    #[track_caller]
    pub(crate) fn accounts(&self, database: &str) -> i64 {
        self.count(database, "SELECT count(*) FROM account")
            .unwrap()
    }

    /// Moves a briefcase, and says by which move.
    #[track_caller]
    pub(crate) fn moved(&self, user: &str, to: &str) -> String {
        let run = ["move", "run", "user", "--to", to, "--gdid", user, "--json"];
        let ran = self.run(run).ends_with(status::DONE);
        text(&ran.objects()[0], "move").to_owned()
    }

    /// Registers a process that does not answer.
    pub(crate) fn fall_asleep(&self) {
        self.execute(
            "central",
            "INSERT INTO mdb_router (router, acknowledged, lease_until, waits_for, place) \
             VALUES ('sleeper', 0, 9000000000000000, '', 'elsewhere')",
        );
    }

    /// Takes that process' registration back.
    pub(crate) fn wake_up(&self) {
        self.execute("central", "DELETE FROM mdb_router");
    }

    /// The moves in the journal, each with its phase.
    #[track_caller]
    pub(crate) fn journal(&self) -> Vec<(String, String)> {
        let listed = self.run(["move", "list", "--json"]).ends_with(status::DONE);
        let listed = listed.objects();
        let pair = |line: &Value| {
            (
                text(line, "move").to_owned(),
                text(line, "phase").to_owned(),
            )
        };
        listed.iter().map(pair).collect()
    }

    /// Begins to move `0:0:4` to `user_a1`, while a process doesn't answer: says which move has stopped.
    #[track_caller]
    pub(crate) fn stopped_move(&self) -> String {
        self.fall_asleep();
        let (run, to) = (["move", "run", "user"], ["--to", "local/user_a1"]);
        let which = ["--gdid", "0:0:4", "--patience", "1"];
        self.run(run.iter().chain(&to).chain(&which)).refuses(
            status::FAILED,
            &["waited 1 s for elsewhere (sleeper)", "resume or abort"],
        );
        let listed = self
            .run(["move", "status", "--json"])
            .ends_with(status::DONE);
        assert!(listed.err().contains("elsewhere (sleeper)"), "{listed:?}");
        self.wake_up();
        text(&listed.objects()[0], "move").to_owned()
    }
}

/// The text with moves' ids, which are made at random, replaced.
pub(crate) fn masked(text: &str, moves: &[&str]) -> String {
    moves
        .iter()
        .zip('A'..)
        .fold(text.to_owned(), |text, (id, letter)| {
            text.replace(id, &letter.to_string().repeat(id.len()))
        })
}
