//! What moves install in databases, and whether it does anything there.

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
