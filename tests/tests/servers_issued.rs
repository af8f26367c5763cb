//! A shard's database that is not there: it is made only while no ids were issued that belong there, and no briefcases moved
//! there.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::time::Duration;

use mdb_core::error::chain;
use mdb_core::relocate::{MoveError, MoveOptions, MoveProgress, MoveRequest, Selection};
use mdb_core::topology::ShardId;
use mdb_core::{AcquireError, Gdid, IdentityError, InitError, InitLost, InitOutcome, Mdb};
use mdb_gdid::RangeKey;
use mdb_tests::bank::Bank;
use mdb_tests::kit::{free_port, unique};
use mdb_tests::on_all_engines;
use mdb_tests::store::{Limits, Store, TestEngine};
use sqlx::Sqlite;

on_all_engines!(
    a_lost_shard_is_begun_only_when_a_person_says_so,
    a_lost_shard_is_not_begun_where_the_counts_are_lost_too,
    partitions_are_added_where_no_ids_were_issued,
    one_sequence_that_is_not_so_far_may_be_the_one,
    an_area_without_sequences_is_not_asked_about,
    a_lost_shard_that_briefcases_were_moved_to_is_not_begun,
    a_lost_shard_that_a_move_goes_to_is_not_begun,
);

/// A sequence for ids of the area.
fn sequence(name: &str) -> String {
    format!("[[sequence]]\nname = \"{name}\"\narea = \"User\"\n")
}

/// The store with sequences, and more partitions.
fn open<DB: TestEngine>(store: &Store<DB>, more: &str, change: impl Fn(String) -> String) -> Mdb {
    store.open_changed(|text| {
        let sequences = sequence("user") + &sequence("order");
        format!("{}\n{more}\n{sequences}", change(text))
    })
}

fn partition(start: u64, database: &str) -> String {
    format!(
        "[[area.partition]]\nstart = \"0:0:{start}\"\nshards = [{{ server = \"main\", database = \"{database}\" }}]\n"
    )
}

fn shard_on(mdb: &Mdb, database: &str) -> ShardId {
    let mut shards = mdb.topology().areas()[0].shards();
    let is_on = |shard: &ShardId| mdb.topology().shard(*shard).database().as_str() == database;
    shards.find(is_on).unwrap()
}

async fn floor(mdb: &Mdb, sequence: &str, counter: u64) {
    let floor = RangeKey::new(0, counter).unwrap();
    mdb.sequence(sequence).raise_floor(floor).await.unwrap();
}

/// Nothing was made of the database.
async fn is_unstamped(mdb: &Mdb, shard: ShardId) {
    let unstamped = mdb.servers().probe(shard).await.unwrap_err();
    assert!(
        matches!(
            &unstamped,
            AcquireError::Identity {
                source: IdentityError::Missing { .. },
                ..
            }
        ),
        "{unstamped:?}"
    );
}

/// The database is not made: says what the sequence is at that has come too far, and from where on ids belong there.
async fn refused(mdb: &Mdb, database: &str) -> (String, RangeKey, RangeKey) {
    let shard = shard_on(mdb, database);
    let error = mdb.init_shard(shard).await.unwrap_err();
    assert!(!error.is_unreachable());
    let InitError::IdsIssued {
        sequence,
        next,
        start,
        ..
    } = &error
    else {
        panic!("{}", chain(&error));
    };
    let said = error.to_string();
    assert!(said.contains("--new-shard main/"), "{said}");
    is_unstamped(mdb, shard).await;
    (sequence.to_string(), *next, *start)
}

async fn made(mdb: &Mdb, database: &str) {
    let report = mdb.init_shard(shard_on(mdb, database)).await;
    let report = report.unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(report.outcome(), InitOutcome::Created);
}

async fn a_lost_shard_is_begun_only_when_a_person_says_so<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let (old, new) = (store.prefix().to_owned(), unique("blank"));
    let mdb = open(&store, "", |text| {
        // Beyond what is fetched ahead.
        text.replace(&old, &new).replace("0:0:1000", "0:0:1000000")
    });
    // Nobody has used the sequences yet: another host is as good as the first one.
    made(&mdb, &format!("{new}_a1")).await;

    let first = mdb.sequence("user").take(20).await.unwrap();
    let lost = format!("{new}_a0");
    let (sequence, next, start) = refused(&mdb, &lost).await;
    assert_eq!(sequence, "user");
    assert!(next > first[19].range_key());
    assert_eq!(start, RangeKey::new(0, 10).unwrap());
    // What is beyond them is new, and what has its stamp is in use.
    made(&mdb, &format!("{new}_b0")).await;
    for (database, lost, outcome) in [
        ("a1", InitLost::Refuse, InitOutcome::Unchanged),
        ("a0", InitLost::Begin, InitOutcome::Stamped),
        ("a0", InitLost::Refuse, InitOutcome::Unchanged),
    ] {
        let shard = shard_on(&mdb, &format!("{new}_{database}"));
        let report = mdb.init_shard_with(shard, lost).await.unwrap();
        assert_eq!(report.outcome(), outcome);
    }
}

