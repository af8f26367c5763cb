//! Statements of a transaction.

use async_stream::try_stream;
use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use sqlx::{Database, Describe, Execute, Executor};

use super::Transaction;
use super::running::{Rest, Running};
use crate::engine::{Engine, Steps};

impl<'c, DB: Engine> Executor<'c> for &'c Transaction<DB> {
    type Database = DB;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Steps<'e, DB>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        Box::pin(try_stream! {
            let mut running = self.take()?;
            let Running { lease, rest, .. } = &mut running;
            let lease = lease.as_mut().expect("is there until the operation is finished");
            let mut steps = DB::fetch_many(lease.start(), query);
            let end: Result<(), sqlx::Error> = loop {
                match self.statement_limit().of(async { steps.next().await.transpose() }).await {
                    Ok(Some(step)) => {
                        *rest = Rest::BetweenRows;
                        yield step;
                        *rest = Rest::None;
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            drop(steps);
            lease.finish(&end);
            running.finish(&end).await;
            end?;
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
            let mut running = self.take()?;
            let limit = self.statement_limit();
            let result = limit
                .of(DB::fetch_optional(running.lease().start(), query))
                .await;
            running.lease().finish(&result);
            running.finish(&result).await;
            result
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
        Box::pin(async move {
            let mut running = self.take()?;
            let limit = self.statement_limit();
            let result = limit
                .of(DB::prepare_with(running.lease().start(), sql, parameters))
                .await;
            running.lease().finish(&result);
            running.finish(&result).await;
            result
        })
    }

    fn describe<'e, 'q: 'e>(self, sql: &'q str) -> BoxFuture<'e, Result<Describe<DB>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let mut running = self.take()?;
            let limit = self.statement_limit();
            let result = limit.of(DB::describe(running.lease().start(), sql)).await;
            running.lease().finish(&result);
            running.finish(&result).await;
            result
        })
    }
}
