//! Several hosts: the nearest first, past one that fails, and back to it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mdb_gdid::{
    AllocateFuture, AuthorityError, AuthorityStatus, Block, BlockSize, BlockSource,
    HttpAuthorities, HttpOptions, RangeKey, ScopeName, SequenceName, ServeOptions, ServeTransport,
    StatusFuture,
};

use crate::proxy::{Proxy, Weather};
use crate::support::{
    Memory, Server, allocate, chain, client, client_options, next_of, raise, status,
};

fn authority(block: &Block) -> u8 {
    block.first().authority().get()
}

#[tokio::test]
async fn the_nearest_hands_out_until_it_fails_and_again_when_it_is_back() {
    let (near, far) = (Memory::new(0), Memory::new(1));
    let (near_server, far_server) = (Server::start(near).await, Server::start(far).await);
    let proxy = Proxy::to(near_server.address()).await;
    let client = client(&[proxy.address(), far_server.address()]);
    for _ in 0..3 {
        assert_eq!(authority(&allocate(&client, 10).await.unwrap()), 0);
    }
    assert_eq!(proxy.connections(), 1, "a connection is used again");

    proxy.set(Weather::BreaksOnAnswers);
    assert_eq!(authority(&allocate(&client, 10).await.unwrap()), 1);
    proxy.set(Weather::Down);
    let before = proxy.connections();
    for _ in 0..200 {
        assert_eq!(authority(&allocate(&client, 10).await.unwrap()), 1);
    }
    // Each further try comes after twice the pause: ten would take a minute and a half.
    let tries = proxy.connections() - before;
    assert!(tries < 10, "a host that is down was tried {tries} times");

    proxy.set(Weather::Fine);
    let back = async {
        while authority(&allocate(&client, 10).await.unwrap()) != 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, back)
        .await
        .unwrap();
    assert_eq!(authority(&allocate(&client, 10).await.unwrap()), 0);
}

#[tokio::test]
async fn a_host_that_says_no_is_passed_over_too() {
    let near = Server::start_with(
        Memory::new(0),
        ServeOptions::new(
            vec!["a-token-that-only-it-has".into()],
            ServeTransport::PlainOnLoopback,
        )
        .unwrap(),
    )
    .await;
    let far = Server::start(Memory::new(1)).await;
    let client = client(&[near.address(), far.address()]);
    assert_eq!(authority(&allocate(&client, 1).await.unwrap()), 1);
}

#[tokio::test]
async fn when_all_fail_each_failure_is_told() {
    let [a, b] = [Memory::new(0), Memory::new(1)].map(|memory| Server::start(memory));
    let (a, b) = (a.await, b.await);
    let (near, far) = (Proxy::to(a.address()).await, Proxy::to(b.address()).await);
    near.set(Weather::Down);
    far.set(Weather::Down);
    let client = client(&[near.address(), far.address()]);
    for _ in 0..3 {
        let error = allocate(&client, 1).await.unwrap_err();
        assert!(error.is_transient());
        let AuthorityError::AllFailed { failures, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(failures.len(), 2);
        let text = failures
            .iter()
            .map(|error| chain(error))
            .collect::<String>();
        for proxy in [&near, &far] {
            assert!(text.contains(&proxy.address().to_string()), "{text}");
        }
    }
    // Although both are left alone now, the next request finds the one that is back.
    far.set(Weather::Fine);
    assert_eq!(authority(&allocate(&client, 1).await.unwrap()), 1);
}

#[tokio::test]
async fn a_floor_needs_all_hosts() {
    let (near, far) = (Memory::new(0), Memory::new(1));
    let (a, b) = (Server::start(near).await, Server::start(far).await);
    let proxy = Proxy::to(a.address()).await;
    let options = |first| {
        let urls = [first, b.address()].map(|address| format!("http://{address}").parse().unwrap());
        let ids = crate::support::ids(&[0, 1]);
        HttpOptions::new(urls.into(), ids, crate::support::TOKEN.into())
    };
    let client = HttpAuthorities::new(options(proxy.address())).unwrap();
    let both = |next: &str| [(0, next.to_owned()), (1, next.to_owned())];
    assert_eq!(next_of(&raise(&client, 100).await.unwrap()), both("0:100"));

    proxy.set(Weather::BreaksOnAnswers);
    let error = raise(&client, 200).await.unwrap_err();
    assert!(
        matches!(error, AuthorityError::Unavailable { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains(&proxy.address().to_string()));
    assert!(status(&client).await.unwrap_err().is_transient());

    proxy.set(Weather::Fine);
    let told = status(&client).await.unwrap();
    assert_eq!(
        next_of(&told),
        both("0:200"),
        "both were raised; one could not say so"
    );
    assert_eq!(next_of(&raise(&client, 300).await.unwrap()), both("0:300"));
    let block = allocate(&client, 1).await.unwrap();
    assert_eq!((authority(&block), block.first().counter()), (0, 300));
}

#[tokio::test]
async fn two_hosts_with_one_count_are_one_authority() {
    let memory = Memory::new(0);
    let (a, b) = (
        Server::start(memory.clone()).await,
        Server::start(memory).await,
    );
    let client = client(&[a.address(), b.address()]);
    allocate(&client, 10).await.unwrap();
    drop(a);
    assert_eq!(allocate(&client, 10).await.unwrap().first().counter(), 11);
    let other = crate::support::client_of(0, &[b.address()]);
    let told = status(&other).await.unwrap();
    assert_eq!(
        (next_of(&told), told[0].notes()),
        (vec![(0, "0:21".to_owned())], &[][..])
    );
}

/// Tells once how far its authority was a while ago, as a host does that is asked a moment earlier.
#[derive(Debug)]
struct Earlier {
    memory: Arc<Memory>,
    status: Mutex<Option<Vec<AuthorityStatus>>>,
}

impl BlockSource for Earlier {
    fn allocate<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        size: BlockSize,
    ) -> AllocateFuture<'a> {
        self.memory.allocate(scope, sequence, size)
    }

    fn raise<'a>(
        &'a self,
        scope: &'a ScopeName,
        sequence: &'a SequenceName,
        floor: RangeKey,
    ) -> StatusFuture<'a> {
        self.memory.raise(scope, sequence, floor)
    }

    fn status<'a>(&'a self, scope: &'a ScopeName, sequence: &'a SequenceName) -> StatusFuture<'a> {
        match self.status.lock().unwrap().take() {
            Some(status) => Box::pin(async { Ok(status) }),
            None => BlockSource::status(&*self.memory, scope, sequence),
        }
    }
}

