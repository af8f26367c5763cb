//! Single statements on a briefcase.

use async_stream::try_stream;
use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use sqlx::{Database, Describe, Execute, Executor};

use super::Briefcase;
use crate::catalog::Path;
use crate::engine::{Engine, ErrorClass, Steps, TransactionOptions};
use crate::guard;
use crate::servers::{self, Statement, Transaction};

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
                    let (first, again) = Statement::split(self.pool()?, query)?;
                    let (mut statement, mut again) = (first, again);
                    loop {
                        let transaction = self.begin_for(again.is_some()).await?;
                        let mut steps = Executor::fetch_many(&transaction, statement);
                        let mut next = steps.next().await.transpose();
                        if let Err(error) = &next
                            && DB::error_class(error) == ErrorClass::ReadOnly
                            && let Some(writing) = again.take()
                        {
                            drop(steps);
                            // Given back first: the writer may need its place.
                            transaction.rollback().await?;
                            self.pool()?.remember_writer(writing.fingerprint());
                            statement = writing;
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
                    self.guarded_optional(query).await
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
    async fn begin_for(&self, on_reader: bool) -> Result<Transaction<DB>, sqlx::Error> {
        let options = TransactionOptions::new().single_statement();
        if on_reader {
            self.begin_with(&options.read_only()).await
        } else {
            self.begin_with(&options).await
        }
    }

    async fn guarded_optional<'q, E>(&self, query: E) -> Result<Option<DB::Row>, sqlx::Error>
    where
        E: 'q + Execute<'q, DB>,
    {
        let (first, again) = Statement::split(self.pool()?, query)?;
        let transaction = self.begin_for(again.is_some()).await?;
        let result = Executor::fetch_optional(&transaction, first).await;
        match (result, again) {
            (Err(error), Some(again)) if DB::error_class(&error) == ErrorClass::ReadOnly => {
                transaction.rollback().await?;
                self.pool()?.remember_writer(again.fingerprint());
                let transaction = self.begin_for(false).await?;
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
