//! Movers: one move that can be halted at any step, and moves back and forth without end.

use mdb_core::error::chain;
use mdb_core::failpoint::{Halt, HaltSide};
use mdb_core::relocate::{
    MoveError, MoveOptions, MoveProgress, MoveRequest, Relocator, Selection, TakeOver,
};
use mdb_core::topology::ShardId;
use mdb_core::{Area, Gdid, Mdb};
use mdb_tests::store::TestEngine;

use crate::Task;

fn options() -> MoveOptions {
    MoveOptions::new().take_over(TakeOver::FromAnybody)
}

async fn open<DB: TestEngine>(task: &Task) -> Result<(Mdb, Area<DB>), String> {
    let mdb = Mdb::open(&task.config).await;
    let mdb = mdb.map_err(|error| chain(&error))?;
    let area = mdb.area("user").map_err(|error| chain(&error))?;
    Ok((mdb, area))
}

/// Where the process is to wait, by its environment.
fn halt() -> Option<std::sync::Arc<Halt>> {
    let at = std::env::var("BANK_HALT").ok()?;
    let (side, at) = at.split_once(' ').expect("a side and a number");
    let side = match side {
        "before" => HaltSide::Before,
        _ => HaltSide::After,
    };
    Some(Halt::new(at.parse().expect("a number"), side))
}

/// One move, resumption or abortion.
pub(crate) async fn once<DB: TestEngine>(task: Task) -> Result<(), String> {
    let (mdb, area) = open::<DB>(&task).await?;
    let relocator = mdb.relocator();
    let work = async {
        let progress = MoveProgress::new();
        match (task.role.as_str(), task.argument(0)) {
            ("resume", id) => {
                let options = options();
                Box::pin(relocator.resume(id, &options, &progress))
                    .await
                    .map(drop)
            }
            ("abort", id) => Box::pin(relocator.abort(id, &options())).await,
            (_, shard) => {
                let shard: usize = shard.parse().expect("a number");
                let to = area.shards()[shard].id();
                carry(&relocator, &task.users, to).await
            }
        }
    };
    let work = async {
        match halt() {
            None => work.await,
            Some(halt) => {
                let words = &task.words;
                let halted = async {
                    halt.reached().await;
                    println!("halted");
                    words.line().await;
                    halt.go_on();
                    std::future::pending().await
                };
                tokio::select! {
                    end = halt.scope(work) => end,
                    never = halted => never,
                }
            }
        }
    };
    tokio::select! {
        end = work => match end {
            Ok(()) => println!("done"),
            Err(error) => println!("failed: {}", chain(&error)),
        },
        // Nobody waits for it any more.
        () = task.words.end() => {}
    }
    Ok(())
}

async fn carry(relocator: &Relocator, users: &[Gdid], to: ShardId) -> Result<(), MoveError> {
    let selection = Selection::Briefcases(users.to_vec());
    let plan = relocator
        .plan(&MoveRequest::new("user", selection, to))
        .await?;
    let (options, progress) = (options().batch(3).parallel(2), MoveProgress::new());
    let run = relocator.run(&plan, &options, &progress);
    run.await.map(drop)
}

/// Moves back and forth until it is told to end.
pub(crate) async fn shuttle<DB: TestEngine>(task: Task) -> Result<(), String> {
    let (mdb, area) = open::<DB>(&task).await?;
    let relocator = mdb.relocator();
    let mut to = fastrand::usize(..2);
    loop {
        let trip = async {
            settle(&relocator, &task.users).await?;
            if task.words.is_over() {
                return Ok(false);
            }
            carry(&relocator, &task.users, area.shards()[to].id()).await?;
            Ok::<_, MoveError>(true)
        };
        match trip.await {
            Ok(true) => println!("trip"),
            Ok(false) => return Ok(()),
            Err(error) if error.is_transient() => println!("again: {}", chain(&error)),
            Err(error) => return Err(chain(&error)),
        }
        to = 1 - to;
    }
}

/// Brings every move of these briefcases to an end, whichever.
async fn settle(relocator: &Relocator, users: &[Gdid]) -> Result<(), MoveError> {
    for record in relocator.list().await? {
        if record.phase().is_over() {
            continue;
        }
        let moved = relocator.briefcases(&record).await?;
        if !moved.iter().all(|id| users.contains(id)) {
            continue;
        }
        if fastrand::bool() {
            match Box::pin(relocator.abort(record.id(), &options())).await {
                Err(MoveError::WrongPhase { .. }) => {}
                end => {
                    end?;
                    println!("aborted");
                    continue;
                }
            }
        }
        let (options, progress) = (options(), MoveProgress::new());
        let resumed = Box::pin(relocator.resume(record.id(), &options, &progress));
        match resumed.await {
            Ok(_) => println!("resumed"),
            // It was being undone.
            Err(MoveError::WrongPhase { .. }) => {
                Box::pin(relocator.abort(record.id(), &options)).await?;
                println!("aborted");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
