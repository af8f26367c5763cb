//! Generators that outlive runtimes, and runtimes that outlive generators.

use super::*;
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

#[test]
fn a_generator_goes_on_in_another_runtime() {
    let (source, generator) = generator(8, 1);
    let mut handle = generator.handle();
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let runtime = runtime();
        assert!(seen.insert(runtime.block_on(generator.next()).unwrap()));
        assert!(seen.insert(runtime.block_on(handle.next()).unwrap()));
        assert!(
            seen.insert(generator.try_next().unwrap()),
            "outside, while it runs"
        );
        drop(runtime);
        assert_eq!(generator.try_next(), None, "nobody would drop it in time");
        assert_eq!(handle.try_next(), None);
    }
    assert_eq!(source.fetches(), 3);
}

#[test]
fn one_who_waits_goes_on_when_the_filler_s_runtime_ends() {
    let (source, generator) = generator(8, 0);
    let first = runtime();
    // The filler runs there, and waits.
    first.block_on(async {
        generator.try_next();
        until(|| source.fetches() == 1).await;
    });
    let waiting = std::thread::spawn({
        let generator = generator.clone();
        move || runtime().block_on(generator.next())
    });
    while !generator.shared.stock().is_wanted() {
        std::thread::yield_now();
    }
    drop(first);
    source.gate.add_permits(1);
    assert_eq!(waiting.join().unwrap().unwrap().counter(), 1);
    assert_eq!(source.fetches(), 2);
}

#[test]
fn without_a_runtime_nobody_waits() {
    let (_, generator) = generator(8, 1);
    let Some(Err(error)) = poll_once(&mut Box::pin(generator.next())) else {
        panic!("it neither waits nor succeeds");
    };
    assert_eq!(
        error.source().unwrap().to_string(),
        "ids are to be fetched inside a tokio runtime, and there is none"
    );
}

#[tokio::test]
async fn the_filler_ends_with_the_last_generator() {
    let (source, generator) = generator(8, 1);
    let clone = generator.clone();
    generator.next().await.unwrap();
    drop(generator);
    clone.next().await.unwrap();
    let handle = clone.handle();
    drop(clone);
    tokio::task::yield_now().await;
    assert!(Arc::strong_count(&source) > 1, "the handle is one, too");
    drop(handle);
    until(|| Arc::strong_count(&source) == 1).await;
}

#[tokio::test]
async fn a_fetch_is_given_up_with_the_last_generator() {
    let (source, generator) = generator(8, 0);
    assert_eq!(generator.try_next(), None);
    until(|| source.fetches() == 1).await;
    drop(generator);
    until(|| Arc::strong_count(&source) == 1).await;
}