#[tokio::test]
async fn a_host_that_was_asked_a_moment_earlier_does_not_count_apart() {
    let memory = Memory::new(0);
    let before = status(&*memory).await.unwrap();
    let earlier = Arc::new(Earlier {
        memory: memory.clone(),
        status: Mutex::new(Some(before)),
    });
    allocate(&*memory, 10).await.unwrap();
    let (a, b) = (
        Server::start(earlier.clone()).await,
        Server::start(memory).await,
    );
    let told = status(&client(&[a.address(), b.address()])).await.unwrap();
    assert_eq!(next_of(&told), [(0, "0:11".to_owned())]);
    assert_eq!(told[0].notes(), &[] as &[String]);
    assert!(earlier.status.lock().unwrap().is_none(), "it was told");
}

#[tokio::test]
async fn two_hosts_that_count_apart_are_noticed() {
    let (a, b) = (
        Server::start(Memory::new(0)).await,
        Server::start(Memory::new(0)).await,
    );
    let both = [a.address(), b.address()];
    let used = client(&both);
    let first = allocate(&used, 10).await.unwrap();
    assert_eq!(first.first().counter(), 1);

    let told = status(&client(&both)).await.unwrap();
    assert_eq!(next_of(&told), [(0, "0:11".to_owned())]);
    let note = &told[0].notes()[0];
    assert!(note.contains(&b.address().to_string()), "{note}");
    assert!(
        note.contains("would issue the same ids; stop one"),
        "{note}"
    );

    // The second would hand out 1 to 10 again.
    drop(a);
    let error = allocate(&used, 10).await.unwrap_err();
    let AuthorityError::AllFailed { failures, .. } = &error else {
        panic!("{error:?}");
    };
    let AuthorityError::WentBack { found, seen, .. } = &failures[1] else {
        panic!("{error:?}");
    };
    assert_eq!(
        (found.to_string(), seen.to_string()),
        ("0:1".to_owned(), "0:11".to_owned())
    );
}

#[tokio::test]
async fn a_server_that_was_restored_from_an_old_copy_is_refused() {
    let old = Server::start(Memory::new(0)).await;
    let proxy = Proxy::to(old.address()).await;
    let client = HttpAuthorities::new(client_options(&[proxy.address()])).unwrap();
    for _ in 0..5 {
        allocate(&client, 100).await.unwrap();
    }
    let restored = Server::start(Memory::new(0)).await;
    proxy.redirect(restored.address());
    drop(old);
    // The first request may still meet the old connection.
    let mut refused = 0;
    while refused < 4 {
        match allocate(&client, 100).await.unwrap_err() {
            AuthorityError::WentBack { found, seen, .. } => {
                refused += 1;
                let found = found.counter();
                assert_eq!(seen.counter(), 501);
                assert!(found < 501, "{found}");
            }
            AuthorityError::Unavailable { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let told = status(&client).await.unwrap();
    assert!(
        told[0].notes()[0].contains("gone back: it was at 0:501 before"),
        "{told:?}"
    );
}
