//! Servers that may lose what they have committed.
//!
//! A move multiplies that risk: who loses the last second of writes by choice loses briefcases that are years old, when their
//! copy was in that second and the purge was not. Where sessions can choose, movers do; where the server alone decides, its
//! operator has decided for all of his data, and is told what that comes to.

use std::collections::BTreeSet;

use super::error::PlanError;
use super::relocator::Relocator;
use super::suitability::Warning;
use crate::servers::Servers;
use crate::topology::ShardId;

/// What the servers of these shards may lose, each server once.
pub(super) async fn unforced(
    servers: &Servers,
    shards: impl IntoIterator<Item = ShardId>,
) -> Result<Vec<Warning>, PlanError> {
    let mut asked = BTreeSet::new();
    let mut warnings = Vec::new();
    for shard in shards {
        let server = servers.config_of(shard).name().as_str();
        if !asked.insert(server) {
            continue;
        }
        for found in servers.pool(shard).unforced().await? {
            let reason = format!(
                "its `{}` is {}: a crash may take back its last commits, and with them briefcases that have just \
                 arrived and are deleted where they were, or the record of where they are; `{}` while briefcases move",
                found.setting, found.value, found.mend
            );
            warnings.push(Warning::about_server(server, reason));
        }
    }
    Ok(warnings)
}

impl Relocator {
    /// Whether moves are possible, and no shard before this one is on the same server: so each server is looked at once.
    pub(super) fn is_first_on_server(&self, shard: ShardId) -> bool {
        let server = |shard| self.servers.config_of(shard).name();
        let mut before = (0..shard.get()).map(ShardId::new);
        let mut areas = self.config.areas().iter();
        before.all(|other| server(other) != server(shard))
            && areas.any(|area| !area.briefcases().is_empty())
    }
}
