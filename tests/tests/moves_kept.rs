//! A move ends when nothing is left of its briefcases at the source, whatever keeps rows there.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use mdb_core::Gdid;
use mdb_core::relocate::{MoveError, MoveOptions, MovePhase, MoveProgress, TakeOver};
use mdb_tests::bank::{NOTE, Place, literal};
use mdb_tests::store::TestEngine;
use sqlx::{MySql, Postgres, Sqlite};

/// A table `line` below [`NOTE`], as the configuration lists it.
const LINE: &str =
    "[[area.briefcase.table]]\nname = \"line\"\nparent = \"note\"\non = { note = \"n\" }\n";

fn at_once() -> MoveOptions {
    MoveOptions::new().take_over(TakeOver::FromAnybody)
}

/// The id of somebody who stays.
fn neighbour<DB: TestEngine>() -> String {
    literal::<DB>(Gdid::new(0, 0, 5_000).unwrap())
}

/// Rows of `table` that have moved stay, whatever the mover does, until `drop` is run.
async fn kept<DB: TestEngine>(table: &str, keep: &[&str], drop: &str) {
    let mut place = Place::<DB>::new().await;
    place.make_notes("g_user").await;
    let line =
        "CREATE TABLE line (note INTEGER NOT NULL, k INTEGER NOT NULL, PRIMARY KEY (note, k))";
    for create in ["CREATE UNIQUE INDEX note_n ON note (n)", line] {
        place.on_both(create).await;
    }
    place.at(0, "INSERT INTO line VALUES (1, 1), (1, 2)").await;
    place.mdb = place.bank.open_with(&format!("{NOTE}{LINE}"));
    for keep in keep {
        place.at(0, &keep.replace("{table}", table)).await;
    }
    let moved = place.try_carry_to(1).await;
    let Err(MoveError::Kept { table: kept, shard }) = moved else {
        panic!("{moved:?}");
    };
    assert_eq!(kept, table);
    let first = place.bank.shard(&place.mdb, 0);
    assert_eq!(shard, Some(place.mdb.topology().shard_place(first)));
    assert!(place.is_in(MovePhase::Purging).await);
    // Nobody takes them for the customer's.
    let fences = "SELECT count(*) FROM mdb_fence WHERE state = 3";
    assert_eq!(place.bank.count(0, fences).await, 1);
    let id = place.moves().await[0].id().to_owned();
    let (relocator, progress) = (place.mdb.relocator(), MoveProgress::new());
    let again = relocator.resume(&id, &MoveOptions::new(), &progress).await;
    assert!(matches!(again, Err(MoveError::Kept { .. })), "{again:?}");

    place.at(0, &drop.replace("{table}", table)).await;
    place.resume(&id).await;
    place.is_whole(1).await;
    for (number, rows) in [(0, [0, 0]), (1, [1, 2])] {
        for (table, rows) in ["note", "line"].iter().zip(rows) {
            let count = format!("SELECT count(*) FROM {table}");
            assert_eq!(place.bank.count(number, &count).await, rows, "{table}");
        }
    }
}

#[tokio::test]
async fn a_move_does_not_end_while_a_trigger_keeps_its_rows_on_sqlite() {
    let keep = "CREATE TRIGGER keep BEFORE DELETE ON {table} BEGIN SELECT RAISE(IGNORE); END";
    for table in ["note", "line"] {
        kept::<Sqlite>(table, &[keep], "DROP TRIGGER keep").await;
    }
}

#[tokio::test]
async fn a_move_does_not_end_while_a_trigger_keeps_its_rows_on_postgres() {
    let function =
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'";
    let trigger =
        "CREATE TRIGGER keep BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION keep()";
    let always = "ALTER TABLE {table} ENABLE ALWAYS TRIGGER keep";
    for table in ["note", "line"] {
        let keep = [function, trigger, always];
        kept::<Postgres>(table, &keep, "DROP TRIGGER keep ON {table}").await;
    }
}

/// Rows of a half copy that a trigger keeps are not taken for another briefcase's with the same keys.
#[tokio::test]
async fn a_half_copy_that_a_trigger_keeps_is_told() {
    let mut place = Place::<Postgres>::new().await;
    place.make_notes("g_user").await;
    place.mdb = place.bank.open_with(NOTE);
    let function =
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'";
    let trigger = "CREATE TRIGGER keep BEFORE DELETE ON note FOR EACH ROW EXECUTE FUNCTION keep()";
    for create in [function, trigger] {
        place.on_both(create).await;
    }
    let copied = async || place.bank.count(1, "SELECT count(*) FROM note").await == 1;
    let id = place.killed_when(1, copied).await;
    let (relocator, options) = (place.mdb.relocator(), at_once());
    let resumed = relocator.resume(&id, &options, &MoveProgress::new()).await;
    let Err(MoveError::Kept { table, shard }) = resumed else {
        panic!("{resumed:?}");
    };
    assert_eq!(table, "note");
    let second = place.bank.shard(&place.mdb, 1);
    assert_eq!(shard, Some(place.mdb.topology().shard_place(second)));
    place.on_both("DROP TRIGGER keep ON note").await;
    place.resume(&id).await;
    place.is_whole(1).await;
    for (number, rows) in [(0, 0), (1, 1)] {
        let notes = "SELECT count(*) FROM note";
        assert_eq!(place.bank.count(number, notes).await, rows, "at {number}");
    }
}

