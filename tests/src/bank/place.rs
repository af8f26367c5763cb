//! A customer who is to move, between schemas and rows that tests change.

use mdb_core::error::chain;
use mdb_core::failpoint::{Halt, HaltSide};
use mdb_core::relocate::{
    MoveError, MoveOptions, MovePhase, MovePlan, MoveProgress, MoveRecord, MoveReport, MoveRequest,
    PlanError, Selection, TakeOver,
};
use mdb_core::{Gdid, Mdb};

use super::{Audit, Bank, SUM, Teller, literal, past_triggers};
use crate::kit::Kind;
use crate::store::TestEngine;

/// A bank with a customer, or more, at the first shard, who is to move to the second one.
#[derive(Debug)]
pub struct Place<DB: TestEngine> {
    /// The bank.
    pub bank: Bank<DB>,
    /// Its store, opened.
    pub mdb: Mdb,
    /// The customer, or more.
    pub ids: Vec<Gdid>,
}

/// One of three: what SQLite, PostgreSQL and MariaDB call something.
pub fn word<DB: TestEngine>(words: [&'static str; 3]) -> &'static str {
    match DB::SERVER {
        None => words[0],
        Some(Kind::Postgres) => words[1],
        Some(Kind::MariaDb) => words[2],
    }
}

/// The type of columns of ids.
pub fn id<DB: TestEngine>() -> &'static str {
    word::<DB>(["BLOB", "BYTEA", "BINARY(12)"])
}

impl<DB: TestEngine> Place<DB> {
    /// As [`Bank::start`].
    ///
    /// # Panics
    ///
    /// As [`Bank::start`].
    pub async fn new() -> Self {
        Self::of(1).await
    }

    /// With so many customers.
    ///
    /// # Panics
    ///
    /// As [`Bank::start`].
    pub async fn of(count: usize) -> Self {
        Self::on(Bank::<DB>::start().await, count).await
    }

    /// In that bank.
    ///
    /// # Panics
    ///
    /// When a statement fails.
    pub async fn on(bank: Bank<DB>, count: usize) -> Self {
        let mdb = bank.open();
        let ids = bank.customers(&mdb, 0, count).await;
        Self { bank, mdb, ids }
    }

    /// Runs a statement on the shard of that number, past MDB.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub async fn at(&self, number: usize, statement: &str) {
        let ran = DB::run_at(&self.bank.url(number), &[statement.to_owned()]).await;
        ran.unwrap_or_else(|error| panic!("{statement}: {}", chain(&error)));
    }

    /// Runs a statement on the shard of that number, past MDB and its triggers.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub async fn past_triggers_at(&self, number: usize, statement: &str) {
        let ran = DB::run_at(&self.bank.url(number), &past_triggers::<DB>(statement)).await;
        ran.unwrap_or_else(|error| panic!("{statement}: {}", chain(&error)));
    }

    /// Runs a statement on both shards.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub async fn on_both(&self, statement: &str) {
        for number in [0, 1] {
            self.at(number, statement).await;
        }
    }

    /// Makes a table `note` that the configuration does not list, on both shards, whose `key` is the customer's; who has a row
    /// there at the first one.
    ///
    /// # Panics
    ///
    /// When a statement fails.
    pub async fn make_notes(&self, key: &str) {
        let note = format!(
            "CREATE TABLE note ({key} {} NOT NULL PRIMARY KEY, n INTEGER)",
            id::<DB>()
        );
        self.on_both(&note).await;
        let customer = literal::<DB>(self.ids[0]);
        let insert = format!("INSERT INTO note VALUES ({customer}, 1)");
        self.at(0, &insert).await;
    }

    /// Plans to move the customer to the second shard.
    ///
    /// # Errors
    ///
    /// As [`Relocator::plan`](mdb_core::relocate::Relocator::plan).
    pub async fn plan(&self) -> Result<MovePlan, PlanError> {
        self.try_plan_to(1).await
    }

    async fn try_plan_to(&self, number: usize) -> Result<MovePlan, PlanError> {
        let selection = Selection::Briefcases(self.ids.clone());
        let request = MoveRequest::new("user", selection, self.bank.shard(&self.mdb, number));
        self.mdb.relocator().plan(&request).await
    }

    /// Plans to move the customer to the shard of that number.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub async fn plan_to(&self, number: usize) -> MovePlan {
        let plan = self.try_plan_to(number).await;
        plan.unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    /// Runs a plan.
    ///
    /// # Errors
    ///
    /// As [`Relocator::run`](mdb_core::relocate::Relocator::run).
    pub async fn run(&self, plan: &MovePlan) -> Result<Vec<MoveReport>, MoveError> {
        let (options, progress) = (MoveOptions::new(), MoveProgress::new());
        self.mdb.relocator().run(plan, &options, &progress).await
    }

    /// Begins to move the customer to the shard of that number, and stops as a mover does that is killed, right after the
    /// step after which `has_come` is true. The move's id.
    ///
    /// # Panics
    ///
    /// When the move ends before.
    pub async fn killed_when(&self, number: usize, has_come: impl AsyncFn() -> bool) -> String {
        let plan = self.plan_to(number).await;
        let halt = Halt::at_each(HaltSide::After);
        let mut run = Box::pin(halt.scope(self.run(&plan)));
        loop {
            tokio::select! {
                end = &mut run => panic!("it has ended: {end:?}"),
                () = halt.reached() => {}
            }
            if has_come().await {
                break;
            }
            halt.go_on();
        }
        drop(run);
        let moves = self.moves().await;
        let left = moves.iter().find(|record| !record.phase().is_over());
        let Some(left) = left else {
            panic!("{moves:?}");
        };
        left.id().to_owned()
    }

    /// The same, right after the move is decided.
    ///
    /// # Panics
    ///
    /// When the move ends before.
    pub async fn killed_decided(&self, number: usize) -> String {
        let moved = "SELECT count(*) FROM mdb_fence WHERE state = 3";
        let decided = async || self.bank.count(1 - number, moved).await > 0;
        self.killed_when(number, decided).await
    }

    /// Whether a move is in that phase.
    ///
    /// # Panics
    ///
    /// When the journal can't be read.
    pub async fn is_in(&self, phase: MovePhase) -> bool {
        let moves = self.moves().await;
        moves.iter().any(|record| record.phase() == phase)
    }

    /// Runs a move to the second shard, which halts once it has come that far, and has not fenced anything; does `work`
    /// then, and lets it go on. It is asked how far it has come at each of its steps.
    ///
    /// # Errors
    ///
    /// As [`Relocator::run`](mdb_core::relocate::Relocator::run).
    ///
    /// # Panics
    ///
    /// When the move ends, or fences something, before it has come that far.
    pub async fn run_halted(
        &self,
        options: &MoveOptions,
        side: HaltSide,
        mut has_come: impl AsyncFnMut() -> bool,
        work: impl AsyncFnOnce(),
    ) -> Result<Vec<MoveReport>, MoveError> {
        let there = self.plan_to(1).await;
        let (halt, progress) = (Halt::at_each(side), MoveProgress::new());
        let relocator = self.mdb.relocator();
        let mut moved = Box::pin(halt.scope(relocator.run(&there, options, &progress)));
        let works = async {
            halt.reached().await;
            while !has_come().await {
                halt.go_on();
                halt.reached().await;
            }
            let fenced = "SELECT count(*) FROM mdb_fence WHERE state <> 1";
            assert_eq!(self.bank.count(0, fenced).await, 0, "it has fenced");
            work().await;
        };
        tokio::select! {
            end = &mut moved => panic!("it has come to its end: {end:?}"),
            () = works => {}
        }
        halt.let_go();
        moved.await
    }

    /// The moves in the journal.
    ///
    /// # Panics
    ///
    /// When it can't be read.
    pub async fn moves(&self) -> Vec<MoveRecord> {
        let listed = self.mdb.relocator().list().await;
        listed.unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    /// Takes a move over at once, and brings it to its end.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub async fn resume(&self, id: &str) -> MoveReport {
        let options = MoveOptions::new().take_over(TakeOver::FromAnybody);
        let (relocator, progress) = (self.mdb.relocator(), MoveProgress::new());
        let resumed = Box::pin(relocator.resume(id, &options, &progress)).await;
        resumed.unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    /// All of the customer's rows are on the shard of that number, and nothing is left of any move.
    ///
    /// # Panics
    ///
    /// When it is otherwise.
    pub async fn is_whole(&self, number: usize) {
        let mut audit = Audit::open(&self.bank, "at the end").await;
        audit.at_rest().await;
        audit.balances().await;
        assert_eq!(audit.home(&self.ids).await, number);
        let teller = Teller::<DB>::new(&self.mdb);
        match teller.sum(self.ids[0]).await {
            Ok(sum) => assert_eq!(sum, SUM),
            Err(error) => panic!("{}", chain(&error)),
        }
    }

    /// Moves the customer to the shard of that number.
    ///
    /// # Errors
    ///
    /// As [`Relocator::run`](mdb_core::relocate::Relocator::run).
    pub async fn try_carry_to(&self, number: usize) -> Result<(), MoveError> {
        let plan = self.try_plan_to(number).await?;
        self.run(&plan).await.map(drop)
    }

    /// Moves the customer to the shard of that number.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub async fn carry_to(&self, number: usize) {
        let moved = self.try_carry_to(number).await;
        moved.unwrap_or_else(|error| panic!("{}", chain(&error)));
    }

    /// One thing is in the way, about that table, with those words.
    ///
    /// # Panics
    ///
    /// When it is otherwise.
    pub async fn refused(&self, table: &str, words: &[&str]) {
        let refusals = match self.plan().await {
            Err(PlanError::Refused { refusals }) => refusals,
            other => panic!("{other:?}"),
        };
        let [refusal] = &refusals[..] else {
            panic!("{refusals:?}");
        };
        assert_eq!(refusal.place(), format!("table `{table}`"));
        for word in words {
            assert!(refusal.reason().contains(word), "no `{word}`: {refusal:?}");
        }
    }

    /// Nothing is in the way; these tables are warned of, each with a word. (The servers of tests force little to the disk.)
    ///
    /// # Panics
    ///
    /// When it is otherwise.
    pub async fn warned(&self, expected: &[(&str, &str)]) {
        let plan = self
            .plan()
            .await
            .unwrap_or_else(|e| panic!("{}", chain(&e)));
        let mut warnings = plan.warnings().to_vec();
        warnings.retain(|warning| !warning.place().starts_with("server "));
        assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
        for (warning, (table, word)) in warnings.iter().zip(expected) {
            assert_eq!(warning.place(), format!("table `{table}`"));
            assert!(warning.reason().contains(word), "no `{word}`: {warning:?}");
        }
    }

    /// Has the plan warn of one thing only: that nothing binds a table's rows to their parents, where that makes a difference.
    ///
    /// # Panics
    ///
    /// When it does not, or of something else too.
    pub async fn warned_of_unbound(&self, table: &str) {
        let unbound = (table, "has no foreign key to");
        let expected = DB::SERVER.map(|_| unbound);
        self.warned(expected.as_slice()).await;
    }
}
