//! What moves install in databases, and whether it does anything there.

use super::MoveId;

/// Triggers, functions and change tables of MDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Installed {
    pub(crate) names: Vec<String>,
    pub(crate) state: TriggerState,
}

/// Whether triggers do anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TriggerState {
    Enabled,
    /// None of them fires.
    Disabled,
}

impl Installed {
    /// Where triggers fire as long as they are there.
    pub(crate) fn enabled(names: Vec<String>) -> Self {
        Self {
            names,
            state: TriggerState::Enabled,
        }
    }
}

/// A condition: other moves than `by` have fences that rely on triggers. Once a briefcase has moved away, any that look
/// for fences do.
pub(crate) fn others_rely(by: Option<&MoveId>) -> String {
    let others = by.map(|id| format!(" AND move <> '{}'", id.as_str().replace('\'', "''")));
    format!(
        "EXISTS (SELECT 1 FROM mdb_fence WHERE state <> 3{})",
        others.unwrap_or_default()
    )
}
