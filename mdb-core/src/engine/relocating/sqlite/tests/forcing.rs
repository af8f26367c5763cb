//! What is on the disk.

use super::*;
use crate::engine::relocating::Commits;

#[tokio::test]
async fn forced_commits_write_what_takes_the_earlier_ones_along() {
    let mut f = Fixture::new().await;
    f.client("INSERT INTO mdb_shard VALUES (1, 1, 's', 'a', 'g', 'p', 0, '1 shard', 7, 0)")
        .await
        .unwrap();
    let journal = f.files.path().join("a.db-wal");
    let written = || std::fs::metadata(&journal).unwrap().len();
    let source = &mut f.pair.source;
    Sqlite::set_commits(source, Commits::Unforced)
        .await
        .unwrap();
    let emptied = Sqlite::query_own(source, "PRAGMA wal_checkpoint(TRUNCATE)", &[]).await;
    assert_eq!(emptied.unwrap()[0].integer(0).unwrap(), 0);
    assert_eq!(written(), 0);
    // SQLite waits for the disk only in a commit that has something to write.
    for _ in 0..2 {
        let before = written();
        Sqlite::set_commits(source, Commits::Forced).await.unwrap();
        assert!(written() > before);
    }
}
