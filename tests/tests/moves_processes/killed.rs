//! A mover stops at each of its steps, where it, or a server, is killed; somebody else resumes or undoes its move.

use mdb_tests::bank::Bank;
use mdb_tests::store::TestEngine;
use mdb_tests::{on_all_engines, on_engines_with_servers};

use crate::is_long;
use crate::stage::{Case, Cure, Stage, Strike};

on_all_engines!(
    a_mover_is_killed_at_every_step,
    a_mover_sleeps_at_many_steps,
    an_abortion_is_killed_at_many_steps,
    a_resumption_sleeps_at_its_first_steps,
);
on_engines_with_servers!(a_server_is_killed_while_a_mover_works);

/// Far more steps than a move has: rounds of catching up are steps too.
const STEPS: usize = 80;

/// A move has more steps than this.
const AT_LEAST: usize = 15;

async fn a_mover_is_killed_at_every_step<DB: TestEngine>() {
    let mut stage = Stage::set(Bank::<DB>::start().await).await;
    stage.open(&[]).await;
    for cure in Cure::ALL {
        every_step(&mut stage, 1, |step| Case {
            step,
            side: "before",
            strike: Strike::Mover,
            cure,
        })
        .await;
    }
    stage.close().await;
}

/// A mover that was taken for dead wakes up when others have brought its move to an end: it has no more say.
async fn a_mover_sleeps_at_many_steps<DB: TestEngine>() {
    let mut stage = Stage::set(Bank::<DB>::start().await).await;
    stage.open(&[]).await;
    let (stride, rounds) = if is_long() { (1, 2) } else { (3, 1) };
    for round in 0..rounds {
        every_step(&mut stage, stride, |step| Case {
            step,
            side: "after",
            strike: Strike::Sleep,
            cure: Cure::ALL[(step + round) % 2],
        })
        .await;
    }
    stage.close().await;
}

/// Plays every so many steps, until a mover comes to its end before the next one.
async fn every_step<DB: TestEngine>(
    stage: &mut Stage<DB>,
    stride: usize,
    case: impl Fn(usize) -> Case,
) {
    let mut step = 1;
    while step < STEPS && stage.play(case(step)).await {
        step += stride;
    }
    assert!(step > AT_LEAST, "only {step} steps were seen");
}

/// Undoing a move is killed, too; it is undone again.
async fn an_abortion_is_killed_at_many_steps<DB: TestEngine>() {
    let mut stage = Stage::set(Bank::<DB>::start().await).await;
    stage.open(&[]).await;
    let mut step = 1;
    let stride = if is_long() { 1 } else { 2 };
    while stage.play_second(Cure::Abort, Strike::Mover, step).await {
        step += stride;
    }
    assert!(step > 5, "only {step} steps were seen");
    stage.close().await;
}

/// The one who takes a move over sleeps in its turn, until a third has brought it to an end.
async fn a_resumption_sleeps_at_its_first_steps<DB: TestEngine>() {
    let mut stage = Stage::set(Bank::<DB>::start().await).await;
    stage.open(&[]).await;
    // Taking over is what comes first.
    let last = if is_long() { STEPS } else { 6 };
    let mut step = 1;
    while step <= last && stage.play_second(Cure::Resume, Strike::Sleep, step).await {
        step += 1;
    }
    assert!(step > 5, "only {step} steps were seen");
    stage.close().await;
}

async fn a_server_is_killed_while_a_mover_works<DB: TestEngine>() {
    let mut stage = Stage::set(Bank::<DB>::alone().await).await;
    stage.open(&["outages"]).await;
    let strikes = [Strike::Source, Strike::Target, Strike::Catalog];
    if is_long() {
        for (strike, cure) in strikes.into_iter().flat_map(|s| Cure::ALL.map(|c| (s, c))) {
            every_step(&mut stage, 1, |step| Case {
                step,
                side: "before",
                strike,
                cure,
            })
            .await;
        }
    } else {
        for (place, step) in [3, 9, 14, 18, 22].into_iter().enumerate() {
            for (number, strike) in strikes.into_iter().enumerate() {
                let case = Case {
                    step,
                    side: "before",
                    strike,
                    cure: Cure::ALL[(place + number) % 2],
                };
                assert!(stage.play(case).await, "{case}");
            }
        }
    }
    stage.close().await;
}
