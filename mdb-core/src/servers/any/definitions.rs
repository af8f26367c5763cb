//! What a shard's catalogue says of its tables.

use std::collections::BTreeSet;

use super::{AnyPool, on_each};
use crate::engine::relocating::{Manifest, Reference, Relocating};
use crate::engine::schema::{self, Risk};
use crate::engine::{Engine, Listed, Names, Schema, Shape, Table, TableSize};
use crate::servers::pool::{Lane, ShardPool};

impl AnyPool {
    /// The user's tables.
    pub(crate) async fn tables(&self) -> Result<Vec<Table>, sqlx::Error> {
        async fn on<DB: Engine>(pool: &ShardPool<DB>) -> Result<Vec<Table>, sqlx::Error> {
            let mut lease = pool.acquire(Lane::Read).await?;
            lease
                .run(pool.statement_limit(), async |c| DB::tables(c).await)
                .await
        }
        on_each!(AnyPool, self, pool => on(pool).await)
    }

    /// The user's tables, with all that moves have to know of them.
    pub(crate) async fn schema(&self) -> Result<Schema, sqlx::Error> {
        async fn on<DB: Engine>(pool: &ShardPool<DB>) -> Result<Schema, sqlx::Error> {
            let mut lease = pool.acquire(Lane::Read).await?;
            lease
                .run(pool.statement_limit(), async |c| {
                    schema::read::<DB>(c).await
                })
                .await
        }
        on_each!(AnyPool, self, pool => on(pool).await)
    }

    /// The user's tables alone, which takes no look at other databases of the server.
    pub(crate) async fn schema_of_tables(&self) -> Result<Schema, sqlx::Error> {
        fn names<DB: Engine>(_: &ShardPool<DB>) -> Names {
            DB::NAMES
        }
        let names = on_each!(AnyPool, self, pool => names(pool));
        Ok(Schema::of_tables(self.tables().await?, names))
    }

    /// How tables are defined now.
    pub(crate) async fn shape(&self, listed: Listed) -> Result<Shape, sqlx::Error> {
        async fn on<DB: Engine>(
            pool: &ShardPool<DB>,
            listed: Listed,
        ) -> Result<Shape, sqlx::Error> {
            let mut lease = pool.acquire(Lane::Read).await?;
            lease
                .run(pool.statement_limit(), async |c| {
                    Shape::read::<DB>(c, listed).await
                })
                .await
        }
        on_each!(AnyPool, self, pool => on(pool, listed).await)
    }

    /// The foreign keys of and to the tables, where movers' sessions need check none of them if the other side has the same.
    pub(crate) async fn needless_checks(
        &self,
        manifest: &Manifest,
    ) -> Result<Option<BTreeSet<Reference>>, sqlx::Error> {
        async fn on<DB: Relocating>(
            pool: &ShardPool<DB>,
            manifest: &Manifest,
        ) -> Result<Option<BTreeSet<Reference>>, sqlx::Error> {
            let mut lease = pool.acquire(Lane::Read).await?;
            lease
                .run(pool.statement_limit(), async |c| {
                    DB::needless_checks(c, manifest).await
                })
                .await
        }
        on_each!(AnyPool, self, pool => on(pool, manifest).await)
    }

    /// The settings by which commits may be lost.
    pub(crate) async fn risks(&self) -> Result<Vec<Risk>, sqlx::Error> {
        async fn on<DB: Engine>(pool: &ShardPool<DB>) -> Result<Vec<Risk>, sqlx::Error> {
            let mut lease = pool.acquire(Lane::Read).await?;
            lease
                .run(pool.statement_limit(), async |c| {
                    schema::risks::<DB>(c).await
                })
                .await
        }
        on_each!(AnyPool, self, pool => on(pool).await)
    }

    /// Rows and bytes of one table.
    pub(crate) async fn table_size(&self, table: &str) -> Result<TableSize, sqlx::Error> {
        async fn on<DB: Engine>(
            pool: &ShardPool<DB>,
            table: &str,
        ) -> Result<TableSize, sqlx::Error> {
            let mut lease = pool.acquire(Lane::Read).await?;
            lease
                .run(pool.statement_limit(), async |c| {
                    DB::table_size(c, table).await
                })
                .await
        }
        on_each!(AnyPool, self, pool => on(pool, table).await)
    }
}
