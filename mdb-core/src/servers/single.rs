//! Single statements on a pool: take a connection, run, give it back.
//!
//! Where a database has one writer and several readers, a statement is tried on a reader first. A
//! reader refuses to write before anything has happened; the statement then goes to the writer,
//! and is remembered to be one that writes. So nobody has to parse SQL, and reads never wait for a
//! writer.
//!
//! PostgreSQL refuses a prepared statement whose columns have changed since. It is run once more, over a connection that has
//! not prepared it before.

use std::future::ready;

use async_stream::try_stream;
use futures_util::{StreamExt, stream};
use sqlx::{Database, Execute};
use xxhash_rust::xxh3::xxh3_64;

use super::connection::Lease;
use super::pool::{Lane, ShardPool};
use crate::engine::{Engine, ErrorClass, Lanes, Steps};

/// Runs a statement and takes its first row, if there is one.
pub(crate) async fn fetch_optional<'q, DB, E>(
    pool: &ShardPool<DB>,
    query: E,
) -> Result<Option<DB::Row>, sqlx::Error>
where
    DB: Engine,
    E: 'q + Execute<'q, DB>,
{
    let (statement, again) = Statement::split(pool, query)?;
    let lane = Statement::lane(again.as_ref());
    match (fetch_optional_on(pool, lane, statement).await, again) {
        (Err(error), Some(again)) if again.follows(pool, &error) => {
            fetch_optional_on(pool, Lane::Write, again).await
        }
        (result, _) => result,
    }
}

async fn fetch_optional_on<'q, DB, E>(
    pool: &ShardPool<DB>,
    lane: Lane,
    query: E,
) -> Result<Option<DB::Row>, sqlx::Error>
where
    DB: Engine,
    E: 'q + Execute<'q, DB>,
{
    optional_on(pool.acquire(lane).await?, query).await
}

/// As [`fetch_optional`], on a connection that is at hand.
pub(crate) async fn optional_on<'q, DB, E>(
    mut lease: Lease<DB>,
    query: E,
) -> Result<Option<DB::Row>, sqlx::Error>
where
    DB: Engine,
    E: 'q + Execute<'q, DB>,
{
    let limit = lease.statement_limit();
    let result = limit.of(DB::fetch_optional(lease.start(), query)).await;
    lease.finish(&result);
    result
}

/// Runs a statement, and hands out its rows and results as they come.
///
/// The time-out counts anew for each of them.
pub(crate) fn fetch_many<'e, 'q: 'e, DB, E>(pool: ShardPool<DB>, query: E) -> Steps<'e, DB>
where
    DB: Engine,
    E: 'q + Execute<'q, DB>,
{
    let (statement, again) = match Statement::split(&pool, query) {
        Ok((statement, Some(again))) => (statement, again),
        Ok((statement, None)) => return fetch_many_on(pool, Lane::Write, statement),
        Err(error) => return Box::pin(stream::once(ready(Err(error)))),
    };
    Box::pin(try_stream! {
        let lane = Statement::lane(Some(&again));
        let mut steps = fetch_many_on(pool.clone(), lane, statement);
        let mut first = steps.next().await.transpose();
        if let Err(error) = &first
            && again.follows(&pool, error)
        {
            steps = fetch_many_on(pool, Lane::Write, again);
            first = steps.next().await.transpose();
        }
        let mut next = first?;
        while let Some(step) = next {
            yield step;
            next = steps.next().await.transpose()?;
        }
    })
}

fn fetch_many_on<'e, 'q: 'e, DB, E>(pool: ShardPool<DB>, lane: Lane, query: E) -> Steps<'e, DB>
where
    DB: Engine,
    E: 'q + Execute<'q, DB>,
{
    many_on(async move { Ok(pool.acquire(lane).await?) }, query)
}

