//! What is left of a block when its life is over.

use super::*;
use crate::BlockLife;

fn with_life(source: &Arc<Counted>, seconds: u64) -> Generator {
    let size = BlockSize::new(16).unwrap();
    let life = BlockLife::new(Duration::from_secs(seconds)).unwrap();
    let options = GeneratorOptions::new(size, size)
        .unwrap()
        .with_block_life(life);
    Generator::new(
        Arc::clone(source) as Arc<dyn BlockSource>,
        "shop.main".parse().unwrap(),
        "user".parse().unwrap(),
        options,
    )
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_block_is_dealt_when_its_life_is_over() {
    let (source, _) = generator(16, 1);
    let generator = with_life(&source, 60);
    let mut handle = generator.handle();
    assert_eq!(generator.next().await.unwrap().counter(), 1);
    assert_eq!(handle.next().await.unwrap().counter(), 2);
    assert_eq!(handle.try_next().unwrap().counter(), 3);
    // A floor is raised; a block from before it lives on for a while.
    source.set(0, 1_000_000);
    tokio::time::sleep(Duration::from_secs(56)).await;
    assert!(handle.try_next().unwrap().counter() < 100);
    assert!(generator.try_next().unwrap().counter() < 100);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(handle.next().await.unwrap().counter() > 1_000_000);
    assert!(generator.next().await.unwrap().counter() > 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_block_lives_from_before_it_was_asked_for() {
    let (source, _) = generator(16, 0);
    let generator = with_life(&source, 60);
    assert_eq!(generator.try_next(), None);
    tokio::time::sleep(Duration::from_secs(20)).await;
    source.gate.add_permits(1);
    assert_eq!(generator.next().await.unwrap().counter(), 1);
    source.set(0, 1_000_000);
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert!(generator.next().await.unwrap().counter() > 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_generator_that_nobody_uses_has_nothing_outstanding() {
    let (source, _) = generator(16, 1);
    let generator = with_life(&source, 60);
    generator.next().await.unwrap();
    tokio::time::sleep(Duration::from_secs(10_000)).await;
    assert_eq!(source.fetches(), 2, "one was used, one was not");
    assert_eq!(generator.metrics().remaining(), 0);
    generator.next().await.unwrap();
    assert_eq!(source.fetches(), 3);
}