/// Rows that a trigger writes while those of its table are deleted go along.
#[tokio::test]
async fn an_audit_trail_keeps_no_move_from_its_end() {
    for index in ["", "CREATE INDEX trail_user ON trail (g_user)"] {
        let mut place = Place::<Sqlite>::new().await;
        place.make_notes("g_user").await;
        let trail = "CREATE TABLE trail (n INTEGER NOT NULL, g_user BLOB NOT NULL, PRIMARY KEY (g_user, n)) ";
        let trail = if index.is_empty() {
            trail.replace("(g_user, n)", "(n, g_user)")
        } else {
            trail.to_owned()
        };
        place.on_both(&trail).await;
        if !index.is_empty() {
            place.on_both(index).await;
        }
        let writes = "CREATE TRIGGER writes AFTER DELETE ON note BEGIN INSERT INTO trail VALUES (OLD.n, OLD.g_user); END";
        place.on_both(writes).await;
        let trails = format!("{NOTE}{}", NOTE.replace("note", "trail"));
        place.mdb = place.bank.open_with(&trails);
        let copied = async || place.bank.count(1, "SELECT count(*) FROM note").await == 1;
        let id = place.killed_when(1, copied).await;
        let (relocator, options) = (place.mdb.relocator(), at_once());
        relocator.abort(&id, &options).await.unwrap();
        place.is_whole(0).await;
        place.carry_to(1).await;
        place.is_whole(1).await;
        for number in [0, 1] {
            let trail = place.bank.count(number, "SELECT count(*) FROM trail").await;
            assert_eq!(trail, 0, "at {number}");
        }
    }
}

/// A trigger writes rows below a parent while other rows below it are deleted: once the parent has gone, nobody finds them.
async fn trail_below_a_parent<DB: TestEngine>(triggers: &[&str], key: &str) {
    let trail = LINE.replace("line", "trail");
    // What is listed last is deleted first.
    for tables in [[LINE, &trail], [&trail, LINE]] {
        trail_below::<DB>(triggers, key, &tables.concat()).await;
    }
}

async fn trail_below<DB: TestEngine>(triggers: &[&str], key: &str, tables: &str) {
    let mut place = Place::<DB>::new().await;
    place.make_notes("g_user").await;
    place
        .on_both("CREATE UNIQUE INDEX note_n ON note (n)")
        .await;
    for table in ["line", "trail"] {
        place
            .on_both(&format!(
                "CREATE TABLE {table} (note INTEGER NOT NULL, k INTEGER NOT NULL, PRIMARY KEY (note, k){key})"
            ))
            .await;
    }
    place.at(0, "INSERT INTO line VALUES (1, 1), (1, 2)").await;
    place.mdb = place.bank.open_with(&format!("{NOTE}{tables}"));
    for trigger in triggers {
        place.on_both(trigger).await;
    }
    let copied = async || place.bank.count(1, "SELECT count(*) FROM line").await == 2;
    let id = place.killed_when(1, copied).await;
    let (relocator, options) = (place.mdb.relocator(), at_once());
    relocator.abort(&id, &options).await.unwrap();
    for (from, to) in [(0, 1), (1, 0)] {
        for table in ["note", "line", "trail"] {
            let left = format!("SELECT count(*) FROM {table}");
            assert_eq!(place.bank.count(to, &left).await, 0, "{table} at {to}");
        }
        place.carry_to(to).await;
        place.is_whole(to).await;
        let lines = "SELECT count(*) FROM line";
        assert_eq!(place.bank.count(to, lines).await, 2, "at {to}");
        assert_eq!(place.bank.count(from, lines).await, 0, "at {from}");
    }
}

#[tokio::test]
async fn a_trail_below_a_parent_goes_along_on_sqlite() {
    let trigger = "CREATE TRIGGER trails AFTER DELETE ON line BEGIN INSERT INTO trail VALUES (OLD.note, OLD.k); END";
    trail_below_a_parent::<Sqlite>(&[trigger], "").await;
}

