//! For tests: whatever a move does, the rows of other briefcases stay as they are.

use std::time::Duration;

use mdb_gdid::Gdid;

use super::{Manifest, MoveId, OwnerToken, Pair, Relocating, Span, StepError, TableSum, Unhurried};

/// Checks that with a move of users 1 and 2 that captures and has not copied yet, on the tables of the engines' fixtures.
/// `hex` writes an id as SQL.
pub(crate) async fn check_neighbours<DB: Relocating>(
    pair: &mut Pair<DB>,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
    hex: fn(u64) -> String,
) {
    let neighbours = Neighbours {
        pair,
        manifest,
        id,
        owner,
        hex,
    };
    neighbours.check().await;
}

/// Checks, with such a move too, that whole briefcases are deleted at the source, and nothing else.
pub(crate) async fn check_delete_all<DB: Relocating>(
    pair: &mut Pair<DB>,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
    briefcases: &[Gdid],
) {
    let source = &mut pair.source;
    let spans = Span::split(briefcases, briefcases.len());
    let all = all_rows::<DB>(source, manifest).await;
    let before = DB::sums(source, manifest, id, &spans).await.unwrap();
    for deleted in 1..=briefcases.len() {
        DB::begin_as_mover(source, id, owner, Duration::from_secs(1))
            .await
            .unwrap();
        let (these, limit) = (&briefcases[deleted - 1..deleted], 100);
        DB::delete_all(source, manifest, id, these).await.unwrap();
        if deleted == briefcases.len() {
            let left = DB::delete_some(source, manifest, id, limit).await;
            assert_eq!(left.unwrap(), 0);
        }
        DB::leave_as_mover(source, id).await.unwrap();
        DB::commit(source).await.unwrap();
        let after = DB::sums(source, manifest, id, &spans).await.unwrap();
        let rows = |sums: &[TableSum]| sums.iter().map(|sum| sum.rows).sum::<u64>();
        for (place, (before, after)) in before.iter().zip(&after).enumerate() {
            if place < deleted {
                assert_eq!(rows(after), 0);
            } else {
                assert_eq!(before, after);
            }
        }
        let gone: u64 = before[..deleted].iter().map(|sums| rows(sums)).sum();
        assert_eq!(all_rows::<DB>(source, manifest).await, all - gone);
    }
}

/// Checks, with such a move too, that so many of its records are removed at once, and nobody else's.
pub(crate) async fn check_forget_some<DB: Relocating>(
    source: &mut DB::Connection,
    manifest: &Manifest,
    id: &MoveId,
    owner: OwnerToken,
    hex: fn(u64) -> String,
) {
    let table = &manifest.tables()[0];
    for user in [1, 1, 1, 2, 2, 4] {
        // Whose row it was when it was recorded.
        let record = format!(
            "INSERT INTO {} (gdid, deep, k1) VALUES ({}, FALSE, {})",
            table.change_table(),
            hex(user),
            hex(user)
        );
        DB::execute_own(source, &record, &[]).await.unwrap();
    }
    for (limit, forgotten) in [(3, 3), (3, 2), (3, 0)] {
        DB::begin_as_mover(source, id, owner, Duration::from_secs(1))
            .await
            .unwrap();
        let forgot = DB::forget_some(source, table, id, limit).await;
        assert_eq!(forgot.unwrap(), forgotten);
        DB::leave_as_mover(source, id).await.unwrap();
        DB::commit(source).await.unwrap();
    }
    assert_eq!(DB::pending_changes(source, manifest, id).await.unwrap(), 0);
    let left = format!(
        "SELECT count(*) FROM {} WHERE gdid = {}",
        table.change_table(),
        hex(4)
    );
    let left = DB::query_own(source, &left, &[]).await.unwrap();
    assert_eq!(left[0].integer(0).unwrap(), 1);
}

async fn all_rows<DB: Relocating>(connection: &mut DB::Connection, manifest: &Manifest) -> u64 {
    let mut rows = 0;
    for table in manifest.tables() {
        let query = format!("SELECT count(*) FROM {}", DB::quote(&table.name));
        let counted = DB::query_own(connection, &query, &[]).await.unwrap();
        rows += counted[0].integer(0).unwrap().unsigned_abs();
    }
    rows
}

struct Neighbours<'f, DB: Relocating> {
    pair: &'f mut Pair<DB>,
    manifest: &'f Manifest,
    id: &'f MoveId,
    owner: OwnerToken,
    hex: fn(u64) -> String,
}

