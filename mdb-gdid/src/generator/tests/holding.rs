//! Ids that threads and handles have taken for later.

use super::*;

/// Large blocks at once, so that threads come to hold many ids.
fn large() -> (Arc<Counted>, Generator) {
    generator(1_024, 1)
}

#[tokio::test]
async fn a_thread_that_is_left_alone_loses_no_id() {
    let (_, generator) = large();
    for counter in 1..=20_000 {
        assert_eq!(generator.next().await.unwrap().counter(), counter);
    }
}

#[tokio::test]
async fn ids_ascend_over_threads_that_take_turns() {
    let (_, generator) = large();
    let mut last = generator.next().await.unwrap();
    // It comes to hold many, and then another thread takes one.
    for turn in [100, 300, 1, 1, 100, 2, 300, 1] {
        for _ in 0..turn {
            let id = generator.next().await.unwrap();
            assert!(id > last);
            last = id;
        }
        let other = generator.clone();
        let id = std::thread::spawn(move || other.try_next()).join().unwrap();
        if let Some(id) = id {
            assert!(id > last);
            last = id;
        }
    }
    // So does a handle that is used in between.
    let mut handle = generator.handle();
    for _ in 0..100 {
        let id = generator.next().await.unwrap();
        assert!(id > last, "{id} after {last}");
        last = id;
        handle.next().await.unwrap();
    }
}

#[tokio::test]
async fn more_generators_than_a_thread_has_lanes_for_keep_apart() {
    let mut all: Vec<_> = (0..20_u64)
        .map(|n| {
            let (source, generator) = large();
            source.set(u32::try_from(n).unwrap(), 0);
            (n, 0, source, generator)
        })
        .collect();
    let turns = [1, 70, 3, 200, 1, 1, 90];
    for (turn, times) in turns.iter().cycle().take(200).enumerate() {
        let among = all.len();
        let (n, last, _, generator) = &mut all[turn * 7 % among];
        for _ in 0..*times {
            let id = generator.next().await.unwrap();
            assert!(u64::from(id.era()) == *n && id.counter() > *last);
            *last = id.counter();
        }
    }
}

#[tokio::test]
async fn a_thread_drops_what_it_holds_with_the_filler() {
    let (source, generator) = large();
    for _ in 0..200 {
        generator.next().await.unwrap();
    }
    source.set(1, 0);
    generator.shared.drop_all();
    assert_eq!(generator.next().await.unwrap().era(), 1);
}
