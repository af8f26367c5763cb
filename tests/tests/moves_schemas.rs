//! Schemas of one engine that a move has to refuse, or that it has to cope with.

use mdb_tests::bank::{Place, id};
use mdb_tests::store::TestEngine;
use sqlx::{MySql, Postgres};

/// A table `note` of the briefcase, in a configuration.
const NOTE: &str = "[[area.briefcase.table]]\nname = \"note\"\nkey = \"g_user\"\n";

/// A store that has the table `note`, which is listed; `create` comes after its columns and primary key.
async fn with_note<DB: TestEngine>(columns: &str, create: &str) -> Place<DB> {
    let mut place = Place::<DB>::new().await;
    let note = format!(
        "CREATE TABLE note (g_user {} NOT NULL, n INTEGER NOT NULL, {columns} PRIMARY KEY (g_user, n)) {create}",
        id::<DB>()
    );
    place.on_both(&note).await;
    place.mdb = place.bank.open_with(NOTE);
    place
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_in_another_character_set_are_refused() {
    let place = Place::<MySql>::new().await;
    let modify =
        |form: &str| format!("ALTER TABLE customer MODIFY name VARCHAR(40) {form} NOT NULL");
    place
        .on_both(&modify("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))
        .await;
    place.warned(&[]).await;
    place.at(1, &modify("CHARACTER SET latin1")).await;
    place
        .refused("customer", &["`name`", "utf8mb4", "latin1"])
        .await;
    // How texts are compared makes no difference but to keys.
    place
        .at(
            1,
            &modify("CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
        )
        .await;
    place.warned(&[]).await;
    place
        .at(0, "CREATE UNIQUE INDEX name ON customer (name)")
        .await;
    place
        .refused("customer", &["`name`", "utf8mb4_bin", "utf8mb4_general_ci"])
        .await;
    place
        .at(1, &modify("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))
        .await;
    place.warned(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_of_another_locale_is_refused() {
    let mut place = with_note::<Postgres>("price money,", "").await;
    place.warned(&[]).await;
    let database = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lc_monetary = ''POSIX''', current_database()); END $$";
    place.at(1, database).await;
    place.mdb = place.bank.open_with(NOTE);
    place.refused("note", &["`price`", "POSIX"]).await;
}
