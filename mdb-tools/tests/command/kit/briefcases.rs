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

/// How many briefcases [`Store::with_many`] has besides.
pub(crate) const MANY: u64 = 10;

/// Moves them, each by a move of its own; so slowly that it never comes to its end while a test runs.
pub(crate) const MANY_MOVES: [&str; 12] = [
    "move",
    "run",
    "user",
    "--to",
    "local/user_b0",
    "--range",
    "0:0:100..0:0:200",
    "--batch",
    "1",
    "--max-rows-per-second",
    "1",
    "--json",
];

impl Store {
    /// As [`with_briefcases`](Self::with_briefcases), and [`MANY`] more from `0:0:100` on, where the rule has them.
    pub(crate) fn with_many() -> Self {
        let store = Self::with_briefcases();
        for user in 100..100 + MANY {
            let id = format!("0:0:{user}");
            let route = store.run(["route", "user", &id, "--json"]).objects();
            store.add_briefcase(text(&route[0], "database"), user);
        }
        store
    }

    /// The briefcases `0:0:2` and `0:0:4` on `user_a0`, and `0:0:3` on `user_a1`, of six rows each.
    pub(crate) fn with_briefcases() -> Self {
        let store = Self::with(SAMPLE);
        store.run(["init"]).ends_with(status::DONE);
        for shard in SHARDS {
            store.execute(shard, TABLES);
        }
        for (shard, user) in [("user_a0", 2), ("user_a0", 4), ("user_a1", 3)] {
            store.add_briefcase(shard, user);
        }
        store
    }

    /// A briefcase of six rows.
    pub(crate) fn add_briefcase(&self, shard: &str, user: u64) {
        let (user, order) = (id(user), id(1000 + user));
        self.execute(
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

    /// What stands under `key` in the findings of a kind that `mdb check` has, none of which is an error. It fails
    /// where somebody has to see to one.
    #[track_caller]
    pub(crate) fn warnings(&self, check: &str, key: &str) -> Vec<String> {
        let ran = self.run(["check", "--json"]);
        let found = ran.objects();
        let severity = |found| text(found, "severity");
        assert!(
            found.iter().all(|found| severity(found) != "error"),
            "{ran:?}"
        );
        let is_well = found.iter().all(|found| severity(found) == "notice");
        ran.ends_with(if is_well {
            status::DONE
        } else {
            status::FAILED
        });
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

    /// Registers a process that knows of the next announcement, and of nothing after that.
    pub(crate) fn fall_asleep_after_the_next(&self) {
        self.execute(
            "central",
            "INSERT INTO mdb_router (router, acknowledged, lease_until, waits_for, place) \
             SELECT 'sleeper', epoch + 1, 9000000000000000, '', 'elsewhere' FROM mdb_catalog",
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
        let ran = self.run(run.iter().chain(&to).chain(&which)).refuses(
            status::FAILED,
            &["waited 1 s for elsewhere (sleeper)", "mdb move resume"],
        );
        let listed = self
            .run(["move", "status", "--json"])
            .ends_with(status::DONE);
        assert!(listed.err().contains("elsewhere (sleeper)"), "{listed:?}");
        self.wake_up();
        let stopped = text(&listed.objects()[0], "move").to_owned();
        ran.says(&[&format!("mdb move resume {stopped}")]);
        stopped
    }

    /// Moves `0:0:4` to `user_a1` past the commit point, but not to its end: says which move has stopped.
    #[track_caller]
    pub(crate) fn decided_move(&self) -> String {
        self.fall_asleep_after_the_next();
        let (run, to) = (["move", "run", "user"], ["--to", "local/user_a1"]);
        let which = ["--gdid", "0:0:4", "--patience", "1"];
        self.run(run.iter().chain(&to).chain(&which))
            .refuses(status::FAILED, &["commit point", "mdb move revert"]);
        self.wake_up();
        let (stopped, phase) = self.journal().remove(0);
        assert_eq!(phase, "purging");
        stopped
    }
}

/// The text with moves' ids, which are made at random, and with moments replaced.
pub(crate) fn masked(text: &str, moves: &[&str]) -> String {
    const MOMENT: &str = "2026-01-01T00:00:00Z";
    let is_moment = |text: &str| {
        let digits_are_there =
            |(text, like): (u8, u8)| text == like || text.is_ascii_digit() && like.is_ascii_digit();
        text.len() == MOMENT.len() && text.bytes().zip(MOMENT.bytes()).all(digits_are_there)
    };
    let words = text.split_inclusive([' ', '\n']);
    let timeless = words.map(|word| match word.trim_end() {
        moment if is_moment(moment) => word.replace(moment, MOMENT),
        _ => word.to_owned(),
    });
    moves
        .iter()
        .zip('A'..)
        .fold(timeless.collect(), |text: String, (id, letter)| {
            text.replace(id, &letter.to_string().repeat(id.len()))
        })
}