/// As [`fetch_many`], on the connection that `lease` brings.
pub(crate) fn many_on<'e, 'q: 'e, DB, E>(
    lease: impl Future<Output = Result<Lease<DB>, sqlx::Error>> + Send + 'e,
    query: E,
) -> Steps<'e, DB>
where
    DB: Engine,
    E: 'q + Execute<'q, DB>,
{
    Box::pin(try_stream! {
        let mut lease = lease.await?;
        let limit = lease.statement_limit();
        let mut steps = DB::fetch_many(lease.start(), query);
        let end: Result<(), sqlx::Error> = loop {
            match limit.of(async { steps.next().await.transpose() }).await {
                Ok(Some(step)) => yield step,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        drop(steps);
        lease.finish(&end);
        drop(lease);
        end?;
    })
}

/// A statement with its arguments taken out, so that it can be run twice.
pub(crate) struct Statement<'q, DB: Database> {
    sql: &'q str,
    arguments: Option<<DB as Database>::Arguments<'q>>,
    persistence: Persistence,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Persistence {
    Cached,
    Once,
}

impl<'q, DB: Engine> Statement<'q, DB> {
    /// The statement, and a copy of it for a second run if the first may be refused before anything has happened.
    pub(crate) fn split<E: Execute<'q, DB>>(
        pool: &ShardPool<DB>,
        mut query: E,
    ) -> Result<(Self, Option<Self>), sqlx::Error> {
        let sql = query.sql();
        let persistence = if query.persistent() {
            Persistence::Cached
        } else {
            Persistence::Once
        };
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?;
        // Without arguments it may be several statements, of which the first would run twice.
        let copy = arguments.as_ref().and_then(DB::copy_arguments);
        let statement = Self {
            sql,
            arguments,
            persistence,
        };
        let again = copy.map(|arguments| Self {
            sql,
            arguments: Some(arguments),
            persistence,
        });
        let again = again
            .filter(|again| DB::LANES == Lanes::One || !pool.is_known_writer(again.fingerprint()));
        Ok((statement, again))
    }

    /// The lane of the first run of a statement that may have a second one.
    pub(crate) fn lane(again: Option<&Self>) -> Lane {
        match (DB::LANES, again) {
            (Lanes::WriterAndReaders, Some(_)) => Lane::Read,
            (Lanes::WriterAndReaders, None) | (Lanes::One, _) => Lane::Write,
        }
    }

    /// Whether the statement is to be run again after its first run was refused with `error`; one that needs the writer is
    /// remembered.
    pub(crate) fn follows(&self, pool: &ShardPool<DB>, error: &sqlx::Error) -> bool {
        match DB::error_class(error) {
            ErrorClass::ReadOnly if DB::LANES == Lanes::WriterAndReaders => {
                pool.remember_writer(self.fingerprint());
                true
            }
            ErrorClass::StalePlan => true,
            _ => false,
        }
    }

    fn fingerprint(&self) -> u64 {
        xxh3_64(self.sql.as_bytes())
    }
}

impl<'q, DB: Engine> Execute<'q, DB> for Statement<'q, DB> {
    fn sql(&self) -> &'q str {
        self.sql
    }

    fn statement(&self) -> Option<&<DB as Database>::Statement<'q>> {
        None
    }

    fn take_arguments(
        &mut self,
    ) -> Result<Option<<DB as Database>::Arguments<'q>>, sqlx::error::BoxDynError> {
        Ok(self.arguments.take())
    }

    fn persistent(&self) -> bool {
        self.persistence == Persistence::Cached
    }
}

/// Makes `&$handle` an executor of single statements on the pool that it names.
macro_rules! executor_on_pool {
    ($handle:ident, |$self:ident| $pool:expr) => {
        impl<'c, DB: $crate::engine::Engine> sqlx::Executor<'c> for &'c $handle<DB> {
            type Database = DB;

            fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> $crate::engine::Steps<'e, DB>
            where
                'c: 'e,
                E: 'q + sqlx::Execute<'q, DB>,
            {
                let $self = self;
                let pool: Result<&$crate::servers::ShardPool<DB>, sqlx::Error> = $pool;
                match pool {
                    Ok(pool) => $crate::servers::fetch_many(pool.clone(), query),
                    Err(error) => {
                        Box::pin(futures_util::stream::once(std::future::ready(Err(error))))
                    }
                }
            }

            fn fetch_optional<'e, 'q: 'e, E>(
                self,
                query: E,
            ) -> futures_core::future::BoxFuture<'e, Result<Option<DB::Row>, sqlx::Error>>
            where
                'c: 'e,
                E: 'q + sqlx::Execute<'q, DB>,
            {
                let $self = self;
                let pool: Result<&$crate::servers::ShardPool<DB>, sqlx::Error> = $pool;
                Box::pin(async move { $crate::servers::fetch_optional(pool?, query).await })
            }

            fn prepare_with<'e, 'q: 'e>(
                self,
                sql: &'q str,
                parameters: &'e [DB::TypeInfo],
            ) -> futures_core::future::BoxFuture<'e, Result<DB::Statement<'q>, sqlx::Error>>
            where
                'c: 'e,
            {
                let $self = self;
                let pool: Result<&$crate::servers::ShardPool<DB>, sqlx::Error> = $pool;
                Box::pin(async move { pool?.prepare_with(sql, parameters).await })
            }

            fn describe<'e, 'q: 'e>(
                self,
                sql: &'q str,
            ) -> futures_core::future::BoxFuture<'e, Result<sqlx::Describe<DB>, sqlx::Error>>
            where
                'c: 'e,
            {
                let $self = self;
                let pool: Result<&$crate::servers::ShardPool<DB>, sqlx::Error> = $pool;
                Box::pin(async move { pool?.describe(sql).await })
            }
        }
    };
}
pub(crate) use executor_on_pool;
