//! What the tests of killed movers play on: a bank, a service, and one move after another.

use std::fmt;
use std::time::Duration;

use mdb_core::error::chain;
use mdb_core::relocate::{
    Leftover, LeftoverState, MoveError, MoveOptions, MovePhase, MoveProgress, MoveRecord,
    TableReceipt, TakeOver,
};
use mdb_core::{Gdid, Mdb};
use mdb_tests::bank::{Audit, Bank, Worker, Workers};
use mdb_tests::kit::wait_for;
use mdb_tests::store::TestEngine;

/// No test waits longer for what has to happen.
const PATIENCE: Duration = Duration::from_mins(3);

/// A step between the copying and the commit point.
const MIDDLE: usize = 15;

/// What happens while the mover waits at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strike {
    /// The mover is killed.
    Mover,
    /// The mover sleeps until somebody else has brought its move to an end.
    Sleep,
    /// The server that the briefcases leave is killed.
    Source,
    /// The server that they go to is killed.
    Target,
    /// The catalog's server is killed.
    Catalog,
}

/// What is done with the move afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cure {
    Resume,
    Abort,
}

impl Cure {
    pub(crate) const ALL: [Self; 2] = [Self::Resume, Self::Abort];
}

/// A step of a mover, something that happens there, and what is done then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) step: usize,
    pub(crate) side: &'static str,
    pub(crate) strike: Strike,
    pub(crate) cure: Cure,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            step,
            side,
            strike,
            cure,
        } = self;
        write!(f, "{strike:?} {side} step {step}, then {cure:?}")
    }
}

/// A bank with three briefcases that are moved, and two on each shard that stay.
pub(crate) struct Stage<DB: TestEngine> {
    pub(crate) bank: Bank<DB>,
    pub(crate) mdb: Mdb,
    pub(crate) workers: Workers,
    pub(crate) moved: Vec<Gdid>,
    pub(crate) neighbours: [Vec<Gdid>; 2],
    pub(crate) home: usize,
    service: Option<Worker>,
}

impl<DB: TestEngine> Stage<DB> {
    pub(crate) async fn set(bank: Bank<DB>) -> Self {
        let mdb = bank.open();
        let mut moved = bank.customers(&mdb, 0, 5).await;
        let stay = moved.split_off(3);
        let neighbours = [stay, bank.customers(&mdb, 1, 2).await];
        let workers = Workers::new(&bank, env!("CARGO_BIN_EXE_bank-worker"));
        Self {
            bank,
            mdb,
            workers,
            moved,
            neighbours,
            home: 0,
            service: None,
        }
    }

    /// Starts the service; it goes on over any outage if it is told that there will be some.
    pub(crate) async fn open(&mut self, arguments: &[&str]) {
        let users = [&self.moved[..], &self.neighbours.concat()].concat();
        let mut command = self.workers.command("service", &users);
        command.args(arguments);
        let mut service = self.workers.start(command);
        assert_eq!(service.line().await.as_deref(), Some("serving"));
        self.service = Some(service);
    }

    /// Ends the service, and looks whether everything that it was told is so.
    pub(crate) async fn close(&mut self) {
        self.service.take().unwrap().finish().await;
        let at_the_end = "when the service has ended";
        self.look_for_leftovers(Left::Triggers, &at_the_end).await;
        wait_for("nothing to be left on the shards", PATIENCE, async || {
            // Triggers can't be dropped at every moment, nor signs before all processes know the way.
            let left = Box::pin(self.mdb.relocator().clean()).await;
            left.is_ok_and(|left| left.is_empty())
        })
        .await;
        let mut audit = Audit::open(&self.bank, "at the end").await;
        audit.balances().await;
        audit.reconcile(&self.workers.ledger()).await;
        self.bank.find(&self.moved).await;
        self.bank.find(&self.neighbours.concat()).await;
    }

    /// Looks whether nothing else is left on the shards.
    async fn look_for_leftovers(&self, allowed: Left, context: &impl fmt::Display) {
        let shards = [0, 1].map(|number| self.bank.shard(&self.mdb, number));
        let mut found = None;
        wait_for("the shards to answer", PATIENCE, async || {
            match self.mdb.relocator().leftovers(&shards).await {
                Ok(left) => found = Some(left),
                // A connection that the killed server had.
                Err(error) if error.is_transient() => {}
                Err(error) => panic!("{}: {context}", chain(&error)),
            }
            found.is_some()
        })
        .await;
        let mut left = found.unwrap();
        if allowed == Left::Triggers {
            let triggers = |left: &Leftover| left.what().starts_with("triggers and change tables");
            left.retain(|left| !triggers(left) || left.state() != LeftoverState::Removable);
        }
        assert_eq!(left, [], "{context}");
    }

    /// A mover that is to wait at a step.
    pub(crate) async fn mover(&mut self, role: [&str; 2], side: &str, step: usize) -> Mover {
        let mut command = self.workers.command(role[0], &self.moved);
        command
            .arg(role[1])
            .env("BANK_HALT", format!("{side} {step}"));
        let mut worker = self.workers.start(command);
        let line = worker.line().await;
        match line.as_deref() {
            Some("halted") => Mover::Waits(Box::new(worker)),
            Some(end) => Mover::Ended(end.to_owned()),
            None => panic!("a mover ended without a word; {}", worker.said()),
        }
    }

