//! A network that fails between client and server: ids may be lost, never repeated.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mdb_gdid::{AuthorityError, Gdid, HttpAuthorities};
use tokio::net::TcpListener;

use crate::proxy::{Proxy, Weather};
use crate::support::{Memory, Server, allocate, chain, client_options};

/// Short enough to wait for; what is to come in time is never asked with it.
const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn an_answer_that_is_lost_loses_its_ids() {
    let memory = Memory::new(0);
    let server = Server::start(memory.clone()).await;
    let proxy = Proxy::to(server.address()).await;
    let options = || client_options(&[proxy.address()]);
    let hasty = HttpAuthorities::new(options().with_timeout(SHORT)).unwrap();
    let patient = HttpAuthorities::new(options()).unwrap();
    assert_eq!(allocate(&patient, 10).await.unwrap().first().counter(), 1);

    proxy.set(Weather::LosesAnswers);
    while proxy.lost_answers() < 3 {
        let error = allocate(&hasty, 10).await.unwrap_err();
        assert!(
            matches!(error, AuthorityError::Unavailable { .. }),
            "{error:?}"
        );
        assert!(
            chain(&error).ends_with("no answer within 200 ms"),
            "{}",
            chain(&error)
        );
    }
    proxy.set(Weather::LosesRequests);
    assert!(allocate(&hasty, 10).await.unwrap_err().is_transient());
    proxy.set(Weather::BreaksOnAnswers);
    assert!(allocate(&patient, 10).await.unwrap_err().is_transient());

    proxy.set(Weather::Fine);
    let next = allocate(&patient, 10).await.unwrap();
    assert!(memory.blocks() >= 6, "four were handed out, and lost");
    assert!(next.first().counter() > 50, "{next:?}");
}

#[tokio::test]
async fn a_black_hole_does_not_cost_its_time_out_each_time() {
    let far = Server::start(Memory::new(1)).await;
    let hole = Proxy::to(far.address()).await;
    hole.set(Weather::LosesRequests);
    let options = client_options(&[hole.address(), far.address()]);
    // Far above what the second host needs.
    let client = HttpAuthorities::new(options.with_timeout(Duration::from_secs(3))).unwrap();
    for counter in 1..=100 {
        let block = allocate(&client, 1).await.unwrap();
        assert_eq!(block.first(), Gdid::new(0, 1, counter).unwrap());
    }
    // Each further try comes after twice the pause: ten would take a minute and a half.
    let tries = hole.connections();
    assert!((1..10).contains(&tries), "it was tried {tries} times");

    let alone = client_options(&[hole.address()]).with_timeout(SHORT);
    let error = allocate(&HttpAuthorities::new(alone).unwrap(), 1)
        .await
        .unwrap_err();
    assert!(
        chain(&error).contains("no answer within 200 ms"),
        "{}",
        chain(&error)
    );
}

#[tokio::test]
async fn a_port_where_nobody_listens_fails_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    // With a time-out that is not waited for.
    let client = HttpAuthorities::new(client_options(&[address])).unwrap();
    let error = allocate(&client, 1).await.unwrap_err();
    assert!(
        matches!(error, AuthorityError::Unavailable { .. }),
        "{error:?}"
    );
    assert!(chain(&error).contains("refused"), "{}", chain(&error));
}

/// Two authorities, each behind a network of its own, which changes all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_id_comes_twice_through_changing_weather() {
    let memories = [Memory::new(0), Memory::new(1)];
    let [near, far] = memories.clone().map(|memory| Server::start(memory));
    let (near, far) = (near.await, far.await);
    let proxies = [
        Proxy::to(near.address()).await,
        Proxy::to(far.address()).await,
    ];
    let addresses = [proxies[0].address(), proxies[1].address()];

    let mut tasks = Vec::new();
    for _ in 0..3 {
        let options = client_options(&addresses).with_timeout(SHORT);
        let client = Arc::new(HttpAuthorities::new(options).unwrap());
        for _ in 0..2 {
            let client = client.clone();
            tasks.push(tokio::spawn(async move {
                let mut found = Vec::new();
                while found.len() < 100 * 40 {
                    match allocate(&*client, 100).await {
                        Ok(block) => found.extend(block.ids()),
                        Err(error) => {
                            assert!(error.is_transient(), "{error:?}");
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    }
                }
                found
            }));
        }
    }
    let all_weathers = [
        Weather::Fine,
        Weather::LosesAnswers,
        Weather::BreaksOnAnswers,
        Weather::Fine,
        Weather::Down,
        Weather::LosesRequests,
        Weather::Fine,
    ];
    // Seven, so that each of the two networks comes to each of them.
    let mut turns = all_weathers.iter().cycle();
    let mut which = proxies.iter().cycle();
    while tasks.iter().any(|task| !task.is_finished()) {
        which.next().unwrap().set(*turns.next().unwrap());
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let mut found = Vec::new();
    for task in tasks {
        found.extend(task.await.unwrap());
    }
    let distinct: BTreeSet<Gdid> = found.iter().copied().collect();
    assert_eq!(distinct.len(), found.len());
    let handed_out: u64 = memories.iter().map(|memory| memory.blocks()).sum();
    assert!(handed_out * 100 >= found.len() as u64);
}