impl<DB: Relocating> Neighbours<'_, DB> {
    /// Has neighbours at the target that have what the move is about to bring: keys, and unique values.
    async fn check(mut self) {
        let [one, two, three, four, order, new] = [1, 2, 3, 4, 100, 299].map(self.hex);
        self.at_target(&format!("INSERT INTO account VALUES ({three}, 'three', 3)"))
            .await;

        // Before anything was copied, and after a part of it was.
        self.at_target(&format!("INSERT INTO account VALUES ({four}, 'user 1', 4)"))
            .await;
        refused::<DB, _>(self.copy().await);
        self.holds(&format!(
            "account WHERE g_user = {four} AND name = 'user 1' AND extra = 4"
        ))
        .await;
        self.at_target(&format!("DELETE FROM account WHERE g_user = {four}"))
            .await;
        self.at_target(&format!("INSERT INTO orders VALUES ({order}, {three}, 7)"))
            .await;
        refused::<DB, _>(self.copy().await);
        self.holds(&format!(
            "orders WHERE g_order = {order} AND g_user = {three} AND total = 7"
        ))
        .await;
        self.at_target(&format!("DELETE FROM orders WHERE g_user = {three}"))
            .await;
        self.copy().await.unwrap();
        self.assert_equal().await;

        // Afterwards: a key with rows below it.
        let theirs = [
            format!("orders WHERE g_order = {new} AND g_user = {three} AND total = 7"),
            format!("item WHERE g_order = {new} AND what = 'theirs'"),
        ];
        self.at_target(&format!("INSERT INTO orders VALUES ({new}, {three}, 7)"))
            .await;
        let item = format!("INSERT INTO item (g_order, line, what) VALUES ({new}, 1, 'theirs')");
        self.at_target(&item).await;
        self.at_source(&format!("INSERT INTO orders VALUES ({new}, {two}, 2)"))
            .await;
        let item = format!("INSERT INTO item (g_order, line, what) VALUES ({new}, 1, 'ours')");
        self.at_source(&item).await;
        for _ in 0..2 {
            refused::<DB, _>(self.catch_up().await);
            for rows in &theirs {
                self.holds(rows).await;
            }
        }
        self.at_source(&format!("DELETE FROM item WHERE g_order = {new}"))
            .await;
        self.at_source(&format!("DELETE FROM orders WHERE g_order = {new}"))
            .await;
        self.settle().await;
        for rows in &theirs {
            self.holds(rows).await;
        }

        // A unique value.
        let rename =
            |name: &str| format!("UPDATE account SET name = '{name}' WHERE g_user = {one}");
        self.at_source(&rename("three")).await;
        refused::<DB, _>(self.catch_up().await);
        self.holds(&format!(
            "account WHERE g_user = {three} AND name = 'three' AND extra = 3"
        ))
        .await;
        self.at_source(&rename("another")).await;
        self.settle().await;
    }

    async fn copy(&mut self) -> Result<(), StepError> {
        let copied = DB::copy(self.pair, self.manifest, self.id, self.owner, &Unhurried);
        copied.await.map(drop)
    }

    async fn catch_up(&mut self) -> Result<u64, StepError> {
        let taken = DB::catch_up(self.pair, self.manifest, self.id, self.owner, &Unhurried).await;
        taken.map(|taken| taken.records)
    }

    async fn settle(&mut self) {
        while self.catch_up().await.unwrap() > 0 {}
        self.assert_equal().await;
    }

    async fn assert_equal(&mut self) {
        let (manifest, id) = (self.manifest, self.id);
        let here = DB::sums(&mut self.pair.source, manifest, id, &[Span::ALL]).await;
        let there = DB::sums(&mut self.pair.target, manifest, id, &[Span::ALL]).await;
        assert_eq!(here.unwrap(), there.unwrap());
    }

    async fn at_source(&mut self, sql: &str) {
        let done = DB::execute_own(&mut self.pair.source, sql, &[]).await;
        done.unwrap();
    }

    async fn at_target(&mut self, sql: &str) {
        let done = DB::execute_own(&mut self.pair.target, sql, &[]).await;
        done.unwrap();
    }

    /// The target has one such row.
    async fn holds(&mut self, rows: &str) {
        let query = format!("SELECT count(*) FROM {rows}");
        let found = DB::query_own(&mut self.pair.target, &query, &[]).await;
        assert_eq!(found.unwrap()[0].integer(0).unwrap(), 1, "{rows}");
    }
}

fn refused<DB: Relocating, T: std::fmt::Debug>(result: Result<T, StepError>) {
    match result {
        Err(StepError::Database(error) | StepError::DatabaseAt(_, error))
            if DB::is_taken(&error) => {}
        other => panic!("{other:?}"),
    }
}