/// As where one server had CENTRAL too, and that was begun anew.
async fn a_lost_shard_is_not_begun_where_the_counts_are_lost_too<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let lost = unique("lost");
    let mdb = open(&store, "", |text| {
        text.replace(&store.database("a0"), &lost)
    });
    let used = "UPDATE mdb_shard SET flips = 1".to_owned();
    DB::run_at(&store.url("b0"), &[used]).await.unwrap();
    let shard = shard_on(&mdb, &lost);
    let error = mdb.init_shard(shard).await.unwrap_err();
    let InitError::ShardLost { in_use, .. } = &error else {
        panic!("{}", chain(&error));
    };
    assert!(in_use.ends_with(&store.database("b0")), "{in_use}");
    assert!(error.to_string().contains("--new-shard main/"), "{error}");
    let begun = mdb.init_shard_with(shard, InitLost::Begin).await.unwrap();
    assert_eq!(begun.outcome(), InitOutcome::Stamped);
}

async fn partitions_are_added_where_no_ids_were_issued<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let names = [unique("below"), unique("at"), unique("beyond")];
    let [below, at, beyond] = &names;
    let more = [(4_999, below), (5_000, at), (9_000, beyond)];
    let more: String = more.map(|(start, name)| partition(start, name)).concat();
    // Partitions have to stand together.
    let mdb = open(&store, "", |text| {
        let (before, last) = text.rsplit_once("[[area.partition]]").unwrap();
        format!("{before}[[area.partition]]{last}{more}")
    });
    floor(&mdb, "user", 5_000).await;
    let (_, next, start) = refused(&mdb, below).await;
    assert_eq!(next, RangeKey::new(0, 5_000).unwrap());
    assert_eq!(start, RangeKey::new(0, 4_999).unwrap());
    made(&mdb, at).await;
    made(&mdb, beyond).await;
}

async fn one_sequence_that_is_not_so_far_may_be_the_one<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let names = [unique("early"), unique("later")];
    let [early, later] = &names;
    let more = partition(2_000, early) + &partition(3_000, later);
    let mdb = open(&store, &more, |text| text);
    floor(&mdb, "order", 8_000).await;
    // One that nobody has used says nothing.
    refused(&mdb, early).await;
    floor(&mdb, "user", 2_500).await;
    refused(&mdb, early).await;
    made(&mdb, later).await;
}

async fn an_area_without_sequences_is_not_asked_about<DB: TestEngine>() {
    let store = Store::<DB>::start(Limits::ROOMY).await;
    let added = unique("added");
    let others = "[[sequence]]\nname = \"user\"\n";
    let mdb = store.open_changed(|text| format!("{text}{}{others}", partition(2_000, &added)));
    floor(&mdb, "user", 9_000).await;
    made(&mdb, &added).await;
}

/// The bank whose third shard, which no id belongs to yet, has a blank database. Nobody has made it ready.
async fn with_lost_third<DB: TestEngine>(bank: &Bank<DB>) -> (Mdb, ShardId) {
    let mdb = bank.open_changed(|text| text.replace("_2\"", "_blank\"") + &sequence("user"));
    let lost = bank.shard(&mdb, 2);
    floor(&mdb, "user", 500_000).await;
    (mdb, lost)
}

/// Moves a briefcase of the bank.
async fn take<DB: TestEngine>(
    bank: &Bank<DB>,
    mdb: &Mdb,
    id: Gdid,
    to: usize,
    options: &MoveOptions,
) -> Result<(), MoveError> {
    let selection = Selection::Briefcases(vec![id]);
    let request = MoveRequest::new("user", selection, bank.shard(mdb, to));
    let relocator = mdb.relocator();
    let plan = relocator.plan(&request).await.unwrap();
    let run = relocator.run(&plan, options, &MoveProgress::new()).await;
    run.map(drop)
}

async fn refused_for_moves(mdb: &Mdb, lost: ShardId) {
    let error = mdb.init_shard(lost).await.unwrap_err();
    assert!(
        matches!(error, InitError::BriefcasesMoved { .. }),
        "{}",
        chain(&error)
    );
    assert!(!error.is_unreachable());
    assert!(error.to_string().contains("--new-shard west/"), "{error}");
    is_unstamped(mdb, lost).await;
}