#[tokio::test]
async fn a_trail_below_a_parent_goes_along_on_postgres() {
    let function = "CREATE FUNCTION trails() RETURNS trigger LANGUAGE plpgsql AS \
                    'BEGIN INSERT INTO trail VALUES (OLD.note, OLD.k); RETURN OLD; END'";
    for when in ["BEFORE", "AFTER"] {
        let trigger = format!(
            "CREATE TRIGGER trails {when} DELETE ON line FOR EACH ROW EXECUTE FUNCTION trails()"
        );
        for key in ["", ", FOREIGN KEY (note) REFERENCES note (n)"] {
            trail_below_a_parent::<Postgres>(&[function, &trigger], key).await;
        }
    }
}

#[tokio::test]
async fn a_trail_below_a_parent_goes_along_on_mariadb() {
    let trigger = "CREATE TRIGGER trails AFTER DELETE ON line FOR EACH ROW INSERT INTO trail VALUES (OLD.note, OLD.k)";
    trail_below_a_parent::<MySql>(&[trigger], "").await;
}

#[tokio::test]
async fn rows_with_null_in_their_keys_move_as_often_as_they_are_there() {
    for index in ["", "CREATE INDEX note_user ON note (g_user)"] {
        let mut place = Place::<Sqlite>::new().await;
        let create = "CREATE TABLE note (k TEXT PRIMARY KEY, g_user BLOB NOT NULL, n INTEGER)";
        place.on_both(create).await;
        if !index.is_empty() {
            place.on_both(index).await;
        }
        place.mdb = place.bank.open_with(NOTE);
        let (own, others) = (literal::<Sqlite>(place.ids[0]), neighbour::<Sqlite>());
        let rows = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000) \
                    INSERT INTO note SELECT";
        for (number, insert) in [
            (0, format!("{rows} 'key ' || n, {own}, n FROM c")),
            (
                0,
                format!(
                    "INSERT INTO note VALUES (NULL, {own}, 1), (NULL, {own}, 1), (NULL, {own}, 2)"
                ),
            ),
            (0, format!("INSERT INTO note VALUES (NULL, {others}, 1)")),
            (1, format!("INSERT INTO note VALUES (NULL, {others}, 1)")),
        ] {
            place.at(number, &insert).await;
        }
        place.carry_to(1).await;
        let count = |whose: &str, of: &str| {
            format!("SELECT count(*) FROM note WHERE g_user = {whose} AND {of}")
        };
        for (number, whose, of, rows) in [
            (0, &own, "TRUE", 0),
            (1, &own, "TRUE", 3_003),
            (1, &own, "k IS NULL AND n = 1", 2),
            (0, &others, "TRUE", 1),
            (1, &others, "TRUE", 1),
        ] {
            let found = place.bank.count(number, &count(whose, of)).await;
            assert_eq!(found, rows, "{of} at {number} {index}");
        }
    }
}

/// A function that catches refusals writes behind the fence of a move that is decided: the target lacks that.
#[tokio::test]
async fn what_was_written_past_a_refusal_is_not_deleted() {
    let mut place = Place::<MySql>::new().await;
    place.make_notes("g_user").await;
    place.mdb = place.bank.open_with(NOTE);
    let function = "CREATE FUNCTION writes() RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN \
                    DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END; UPDATE note SET n = 9; RETURN 1; END";
    place.at(0, function).await;
    let id = place.killed_decided(1).await;
    place.at(0, "DO writes()").await;
    let written = "SELECT count(*) FROM note WHERE n = 9";
    let (relocator, options) = (place.mdb.relocator(), at_once());
    let mut records = String::new();
    for _ in 0..2 {
        let resumed = relocator.resume(&id, &options, &MoveProgress::new()).await;
        let Err(MoveError::WrittenPast { shard, tables }) = resumed else {
            panic!("{resumed:?}");
        };
        let first = place.bank.shard(&place.mdb, 0);
        assert_eq!(shard, place.mdb.topology().shard_place(first));
        let [table] = tables.as_slice() else {
            panic!("{tables:?}");
        };
        let keys = table.strip_prefix("table `note` (their keys: `");
        let keys = keys.and_then(|keys| keys.strip_suffix("`)"));
        records = keys.unwrap_or_else(|| panic!("{table}")).to_owned();
        assert_eq!(place.bank.count(0, written).await, 1);
    }
    // As the message says: by hand.
    place.at(1, "UPDATE note SET n = 9").await;
    let forget = format!("DELETE FROM {records}");
    place.at(0, &forget).await;
    place.resume(&id).await;
    place.is_whole(1).await;
    for (number, rows) in [(0, 0), (1, 1)] {
        assert_eq!(place.bank.count(number, written).await, rows, "at {number}");
    }
}
