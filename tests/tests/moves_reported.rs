//! What a caller learns of moves: of a run that fails as well, of the journal, and of briefcases without rows.

#![expect(clippy::unwrap_used, reason = "what a test can't go on without")]

use std::collections::BTreeSet;

use mdb_core::Gdid;
use mdb_core::relocate::{
    MoveError, MoveOptions, MovePhase, MoveProgress, MoveReport, MoveRequest, PlanError, RangeKey,
    Selection,
};
use mdb_core::topology::ShardId;
use mdb_tests::bank::{Bank, literal};
use mdb_tests::on_all_engines;
use mdb_tests::store::TestEngine;

on_all_engines!(
    what_was_done_is_reported_although_a_batch_fails,
    ids_that_nobody_has_used_are_named,
    strays_are_not_selected,
    only_shards_of_the_area_are_selected,
    a_range_has_all_authorities_and_any_number_of_keys,
    the_way_back_leaves_alone_who_has_left,
);

async fn what_was_done_is_reported_although_a_batch_fails<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 24).await;
    let stray = literal::<DB>(ids[12]);
    let insert = format!("INSERT INTO customer VALUES ({stray}, 'stray')");
    DB::run_at(&bank.url(1), &[insert]).await.unwrap();

    let relocator = mdb.relocator();
    let selection = Selection::Briefcases(ids.clone());
    let request = MoveRequest::new("user", selection, bank.shard(&mdb, 1));
    let plan = relocator.plan(&request).await.unwrap();
    let (options, progress) = (MoveOptions::new().batch(1), MoveProgress::new());
    let failed = relocator.run(&plan, &options, &progress).await;
    assert!(
        matches!(failed, Err(MoveError::Strays { .. })),
        "{failed:?}"
    );

    let journal = relocator.list().await.unwrap();
    let reports = progress.take_reports();
    assert_eq!(progress.take_reports(), [], "each once");
    let done: BTreeSet<&str> = reports.iter().map(MoveReport::id).collect();
    let unfinished = progress.unfinished();
    for record in &journal {
        let is_done = record.phase() == MovePhase::Done;
        assert_eq!(done.contains(record.id()), is_done, "{record:?}");
        let is_unfinished = unfinished.iter().any(|id| id == record.id());
        assert_eq!(is_unfinished, !record.phase().is_over(), "{record:?}");
    }
    assert!(!done.is_empty(), "the first ones were on their way before");
    // What was begun has come to its end, and what was refused or only announced is undone.
    assert_eq!(unfinished, Vec::<String>::new());
    assert_eq!(progress.taken_up(), done.len() + unfinished.len());
    assert!(
        progress.taken_up() < ids.len(),
        "the last ones were not begun"
    );

    let of_the_first = relocator.moves_of("user", ids[0]).await.unwrap();
    assert_eq!(of_the_first.len(), 1);
    let briefcases = relocator.briefcases(&of_the_first[0]).await.unwrap();
    assert_eq!(briefcases, [ids[0]]);
    assert!(
        relocator
            .moves_of("nobody", ids[0])
            .await
            .unwrap()
            .is_empty()
    );
}

async fn ids_that_nobody_has_used_are_named<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let mut ids = bank.customers(&mdb, 0, 2).await;
    let never_used = Gdid::new(0, 0, 5000).unwrap();
    ids.push(never_used);
    let relocator = mdb.relocator();
    let home = relocator.whereabouts("user", &[never_used]).await.unwrap();
    let home = home[0].as_ref().unwrap().shard();
    let target = [0, 1].map(|number| bank.shard(&mdb, number));
    let target = target.into_iter().find(|shard| *shard != home).unwrap();
    let request = MoveRequest::new("user", Selection::Briefcases(ids), target);
    let plan = relocator.plan(&request).await.unwrap();
    assert_eq!(relocator.without_rows(&plan).await.unwrap(), [never_used]);
}

async fn strays_are_not_selected<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 2).await;
    let relocator = mdb.relocator();
    let unused: Vec<Gdid> = (5000..5100).map(|c| Gdid::new(0, 0, c).unwrap()).collect();
    let homes = relocator.whereabouts("user", &unused).await.unwrap();
    let stray = homes.into_iter().map(Result::unwrap);
    let stray = stray.filter(|place| place.shard() == bank.shard(&mdb, 0));
    let stray = stray.map(|place| place.id()).next().unwrap();
    let id = literal::<DB>(stray);
    let insert = format!("INSERT INTO customer VALUES ({id}, 'stray')");
    DB::run_at(&bank.url(1), &[insert]).await.unwrap();

    let all = Selection::Range {
        from: RangeKey::new(0, 1).unwrap(),
        until: RangeKey::new(0, 10_000).unwrap(),
    };
    let request = MoveRequest::new("user", all, bank.shard(&mdb, 1));
    let plan = relocator.plan(&request).await.unwrap();
    let moved: Vec<_> = plan.sources().flat_map(|(_, ids)| ids.to_vec()).collect();
    assert_eq!(moved, ids, "those that are at home");
}

