//! Stopping a server that is being asked.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{Gated, Memory, PATIENCE, Server, allocate, client, options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_block_that_was_handed_out_is_answered() {
    let memory = Memory::new(0);
    let mut server = Server::start_with(memory.clone(), options().with_grace(PATIENCE)).await;
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let client = Arc::new(client(&[server.address()]));
        tasks.push(tokio::spawn(async move {
            let mut blocks = 0;
            while allocate(&*client, 1).await.is_ok() {
                blocks += 1;
            }
            blocks
        }));
    }
    let busy = async {
        while memory.blocks() < 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, busy).await.unwrap();
    server.begin_stop();
    server.stopped().await;
    let mut received = 0;
    for task in tasks {
        received += task.await.unwrap();
    }
    assert_eq!(received, memory.blocks());
}

#[tokio::test]
async fn requests_under_way_end_and_new_ones_are_refused() {
    let gated = Gated::new(0);
    let mut server = Server::start_with(gated.clone(), options().with_grace(PATIENCE)).await;
    let address = server.address();
    let ask = move || tokio::spawn(async move { allocate(&client(&[address]), 5).await });
    let under_way = [ask(), ask(), ask()];
    gated.wait_entered(3).await;
    server.begin_stop();
    let refused = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    gated.gate.add_permits(3);
    for asked in under_way {
        assert_eq!(asked.await.unwrap().unwrap().count(), 5);
    }
    server.stopped().await;
}

#[tokio::test]
async fn grace_is_bounded() {
    let gated = Gated::new(0);
    let options = options().with_grace(Duration::from_millis(50));
    let mut server = Server::start_with(gated.clone(), options).await;
    let address = server.address();
    let asked = tokio::spawn(async move { allocate(&client(&[address]), 5).await });
    gated.wait_entered(1).await;
    server.begin_stop();
    // The gate stays closed.
    server.stopped().await;
    assert!(asked.await.unwrap().unwrap_err().is_transient());
    assert_eq!(gated.memory.blocks(), 1, "its ids are lost");
}