async fn a_lost_shard_that_briefcases_were_moved_to_is_not_begun<DB: TestEngine>() {
    let bank = Bank::<DB>::with_third().await;
    let mdb = bank.open();
    let ann = bank.customers(&mdb, 0, 1).await[0];
    let options = MoveOptions::new();
    take(&bank, &mdb, ann, 2, &options).await.unwrap();
    let (without, lost) = with_lost_third(&bank).await;
    refused_for_moves(&without, lost).await;

    take(&bank, &mdb, ann, 0, &options).await.unwrap();
    let begun = without.init_shard(lost).await;
    assert_eq!(begun.unwrap().outcome(), InitOutcome::Stamped);
}

async fn a_lost_shard_that_a_move_goes_to_is_not_begun<DB: TestEngine>() {
    let bank = Bank::<DB>::with_third().await;
    let mdb = bank.open();
    let ann = bank.customers(&mdb, 0, 1).await[0];
    let asleep = "INSERT INTO mdb_router (router, acknowledged, lease_until, waits_for, place) \
                  VALUES ('sleeper', 0, 9000000000000000, '', 'elsewhere')";
    let catalog = bank.catalog_url();
    DB::run_at(&catalog, &[asleep.to_owned()]).await.unwrap();
    let hurried = MoveOptions::new().patience(Duration::from_millis(300));
    let stopped = take(&bank, &mdb, ann, 2, &hurried).await;
    assert!(stopped.is_err(), "{stopped:?}");
    let (without, lost) = with_lost_third(&bank).await;
    refused_for_moves(&without, lost).await;

    let relocator = mdb.relocator();
    let stopped = relocator.list().await.unwrap();
    let awake = "DELETE FROM mdb_router WHERE router = 'sleeper'".to_owned();
    DB::run_at(&catalog, &[awake]).await.unwrap();
    let undone = relocator.abort(stopped[0].id(), &MoveOptions::new()).await;
    undone.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let begun = without.init_shard(lost).await;
    assert_eq!(begun.unwrap().outcome(), InitOutcome::Stamped);
}

#[tokio::test]
async fn earlier_generations_have_what_is_below_the_breakpoint() {
    let store = Store::<Sqlite>::start(Limits::ROOMY).await;
    let (old, new) = (store.prefix().to_owned(), unique("turned"));
    let mdb = open(&store, "", |text| {
        let text = text.replace(&old, &new);
        let (before, after) = text.rsplit_once("[[area.partition]]").unwrap();
        let first = "[[area.generation]]\n[[area.generation.partition]]";
        let second = "[[area.generation]]\nbreakpoint = \"0:0:500\"\n[[area.generation.partition]]";
        let before = before.replace("[[area.partition]]", first);
        format!("{before}{second}{}", after.replace("0:0:1000", "0:0:10"))
    });
    floor(&mdb, "user", 500).await;
    refused(&mdb, &format!("{new}_a0")).await;
    made(&mdb, &format!("{new}_b0")).await;
}

/// Why it can't be said how far the sequences are, and whether that is a server that can't be reached.
async fn uncertain(mdb: &Mdb, database: &str) -> (String, bool) {
    let error = mdb.init_shard(shard_on(mdb, database)).await.unwrap_err();
    assert!(
        matches!(error, InitError::IdsUncertain { .. }),
        "{}",
        chain(&error)
    );
    (chain(&error), error.is_unreachable())
}

#[tokio::test]
async fn who_counts_has_to_answer_once_the_store_is_in_use() {
    let store = Store::<Sqlite>::start(Limits::ROOMY).await;
    let (old, new) = (store.database("a0"), unique("blank"));
    let port = free_port().unwrap();
    let authority = format!(
        "[[authority]]\nname = \"far\"\nkind = \"http\"\nids = [3]\n\
         urls = [\"http://127.0.0.1:{port}\"]\ntoken = \"0123456789abcdef\"\n"
    );
    let begun = partition(2_000, &unique("begun"));
    let away = open(&store, &(begun + &authority), |text| {
        text.replace(&old, &new)
    });
    let last = away.topology().areas()[0].shards().last().unwrap();
    away.init_shard(last).await.unwrap();

    let ann = store.briefcase_on("a1");
    Sqlite::put(&ann, ann.id(), 1).await.unwrap();
    let (said, is_unreachable) = uncertain(&away, &new).await;
    assert!(said.contains(&port.to_string()), "{said}");
    assert!(is_unreachable);

    let central_lost = open(&store, "", |text| {
        text.replace(&old, &new)
            .replace("database = \"central\"", "database = \"other\"")
    });
    let lost = shard_on(&central_lost, &new);
    let error = central_lost.init_shard(lost).await.unwrap_err();
    assert!(
        matches!(error, InitError::MovesUncertain { .. }),
        "{}",
        chain(&error)
    );
    assert!(chain(&error).contains("`other`"), "{}", chain(&error));
    assert!(!error.is_unreachable());

    let shard = shard_on(&away, &new);
    let begun = away.init_shard_with(shard, InitLost::Begin).await;
    assert_eq!(begun.unwrap().outcome(), InitOutcome::Stamped);
}
