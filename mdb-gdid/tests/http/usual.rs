//! Client and server as they usually go together.

use std::collections::BTreeSet;
use std::sync::Arc;

use mdb_gdid::{AuthorityId, BlockSource, Gdid, SequenceState};
use tokio::task::JoinSet;

use crate::support::{
    Gated, Memory, Server, allocate, client, client_of, next_of, raise, scope, sequence, size,
    status,
};

#[tokio::test]
async fn blocks_floor_and_status() {
    let memory = Memory::new(3);
    let server = Server::start(memory.clone()).await;
    let client = client_of(3, &[server.address()]);
    let unused = status(&client).await.unwrap();
    assert_eq!(next_of(&unused), [(3, "0:1".to_owned())]);

    let first = allocate(&client, 100).await.unwrap();
    assert_eq!(first.first(), Gdid::new(0, 3, 1).unwrap());
    assert_eq!(first.count(), 100);
    let second = allocate(&client, 1024).await.unwrap();
    assert_eq!(second.first(), Gdid::new(0, 3, 101).unwrap());

    let raised = raise(&client, 250_000).await.unwrap();
    assert_eq!(next_of(&raised), [(3, "0:250000".to_owned())]);
    assert_eq!((raised[0].blocks(), raised[0].outstanding()), (2, 2));
    assert!(!raised[0].lapses_after().is_zero());
    let third = allocate(&client, 1).await.unwrap();
    assert_eq!(third.first(), Gdid::new(0, 3, 250_000).unwrap());
    let lower = raise(&client, 5).await.unwrap();
    assert_eq!(
        next_of(&lower),
        [(3, "0:250001".to_owned())],
        "it stays above"
    );

    let told = status(&client).await.unwrap();
    assert_eq!(next_of(&told), next_of(&lower));
    let own = BlockSource::status(&*memory, &scope(), &sequence())
        .await
        .unwrap();
    assert_eq!(told[0].state(), own[0].state());
    assert_eq!((told[0].blocks(), told[0].notes()), (3, &[][..]));
}

#[tokio::test]
async fn an_era_turns_in_the_middle() {
    let near = SequenceState::new(4, Gdid::MAX_COUNTER - 30).unwrap();
    let server = Server::start(Memory::at(0, near)).await;
    let client = client(&[server.address()]);
    let last = allocate(&client, 20).await.unwrap();
    assert_eq!(
        last.first(),
        Gdid::new(4, 0, Gdid::MAX_COUNTER - 29).unwrap()
    );
    let turned = allocate(&client, 20).await.unwrap();
    assert_eq!(turned.first(), Gdid::new(5, 0, 1).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_id_comes_twice_to_any_of_many_clients() {
    let memory = Memory::new(0);
    let server = Server::start(memory.clone()).await;
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let client = Arc::new(client(&[server.address()]));
        for ids in [1, 3, 17, 100] {
            let client = client.clone();
            tasks.spawn(async move {
                let mut found = Vec::new();
                for _ in 0..50 {
                    let block = allocate(&*client, ids).await.unwrap();
                    found.extend(block.ids());
                }
                assert!(found.is_sorted(), "what one task gets ascends");
                found
            });
        }
    }
    let found: Vec<Gdid> = tasks.join_all().await.into_iter().flatten().collect();
    let distinct: BTreeSet<Gdid> = found.iter().copied().collect();
    assert_eq!(distinct.len(), found.len());
    assert_eq!(found.len(), 4 * 50 * (1 + 3 + 17 + 100));
    assert_eq!(memory.blocks(), 4 * 4 * 50);
}

#[tokio::test]
async fn a_cancelled_request_loses_its_block_and_nothing_else() {
    let gated = Gated::new(0);
    let server = Server::start(gated.clone()).await;
    let client = Arc::new(client(&[server.address()]));
    let abandoned = {
        let client = client.clone();
        tokio::spawn(async move { allocate(&*client, 10).await })
    };
    gated.wait_entered(1).await;
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());
    gated.gate.add_permits(100);
    for counter in [11, 21, 31] {
        let block = allocate(&*client, 10).await.unwrap();
        assert_eq!(block.first(), Gdid::new(0, 0, counter).unwrap());
    }
}

#[tokio::test]
async fn sequences_and_scopes_are_apart() {
    let server = Server::start(Memory::new(0)).await;
    let client = client(&[server.address()]);
    for (scope, sequence) in [("a", "x"), ("a", "y"), ("b", "x")] {
        let (scope, sequence) = (scope.parse().unwrap(), sequence.parse().unwrap());
        let block = client.allocate(&scope, &sequence, size(5)).await.unwrap();
        assert_eq!(block.first(), Gdid::new(0, 0, 1).unwrap());
        assert_eq!(block.first().authority(), AuthorityId::new(0).unwrap());
    }
}
