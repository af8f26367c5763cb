//! Sources that fail, for a while or for good.

use super::*;

#[tokio::test]
async fn those_who_wait_share_one_failure_and_the_next_call_tries_again() {
    let (source, generator) = generator(10, 0);
    source.fail(1);
    let mut waiting: Vec<_> = (0..10)
        .map(|_| {
            let generator = generator.clone();
            Box::pin(async move { generator.next().await })
        })
        .collect();
    // Each is polled once: the first waits for the filler, the others queue behind it.
    for call in &mut waiting {
        assert!(poll_once(call).is_none());
    }
    source.gate.add_permits(1);
    for call in waiting {
        let error = call.await.unwrap_err();
        assert!(error.is_transient());
        assert_eq!(
            error.to_string(),
            "CENTRAL can't be asked about ids of sequence `user` just now"
        );
        let mut causes = std::iter::successors(error.source(), |error| (*error).source());
        assert!(causes.any(|cause| cause.downcast_ref() == Some(&NobodyThere)));
    }
    assert_eq!(source.fetches(), 1);
    assert_eq!(generator.metrics().fetch_failures(), 1);
    assert!(generator.metrics().last_failure().is_some());
    assert_eq!(generator.next().await.unwrap().counter(), 1);
    assert_eq!(source.fetches(), 2);
    assert!(generator.metrics().last_failure().is_none());
}

#[tokio::test(start_paused = true)]
async fn failed_fetches_are_repeated_while_ids_are_left() {
    let (source, generator) = generator(8, 1);
    assert_eq!(generator.next().await.unwrap().counter(), 1);
    source.fail(6);
    // No call fails, for two of eight ids are left, and nobody has to call for a block to come.
    assert_eq!(counters(&generator.take(5).await.unwrap()), [2, 3, 4, 5, 6]);
    let began = tokio::time::Instant::now();
    while generator.metrics().remaining() == 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = began.elapsed();
    assert_eq!(source.fetches(), 8);
    // 50, 100, … 1,600 ms, each at random down to half of it.
    assert!(
        took >= Duration::from_millis(1_575) && took <= Duration::from_millis(3_300),
        "{took:?}"
    );
    assert_eq!(generator.metrics().fetch_failures(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_call_does_not_wait_for_the_pause_to_end() {
    let (source, generator) = generator(8, 1);
    source.fail(12);
    for _ in 0..12 {
        generator.next().await.unwrap_err();
    }
    let began = tokio::time::Instant::now();
    assert_eq!(generator.next().await.unwrap().counter(), 1);
    assert_eq!((began.elapsed(), source.fetches()), (Duration::ZERO, 13));
}

#[tokio::test(start_paused = true)]
async fn calls_that_never_wait_do_not_shorten_the_pause() {
    let (source, generator) = generator(8, 1);
    source.fail(usize::MAX);
    for _ in 0..10_000 {
        assert_eq!(generator.try_next(), None);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let fetches = source.fetches();
    assert!((8..=16).contains(&fetches), "{fetches} in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_answers_is_given_up() {
    let (source, generator) = generator(8, 0);
    let began = tokio::time::Instant::now();
    let error = generator.next().await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_secs(30));
    assert!(error.is_transient());
    assert_eq!(
        error.source().unwrap().to_string(),
        "it did not answer within 30000 ms"
    );
    source.gate.add_permits(1);
    assert_eq!(generator.next().await.unwrap().counter(), 1);
}

#[tokio::test]
async fn the_end_of_the_eras_is_final() {
    let (source, generator) = generator(4, 1);
    source.set(SequenceState::LAST_ERA, Gdid::MAX_COUNTER - 10);
    assert_eq!(generator.take(4).await.unwrap().len(), 4);
    assert!(generator.metrics().is_near_the_end());
    for _ in 0..2 {
        let error = generator.take(30).await.unwrap_err();
        assert!(matches!(error, AuthorityError::Exhausted { .. }));
        assert!(!error.is_transient());
    }
    assert_eq!(generator.take(0).await.unwrap(), []);
}

#[tokio::test]
async fn an_era_turns_between_two_blocks() {
    let (source, generator) = generator(8, 1);
    source.set(6, Gdid::MAX_COUNTER - 20);
    let ids: HashSet<Gdid> = generator.take(8).await.unwrap().into_iter().collect();
    assert!(ids.iter().all(|id| id.era() == 6));
    let next = generator.take(30).await.unwrap();
    assert!(next.is_sorted_by(|a, b| a < b) && next[29].era() == 7);
}

#[tokio::test]
async fn an_authority_that_went_back_is_not_dealt_from() {
    let (source, generator) = generator(8, 1);
    let first = generator.take(8).await.unwrap();
    until(|| generator.metrics().remaining() > 0).await;
    source.set(0, 3);
    let mut seen: HashSet<Gdid> = first.into_iter().collect();
    let error = loop {
        match generator.next().await {
            Ok(id) => assert!(seen.insert(id), "{id} twice"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AuthorityError::WentBack { .. }), "{error}");
    assert!(!error.is_transient());
    source.set(0, 100_000);
    assert_eq!(generator.next().await.unwrap().counter(), 100_001);
}

#[tokio::test]
async fn a_source_that_panics_fails_the_calls_that_wait() {
    let (source, generator) = generator(8, 1);
    source.panics.store(1, Ordering::SeqCst);
    let error = generator.next().await.unwrap_err();
    assert_eq!(
        error.source().unwrap().to_string(),
        "the task that was asking it panicked"
    );
    assert_eq!(generator.next().await.unwrap().counter(), 1);
}