async fn only_shards_of_the_area_are_selected<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let shards = mdb.topology().shards().len();
    let no_shard = ShardId::new(u32::try_from(shards).unwrap());
    let is_of_area = |shard: &ShardId| [0, 1].map(|n| bank.shard(&mdb, n)).contains(shard);
    let mut of_central = (0..).map(ShardId::new).filter(|shard| !is_of_area(shard));
    for shard in [of_central.next().unwrap(), no_shard] {
        for (from, to) in [(shard, bank.shard(&mdb, 1)), (bank.shard(&mdb, 1), shard)] {
            let request = MoveRequest::new("user", Selection::Shard(from), to);
            let refused = mdb.relocator().plan(&request).await;
            assert!(
                matches!(refused, Err(PlanError::UnknownShard { .. })),
                "{refused:?}"
            );
        }
    }
}

async fn a_range_has_all_authorities_and_any_number_of_keys<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let relocator = mdb.relocator();
    let ids = (5_000..6_000).flat_map(|counter| [0, 3, 15].map(|authority| (authority, counter)));
    let ids: Vec<Gdid> = ids.map(|(a, c)| Gdid::new(0, a, c).unwrap()).collect();
    let homes = relocator.whereabouts("user", &ids).await.unwrap();
    let shards = [0, 1].map(|number| bank.shard(&mdb, number));
    for (number, shard) in shards.into_iter().enumerate() {
        let here = ids.iter().zip(&homes);
        let here = here.filter(|(_, home)| home.as_ref().unwrap().shard() == shard);
        let rows = here.map(|(id, _)| format!("({}, 'ann')", literal::<DB>(*id)));
        let rows: Vec<String> = rows.collect();
        assert!(rows.len() > 1_200, "{}", rows.len());
        let insert = format!("INSERT INTO customer VALUES {}", rows.join(", "));
        DB::run_at(&bank.url(number), &[insert]).await.unwrap();
    }

    let [from, until] = [5_010, 5_990].map(|counter| RangeKey::new(0, counter).unwrap());
    let inside = |id: &Gdid| from <= id.range_key() && id.range_key() < until;
    let plan = async |selection| {
        let request = MoveRequest::new("user", selection, shards[1]);
        relocator.plan(&request).await.unwrap()
    };
    let selected = |at_home: &dyn Fn(&Gdid) -> bool| -> Vec<Gdid> {
        let all = ids
            .iter()
            .zip(&homes)
            .filter(|(id, home)| home.as_ref().unwrap().shard() == shards[0] && at_home(id));
        let mut ids: Vec<Gdid> = all.map(|(id, _)| *id).collect();
        ids.sort();
        ids
    };
    let of_range = plan(Selection::Range { from, until }).await;
    let (source, found) = of_range.sources().next().unwrap();
    assert_eq!((source, found), (shards[0], &selected(&inside)[..]));
    let elsewhere = ids.iter().filter(|id| inside(id)).count() - found.len();
    assert_eq!(of_range.already_there(), elsewhere);
    let of_shard = plan(Selection::Shard(shards[0])).await;
    let (_, found) = of_shard.sources().next().unwrap();
    assert_eq!(found, selected(&|_| true));
}

async fn the_way_back_leaves_alone_who_has_left<DB: TestEngine>() {
    let bank = Bank::<DB>::start().await;
    let mdb = bank.open();
    let ids = bank.customers(&mdb, 0, 3).await;
    let (relocator, options) = (mdb.relocator(), MoveOptions::new());
    let [source, target] = [0, 1].map(|number| bank.shard(&mdb, number));
    let run = async |request: &MoveRequest| {
        let plan = relocator.plan(request).await.unwrap();
        let reports = relocator.run(&plan, &options, &MoveProgress::new()).await;
        reports.unwrap().remove(0).id().to_owned()
    };
    let there = MoveRequest::new("user", Selection::Briefcases(ids.clone()), target);
    let id = run(&there).await;
    let one = MoveRequest::new("user", Selection::Briefcases(vec![ids[1]]), source);
    run(&one).await;

    let way_back = relocator.way_back(&id).await.unwrap();
    let counts = (way_back.briefcases(), way_back.back(), way_back.elsewhere());
    assert_eq!(counts, (3, 1, 0));
    let others = Selection::Briefcases(vec![ids[0], ids[2]]);
    assert_eq!(
        *way_back.request(),
        MoveRequest::new("user", others, source)
    );
    run(way_back.request()).await;
    assert_eq!(relocator.way_back(&id).await.unwrap().back(), 3);

    let stray = literal::<DB>(ids[0]);
    let insert = format!("INSERT INTO customer VALUES ({stray}, 'stray')");
    DB::run_at(&bank.url(1), &[insert]).await.unwrap();
    let plan = relocator.plan(&there).await.unwrap();
    let failed = relocator.run(&plan, &options, &MoveProgress::new()).await;
    assert!(
        matches!(failed, Err(MoveError::Strays { .. })),
        "{failed:?}"
    );
    let failed = relocator.list().await.unwrap().pop().unwrap();
    let refused = relocator.way_back(failed.id()).await.unwrap_err();
    let MoveError::WrongPhase { phase, .. } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(phase, failed.phase());
}
