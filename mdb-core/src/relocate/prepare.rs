//! Installing what records changes, for good, before anything is moved.

use std::time::Duration;

use sqlx::{MySql, Postgres, Sqlite};

use super::batch::{lock_limit, open};
use super::error::{MoveError, PlanError};
use super::fail::pass;
use super::manifest::manifest_of;
use super::patience::Patience;
use super::refusal::Refusal;
use super::relocator::Relocator;
use super::suitability::examine;
use crate::config::{Capture, EngineKind};
use crate::engine::relocating::{Installed, Manifest, Relocating};
use crate::topology::{AreaIndex, ShardId};
use futures_util::future::BoxFuture;

/// For how long it is looked again while others change what is looked for.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

impl Relocator {
    /// Installs the triggers and change tables on every shard of an area that keeps them
    /// ([`Capture::Always`]), so that no move has to. Returns those shards. What is in place stays as
    /// it is; do it again after tables or shards were added.
    ///
    /// # Errors
    ///
    /// - [`MoveError::Plan`]: [`PlanError::UnknownArea`], [`PlanError::NoManifest`],
    ///   [`PlanError::CapturesMoving`], [`PlanError::Refused`] when a table is missing or can't be moved, and
    ///   when a shard could not be asked.
    /// - [`MoveError::Acquire`]: a shard can't be reached.
    /// - [`MoveError::OtherTables`]: a move that is under way on a shard relies on other triggers.
    /// - [`MoveError::Busy`]: a table was locked by others for longer than `patience`; what was
    ///   installed stays.
    /// - [`MoveError::Database`]: a database failed.
    ///
    /// # Cancel safety
    ///
    /// Safe: what was installed stays, and does no harm.
    pub async fn prepare(&self, area: &str, patience: Duration) -> Result<Vec<ShardId>, MoveError> {
        let topology = self.servers.topology();
        let name = || area.to_owned();
        let unknown = || PlanError::UnknownArea { name: name() };
        let index = topology.area_index(area).ok_or_else(unknown)?;
        let config = &self.config.areas()[index.get()];
        if config.briefcases().is_empty() {
            return Err(PlanError::NoManifest { area: name() }.into());
        }
        if config.capture() == Capture::Moving {
            return Err(PlanError::CapturesMoving { area: name() }.into());
        }
        let shards: Vec<ShardId> = topology.area(index).shards().collect();
        // All of them before anything is changed.
        let mut manifests = Vec::with_capacity(shards.len());
        for shard in &shards {
            let schema = self.servers.pool(*shard).schema().await?;
            let examined = examine(config, &schema, &schema).map(|(manifest, _)| manifest);
            manifests.push(self.or_refused(*shard, examined)?);
        }
        for (shard, manifest) in shards.iter().zip(&manifests) {
            match config.engine() {
                EngineKind::Sqlite => self.prepare_on::<Sqlite>(*shard, manifest, patience).await,
                EngineKind::Postgres => {
                    self.prepare_on::<Postgres>(*shard, manifest, patience)
                        .await
                }
                EngineKind::MySql => self.prepare_on::<MySql>(*shard, manifest, patience).await,
            }?;
        }
        Ok(shards)
    }

    fn prepare_on<'a, DB: Relocating>(
        &'a self,
        shard: ShardId,
        manifest: &'a Manifest,
        patience: Duration,
    ) -> BoxFuture<'a, Result<(), MoveError>> {
        Box::pin(async move {
            let pool = self.servers.typed::<DB>(shard)?;
            let mut connection = open::<DB>(pool).await?;
            let limit = lock_limit(pool);
            let mut patience = Patience::new(patience, "install triggers").on(pool);
            while let Err(error) = pass(DB::arm(&mut connection, manifest, None, &limit)).await {
                patience.after::<DB>(error).await?;
            }
            Ok(())
        })
    }

    /// Those of `shards` that lack triggers or change tables which their area keeps, or have other ones. Shards without the area's own tables are not
    /// among them.
    ///
    /// # Errors
    ///
    /// As [`prepare`](Self::prepare), when a shard could not be asked, or its tables were being changed for seconds.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn unprepared(&self, shards: &[ShardId]) -> Result<Vec<ShardId>, MoveError> {
        let topology = self.servers.topology();
        let mut found = Vec::new();
        for (area, index) in topology.areas().iter().zip(0..) {
            let index = AreaIndex::new(index);
            let config = &self.config.areas()[index.get()];
            if config.capture() == Capture::Moving || config.briefcases().is_empty() {
                continue;
            }
            for shard in area.shards().filter(|shard| shards.contains(shard)) {
                let manifest = match self.manifest_of(index, shard).await {
                    Ok(manifest) => manifest,
                    Err(MoveError::Plan(PlanError::Refused { .. })) => continue,
                    Err(error) => return Err(error),
                };
                let is_armed = match self.servers.config_of(shard).engine() {
                    EngineKind::Sqlite => self.is_armed::<Sqlite>(shard, &manifest).await,
                    EngineKind::Postgres => self.is_armed::<Postgres>(shard, &manifest).await,
                    EngineKind::MySql => self.is_armed::<MySql>(shard, &manifest).await,
                };
                if !is_armed? {
                    found.push(shard);
                }
            }
        }
        Ok(found)
    }

    fn is_armed<'a, DB: Relocating>(
        &'a self,
        shard: ShardId,
        manifest: &'a Manifest,
    ) -> BoxFuture<'a, Result<bool, MoveError>> {
        Box::pin(async move {
            let pool = self.servers.typed::<DB>(shard)?;
            let mut connection = open::<DB>(pool).await?;
            let mut patience = Patience::new(LOOK_PATIENCE, "look for triggers").on(pool);
            loop {
                match DB::is_armed(&mut connection, manifest).await {
                    Ok(is_armed) => return Ok(is_armed),
                    Err(error) => patience.after::<DB>(error).await?,
                }
            }
        })
    }

    /// The tables of an area as they are on one of its shards.
    pub(super) async fn manifest_of(
        &self,
        area: AreaIndex,
        shard: ShardId,
    ) -> Result<Manifest, MoveError> {
        let schema = self.servers.pool(shard).schema_of_tables().await?;
        let manifest = manifest_of(&self.config.areas()[area.get()], &schema, &schema);
        self.or_refused(shard, manifest)
    }

    /// Says on which shard what was refused is.
    fn or_refused(
        &self,
        shard: ShardId,
        manifest: Result<Manifest, Vec<Refusal>>,
    ) -> Result<Manifest, MoveError> {
        Ok(manifest.map_err(|refusals| {
            let shard = self.servers.topology().shard_place(shard);
            let refusals = refusals.iter();
            let refusals =
                refusals.map(|r| Refusal::new(format!("{shard}, {}", r.place()), r.reason()));
            PlanError::Refused {
                refusals: refusals.collect(),
            }
        })?)
    }

    /// MDB's triggers, functions and change tables on a shard.
    pub(super) async fn installed_on(&self, shard: ShardId) -> Result<Installed, MoveError> {
        match self.servers.config_of(shard).engine() {
            EngineKind::Sqlite => self.installed::<Sqlite>(shard).await,
            EngineKind::Postgres => self.installed::<Postgres>(shard).await,
            EngineKind::MySql => self.installed::<MySql>(shard).await,
        }
    }

    fn installed<DB: Relocating>(
        &self,
        shard: ShardId,
    ) -> BoxFuture<'_, Result<Installed, MoveError>> {
        Box::pin(async move {
            let mut connection = open::<DB>(self.servers.typed::<DB>(shard)?).await?;
            Ok(DB::installed(&mut connection).await?)
        })
    }
}
