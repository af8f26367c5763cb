//! Single statements on a briefcase.
//!
//! The guarded path is boxed apart: most statements go the direct one, and should not carry the other's future about.

use async_stream::try_stream;
use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use sqlx::{Database, Describe, Execute, Executor};

use super::Briefcase;
use crate::catalog::Path;
use crate::engine::{Engine, Steps, TransactionOptions};
use crate::guard;
use crate::servers::{self, Lane, Statement, Transaction};

impl<'c, DB: Engine> Executor<'c> for &'c Briefcase<DB> {
    type Database = DB;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Steps<'e, DB>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        Box::pin(try_stream! {
            let operation = self.area.enter(self.id)?;
            match operation.path() {
                Path::Direct => {
                    let pool = self.area.pool(operation.shard())?.knowing(operation.epoch().get());
                    let mut steps = servers::fetch_many(pool.clone(), query);
                    while let Some(step) = steps.next().await {
                        yield step?;
                    }
                    guard::confirm_executed(&pool, &operation, self.id).await?;
                }
                Path::Guarded => {
                    drop(operation);
                    let mut steps = self.guarded_many(query);
                    while let Some(step) = steps.next().await {
                        yield step?;
                    }
                }
            }
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<DB::Row>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        Box::pin(async move {
            let operation = self.area.enter(self.id)?;
            match operation.path() {
                Path::Direct => {
                    let pool = self
                        .area
                        .pool(operation.shard())?
                        .knowing(operation.epoch().get());
                    let row = servers::fetch_optional(&pool, query).await?;
                    guard::confirm_executed(&pool, &operation, self.id).await?;
                    Ok(row)
                }
                Path::Guarded => {
                    drop(operation);
                    Box::pin(self.guarded_optional(query)).await
                }
            }
        })
    }

    fn prepare_with<'e, 'q: 'e>(
        self,
        sql: &'q str,
        parameters: &'e [DB::TypeInfo],
    ) -> BoxFuture<'e, Result<<DB as Database>::Statement<'q>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.pool()?.prepare_with(sql, parameters).await })
    }

    fn describe<'e, 'q: 'e>(self, sql: &'q str) -> BoxFuture<'e, Result<Describe<DB>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.pool()?.describe(sql).await })
    }
}

impl<DB: Engine> Briefcase<DB> {
    /// A transaction for one statement; one that is tried on a reader may only read.
    async fn begin_for(&self, lane: Lane) -> Result<Transaction<DB>, sqlx::Error> {
        let options = TransactionOptions::new().single_statement();
        match lane {
            Lane::Read => self.begin_with(&options.read_only()).await,
            Lane::Write => self.begin_with(&options).await,
        }
    }

    fn guarded_many<'e, 'q: 'e, E>(&'e self, query: E) -> Steps<'e, DB>
    where
        E: 'q + Execute<'q, DB>,
    {
        Box::pin(try_stream! {
            let (mut statement, mut again) = Statement::split(self.pool()?, query)?;
            loop {
                let lane = Statement::lane(again.as_ref());
                let transaction = self.begin_for(lane).await?;
                let mut steps = Executor::fetch_many(&transaction, statement);
                let mut next = steps.next().await.transpose();
                if let Err(error) = &next
                    && let Some(again) = again.take()
                    && again.follows(self.pool()?, error)
                {
                    drop(steps);
                    // Given back first: the writer may need its place.
                    transaction.rollback().await?;
                    statement = again;
                    continue;
                }
                while let Some(step) = next? {
                    yield step;
                    next = steps.next().await.transpose();
                }
                drop(steps);
                transaction.commit().await?;
                break;
            }
        })
    }

    async fn guarded_optional<'q, E>(&self, query: E) -> Result<Option<DB::Row>, sqlx::Error>
    where
        E: 'q + Execute<'q, DB>,
    {
        let pool = self.pool()?;
        let (first, again) = Statement::split(pool, query)?;
        let lane = Statement::lane(again.as_ref());
        let transaction = self.begin_for(lane).await?;
        let result = Executor::fetch_optional(&transaction, first).await;
        match (result, again) {
            (Err(error), Some(again)) if again.follows(pool, &error) => {
                transaction.rollback().await?;
                let transaction = self.begin_for(Lane::Write).await?;
                let row = Executor::fetch_optional(&transaction, again).await?;
                transaction.commit().await?;
                Ok(row)
            }
            (result, _) => {
                let row = result?;
                transaction.commit().await?;
                Ok(row)
            }
        }
    }
}
