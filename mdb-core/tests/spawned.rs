//! Futures of the library can be given to `tokio::spawn`: the compiler sees by itself that they are `Send`, whatever they
//! borrow. Nothing here runs.

use mdb_core::relocate::{MoveOptions, MovePlan, MoveProgress, MoveRequest, Relocator};
use mdb_core::topology::ShardId;
use mdb_core::{Gdid, Mdb};

/// What a runtime asks for.
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    drop(work);
}

fn of_moves(mdb: &Mdb, request: MoveRequest, plan: MovePlan, shard: ShardId, id: Gdid) {
    let moves = || -> Relocator { mdb.relocator() };
    let relocator = moves();
    spawn(async move {
        let plan = relocator.plan(&request).await.expect("a plan");
        let (options, progress) = (MoveOptions::new(), MoveProgress::new());
        drop(relocator.run(&plan, &options, &progress).await);
    });
    let relocator = moves();
    spawn(async move {
        let (options, progress) = (MoveOptions::new(), MoveProgress::new());
        drop(relocator.resume("id", &options, &progress).await);
    });
    let relocator = moves();
    spawn(async move { drop(relocator.abort("id", &MoveOptions::new()).await) });
    let relocator = moves();
    spawn(async move { drop(relocator.clean().await) });
    let relocator = moves();
    spawn(async move { drop(relocator.leftovers(&[shard]).await) });
    let relocator = moves();
    spawn(async move { drop(relocator.unknown_moves().await) });
    let relocator = moves();
    spawn(async move { drop(relocator.forget_unknown("id").await) });
    let relocator = moves();
    spawn(async move {
        for record in relocator.list().await.expect("moves") {
            drop(relocator.briefcases(&record).await);
        }
        drop(relocator.find("id").await);
        drop(relocator.moves_of("user", id).await);
        drop(relocator.waits_for().await);
    });
    let relocator = moves();
    spawn(async move { drop(relocator.prepare("user", std::time::Duration::ZERO).await) });
    let relocator = moves();
    spawn(async move { drop(relocator.unprepared(&[shard]).await) });
    let relocator = moves();
    spawn(async move { drop(relocator.count_rows(&plan).await) });
    let relocator = moves();
    spawn(async move {
        drop(relocator.processes().await);
        drop(relocator.forget_process("id").await);
        drop(relocator.ahead(&[shard]).await);
        drop(relocator.raise_epoch().await);
        drop(relocator.suitability(shard).await);
    });
}

fn of_stores(mdb: &Mdb, shard: ShardId) {
    let store = mdb.clone();
    spawn(async move { drop(store.init().await) });
    let store = mdb.clone();
    spawn(async move { drop(store.init_shard(shard).await) });
    let store = mdb.clone();
    spawn(async move {
        drop(store.shard_in_use().await);
        store.join().await;
        store.leave().await;
        store.close().await;
    });
}

#[test]
fn they_can() {
    let _ = (of_moves, of_stores);
}
