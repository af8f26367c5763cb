//! Servers that may lose what they have committed, or what was committed on others beside them.
//!
//! A move multiplies the risk of the first: who loses the last second of writes by choice loses briefcases that are years
//! old, when their copy was in that second and the purge was not. Where sessions can choose, movers do; where the server
//! alone decides, its operator has decided for all of his data, and is told what that comes to.
//!
//! Where several servers take writes of the same rows, a fence holds on one of them: the others don't know its locks, so
//! that a commit there may come after the last look at what has changed. A server can't say whether others do take writes.

use std::collections::BTreeSet;

use super::error::PlanError;
use super::relocator::Relocator;
use super::suitability::Warning;
use crate::engine::schema::Risk;
use crate::servers::Servers;
use crate::topology::ShardId;

/// What may be lost with the servers of these shards, each server once.
pub(super) async fn risks(
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
        for found in servers.pool(shard).risks().await? {
            warnings.push(Warning::about_server(server, reason_of(&found)));
        }
    }
    Ok(warnings)
}

fn reason_of(risk: &Risk) -> String {
    match risk {
        Risk::Unforced {
            setting,
            value,
            mend,
        } => format!(
            "its `{setting}` is {value}: a crash may take back its last commits, and with them briefcases that have just \
             arrived and are deleted where they were, or the record of where they are; `{mend}` while briefcases move"
        ),
        Risk::SeveralWriters { setting, value } => format!(
            "its `{setting}` is {value}: what others of its cluster commit while a briefcase is fenced would be lost; \
             have all writes of the cluster go to this one server while briefcases move, those of services and of all others"
        ),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_among_others_has_to_be_the_only_one_that_is_written_to() {
        let risk = Risk::SeveralWriters {
            setting: "wsrep_on".to_owned(),
            value: "ON".to_owned(),
        };
        let reason = reason_of(&risk);
        assert!(reason.contains("`wsrep_on` is ON"), "{reason}");
        assert!(reason.contains("this one server"), "{reason}");
    }
}
