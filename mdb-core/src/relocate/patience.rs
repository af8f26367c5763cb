//! Waiting for others' locks, for some time; and where that was.

use std::time::{Duration, Instant};

use super::error::{MoveError, Trouble};
use crate::engine::relocating::{Relocating, Side, StepError};
use crate::servers::ShardPool;

/// Tries again for some time, with growing pauses.
///
/// What counts is how long others were in the way: of a try that has worked for minutes before it met them, some seconds.
pub(super) struct Patience {
    tried_at: Instant,
    waited: Duration,
    limit: Duration,
    next: Duration,
    growth: f64,
    phase: &'static str,
    place: Place,
}

/// Where something is done.
pub(super) enum Place {
    Unknown,
    Shard(String),
    Between { source: String, target: String },
}

impl Place {
    pub(super) fn between<DB: Relocating>(pools: [&ShardPool<DB>; 2]) -> Self {
        let [source, target] = pools.map(place_of);
        Self::Between { source, target }
    }

    fn shard(&self) -> Option<String> {
        match self {
            Self::Shard(shard) => Some(shard.clone()),
            Self::Unknown | Self::Between { .. } => None,
        }
    }

    /// Where rows stay that are deleted. Of two shards: at the target, before it is given others.
    fn keeping(&self) -> Option<String> {
        match self {
            Self::Shard(shard) | Self::Between { target: shard, .. } => Some(shard.clone()),
            Self::Unknown => None,
        }
    }

    /// The error of the database on that side, or of the only one.
    pub(super) fn failed(&self, side: Option<Side>, error: sqlx::Error) -> MoveError {
        let shard = match (self, side) {
            (Self::Shard(shard), _) => shard,
            (Self::Between { source, .. }, Some(Side::Source)) => source,
            (Self::Between { target, .. }, Some(Side::Target)) => target,
            (Self::Unknown, _) | (Self::Between { .. }, None) => return MoveError::Database(error),
        };
        MoveError::OnShard {
            shards: vec![shard.clone()],
            source: error,
        }
    }
}

/// The shard as people write it.
pub(super) fn place_of<DB: Relocating>(pool: &ShardPool<DB>) -> String {
    let source = pool.source();
    format!("{}/{}", source.server, source.database)
}

impl Patience {
    const LONGEST: Duration = Duration::from_millis(250);
    /// In one try no lock is waited for longer, on any engine.
    const LONGEST_TRY: Duration = Duration::from_secs(5);

    pub(super) fn new(limit: Duration, phase: &'static str) -> Self {
        Self {
            tried_at: Instant::now(),
            waited: Duration::ZERO,
            limit,
            next: Duration::from_millis(10),
            growth: 2.0,
            phase,
            place: Place::Unknown,
        }
    }

    /// With pauses that grow slowly: asking is cheap, and others are waited for who have much to do.
    pub(super) fn closely(mut self) -> Self {
        self.growth = 1.25;
        self
    }

    /// With the shard that all is done on.
    pub(super) fn on<DB: Relocating>(mut self, pool: &ShardPool<DB>) -> Self {
        self.place = Place::Shard(place_of(pool));
        self
    }

    /// With the source and the target: steps say on which of them a database has failed.
    pub(super) fn between<DB: Relocating>(mut self, pools: [&ShardPool<DB>; 2]) -> Self {
        self.place = Place::between(pools);
        self
    }

    /// Waits after a step that met others' locks; any other failure is handed out.
    pub(super) async fn after<DB: Relocating>(
        &mut self,
        error: StepError,
    ) -> Result<(), MoveError> {
        match Trouble::of::<DB>(error) {
            Trouble::Failed(MoveError::Kept { table, .. }) => Err(MoveError::Kept {
                table,
                shard: self.place.keeping(),
            }),
            Trouble::Failed(MoveError::Database(error)) => Err(self.place.failed(None, error)),
            Trouble::FailedAt(side, error) => Err(self.place.failed(Some(side), error)),
            Trouble::Failed(error) => Err(error),
            Trouble::Busy => self.again().await,
        }
    }

    pub(super) async fn again(&mut self) -> Result<(), MoveError> {
        self.after_waiting(self.tried_at.elapsed().min(Self::LONGEST_TRY))
            .await
    }

    /// After a try in which nobody was in the way: it has taken too long by itself, so all of it counts.
    pub(super) async fn after_own_work(&mut self) -> Result<(), MoveError> {
        self.after_waiting(self.tried_at.elapsed()).await
    }

    async fn after_waiting(&mut self, waited: Duration) -> Result<(), MoveError> {
        self.waited += waited;
        if self.waited >= self.limit {
            return Err(MoveError::Busy {
                shard: self.place.shard(),
                phase: self.phase,
                waited: self.waited,
            });
        }
        let pause = self.next.mul_f64(0.5 + fastrand::f64());
        tokio::time::sleep(pause).await;
        self.waited += pause;
        self.tried_at = Instant::now();
        self.next = self.next.mul_f64(self.growth).min(Self::LONGEST);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_counts_is_how_long_others_were_in_the_way() {
        let mut patience = Patience::new(2 * Patience::LONGEST_TRY, "copy rows");
        // It has copied for an hour before it met somebody.
        let copied = Duration::from_hours(1);
        patience.tried_at = Instant::now().checked_sub(copied).expect("an hour ago");
        patience
            .again()
            .await
            .expect("some seconds are no long wait");
        patience.tried_at = Instant::now().checked_sub(copied).expect("an hour ago");
        let gave_up = patience.again().await;
        assert!(
            matches!(gave_up, Err(MoveError::Busy { .. })),
            "{gave_up:?}"
        );
    }
}