    /// Plays a case; `false` when the mover came to its end before the step.
    pub(crate) async fn play(&mut self, case: Case) -> bool {
        let to = (1 - self.home).to_string();
        let mover = self.mover(["move", &to], case.side, case.step).await;
        let mut mover = match mover {
            Mover::Waits(mover) => mover,
            Mover::Ended(end) => {
                assert_eq!(end, "done", "{case}");
                self.home = self.look(Left::Nothing, &case).await;
                return false;
            }
        };
        let server = match case.strike {
            Strike::Mover => None,
            Strike::Sleep => {
                self.cure(case.cure, &case).await;
                mover.go_on().await;
                // Whatever it says: it may meet anything but a chance to change something.
                mover.line().await.unwrap();
                self.home = self.look(Left::Triggers, &case).await;
                return true;
            }
            Strike::Source => Some(self.home),
            Strike::Target => Some(1 - self.home),
            Strike::Catalog => Some(2),
        };
        match server {
            None => mover.kill().await,
            Some(number) => {
                let server = self.bank.server(number);
                server.kill().await;
                mover.go_on().await;
                server.restart().await.unwrap();
                mover.line().await.unwrap();
            }
        }
        self.cure(case.cure, &case).await;
        let left = server.map_or(Left::Nothing, |_| Left::Triggers);
        self.home = self.look(left, &case).await;
        true
    }

    /// A mover is killed in the middle of a move, before the commit point; somebody takes the move over, and meets a
    /// strike at a step; a third brings it to an end. `false` when the second came to its end before the step.
    pub(crate) async fn play_second(&mut self, cure: Cure, strike: Strike, step: usize) -> bool {
        let context = format!("{cure:?}, {strike:?} after step {step}");
        let to = (1 - self.home).to_string();
        let first = self.mover(["move", &to], "before", MIDDLE).await;
        let Mover::Waits(first) = first else {
            panic!("a move with fewer than {MIDDLE} steps");
        };
        first.kill().await;
        let open = self.open_moves().await.unwrap();
        let [record] = &open[..] else {
            panic!("{open:?}");
        };
        let role = match cure {
            Cure::Resume => "resume",
            Cure::Abort => "abort",
        };
        let second = self.mover([role, record.id()], "after", step).await;
        let is_there = match second {
            Mover::Ended(end) => {
                assert_eq!(end, "done", "{context}");
                false
            }
            Mover::Waits(second) if strike == Strike::Mover => {
                second.kill().await;
                self.cure(cure, &context).await;
                true
            }
            Mover::Waits(mut second) => {
                self.cure(cure, &context).await;
                second.go_on().await;
                second.line().await.unwrap();
                true
            }
        };
        let home = self.look(Left::Triggers, &context).await;
        let expected = match cure {
            Cure::Resume => 1 - self.home,
            Cure::Abort => self.home,
        };
        assert_eq!(home, expected, "{context}");
        self.home = home;
        is_there
    }

    /// Brings all moves to an end.
    pub(crate) async fn cure(&self, cure: Cure, context: &impl fmt::Display) {
        let what = format!("the moves to end: {context}");
        wait_for(&what, PATIENCE, async || {
            match Box::pin(self.end_moves(cure)).await {
                Ok(()) => true,
                // A connection that the killed server had.
                Err(error) if error.is_transient() => false,
                Err(error) => panic!("{}: {context}", chain(&error)),
            }
        })
        .await;
    }

    async fn end_moves(&self, cure: Cure) -> Result<(), MoveError> {
        let options = MoveOptions::new().take_over(TakeOver::FromAnybody);
        let relocator = self.mdb.relocator();
        for record in self.open_moves().await? {
            if cure == Cure::Abort || record.phase() == MovePhase::Aborting {
                match Box::pin(relocator.abort(record.id(), &options)).await {
                    Err(MoveError::WrongPhase { .. }) => {}
                    end => {
                        end?;
                        continue;
                    }
                }
            }
            let progress = MoveProgress::new();
            Box::pin(relocator.resume(record.id(), &options, &progress)).await?;
        }
        Ok(())
    }

    /// The moves that are not over.
    pub(crate) async fn open_moves(&self) -> Result<Vec<MoveRecord>, MoveError> {
        let mut records = self.mdb.relocator().list().await?;
        records.retain(|record| !record.phase().is_over());
        Ok(records)
    }

    /// Where the briefcases are, after looking whether everything is as it has to be when no move is under way.
    async fn look(&self, left: Left, context: &impl fmt::Display) -> usize {
        let mut audit = Audit::open(&self.bank, context.to_string()).await;
        audit.at_rest().await;
        let home = audit.home(&self.moved).await;
        for (place, neighbours) in self.neighbours.iter().enumerate() {
            assert_eq!(audit.home(neighbours).await, place, "{context}");
        }
        audit.balances().await;
        self.look_for_leftovers(left, context).await;
        self.look_for_receipts(context).await;
        home
    }

    /// Each move that was decided has a receipt, whoever brought it to its end.
    async fn look_for_receipts(&self, context: &impl fmt::Display) {
        for record in self.mdb.relocator().list().await.unwrap() {
            if record.phase() == MovePhase::Done {
                let receipt = record.receipt();
                let customers = receipt.iter().find(|line| line.table() == "customer");
                let rows = customers.map(TableReceipt::rows);
                assert_eq!(rows, Some(self.moved.len() as u64), "{context}");
            }
        }
    }
}

/// What moves may have left on the shards when all are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    /// Triggers that nobody needs: who slept through the end of his move installs them when he wakes up, before he finds
    /// out; who dies undoing one may do so when it has been undone already; and a server that dies may do so while they
    /// are removed.
    Triggers,
}

/// A mover that was to wait at a step.
pub(crate) enum Mover {
    /// There it is.
    Waits(Box<Worker>),
    /// It came to its end before, with these words.
    Ended(String),
}
