//! Someone who uses the bank as a service does.

use mdb_core::{Area, Briefcase, Gdid, Mdb, TransactError};

use super::ACCOUNTS;
use super::statements::{sum_of, transfer_of, transfer_statements, transfers_of};
use crate::store::TestEngine;

/// Someone who uses the bank as a service does.
#[derive(Clone, Debug)]
pub struct Teller<DB: TestEngine> {
    area: Area<DB>,
}

impl<DB: TestEngine> Teller<DB> {
    /// A teller of an open store.
    ///
    /// # Panics
    ///
    /// When the store has no area `user` on this engine.
    pub fn new(mdb: &Mdb) -> Self {
        Self {
            area: mdb.area("user").expect("the area is there"),
        }
    }

    /// The area.
    pub fn area(&self) -> &Area<DB> {
        &self.area
    }

    /// The briefcase of a customer.
    ///
    /// # Panics
    ///
    /// When the id is below the area's start.
    pub fn briefcase(&self, user: Gdid) -> Briefcase<DB> {
        self.area
            .briefcase(user)
            .expect("the id is above the start")
    }

    /// Transfers some cents between two accounts picked at random.
    ///
    /// # Errors
    ///
    /// As [`Briefcase::transact`].
    pub async fn transfer(&self, user: Gdid, transfer: Gdid) -> Result<(), TransactError> {
        let accounts = [fastrand::u64(..ACCOUNTS), fastrand::u64(..ACCOUNTS)];
        let statements = transfer_statements::<DB>(user, transfer, accounts, fastrand::i64(1..50));
        let statements = &statements;
        self.briefcase(user)
            .transact(async |tx| {
                for statement in statements {
                    DB::run(&tx, statement).await?;
                }
                Ok(())
            })
            .await
    }

    /// What a customer's accounts have together, in one statement.
    ///
    /// # Errors
    ///
    /// The server's, or MDB's inside it.
    pub async fn sum(&self, user: Gdid) -> Result<i64, sqlx::Error> {
        let ann = self.briefcase(user);
        DB::number(&ann, &sum_of::<DB>(user)).await
    }

    /// How many transfers with both their entries the customer has.
    ///
    /// # Errors
    ///
    /// As [`sum`](Self::sum).
    pub async fn transfers(&self, user: Gdid) -> Result<i64, sqlx::Error> {
        let ann = self.briefcase(user);
        DB::number(&ann, &transfers_of::<DB>(user)).await
    }

    /// Whether the customer has the transfer of that id: 1 or 0.
    ///
    /// # Errors
    ///
    /// As [`sum`](Self::sum).
    pub async fn has(&self, user: Gdid, transfer: Gdid) -> Result<i64, sqlx::Error> {
        let ann = self.briefcase(user);
        DB::number(&ann, &transfer_of::<DB>(user, transfer)).await
    }
}
