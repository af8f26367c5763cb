//! Reading a briefcase from replicas.

use async_stream::try_stream;
use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use sqlx::{Database, Describe, Execute, Executor};

use super::Briefcase;
use crate::catalog::{Operation, Path};
use crate::engine::{Engine, Steps};
use crate::guard;
use crate::routing::Placement;
use crate::servers::{self, Lane, Lease};

/// A briefcase read from replicas; see [`Briefcase::read`].
///
/// `&ReadBriefcase` is an sqlx [`Executor`].
#[derive(Debug)]
pub struct ReadBriefcase<'b, DB: Engine> {
    pub(super) briefcase: &'b Briefcase<DB>,
}

impl<DB: Engine> ReadBriefcase<'_, DB> {
    /// A connection to the first replica in turn that has one to give, or to the primary.
    async fn lease(&self, operation: &Operation) -> Result<Lease<DB>, sqlx::Error> {
        let area = &self.briefcase.area;
        for replica in area.replicas(operation.shard())? {
            if let Some(lease) = replica.acquire().await {
                return Ok(lease);
            }
        }
        Ok(area.pool(operation.shard())?.acquire(Lane::Read).await?)
    }

    /// An operation that may use replicas; none for a briefcase that was moved to them, or may be moved.
    fn enter(&self) -> Result<Option<Operation>, sqlx::Error> {
        let operation = self.briefcase.area.enter(self.briefcase.id)?;
        let rests = operation.path() == Path::Direct && operation.placement() == Placement::Rule;
        Ok(rests.then_some(operation))
    }

    /// Makes sure, afterwards, that the briefcase was not moved meanwhile.
    async fn confirm(&self, operation: &Operation) -> Result<(), sqlx::Error> {
        let pool = self.briefcase.area.pool(operation.shard())?;
        guard::confirm(pool, operation, self.briefcase.id).await
    }
}

impl<'c, DB: Engine> Executor<'c> for &'c ReadBriefcase<'_, DB> {
    type Database = DB;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Steps<'e, DB>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        Box::pin(try_stream! {
            if let Some(operation) = self.enter()? {
                let mut steps = servers::many_on(self.lease(&operation), query);
                while let Some(step) = steps.next().await {
                    yield step?;
                }
                self.confirm(&operation).await?;
            } else {
                let mut steps = Executor::fetch_many(self.briefcase, query);
                while let Some(step) = steps.next().await {
                    yield step?;
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
            let Some(operation) = self.enter()? else {
                return Executor::fetch_optional(self.briefcase, query).await;
            };
            let row = servers::optional_on(self.lease(&operation).await?, query).await?;
            self.confirm(&operation).await?;
            Ok(row)
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
        Executor::prepare_with(self.briefcase, sql, parameters)
    }

    fn describe<'e, 'q: 'e>(self, sql: &'q str) -> BoxFuture<'e, Result<Describe<DB>, sqlx::Error>>
    where
        'c: 'e,
    {
        Executor::describe(self.briefcase, sql)
    }
}
