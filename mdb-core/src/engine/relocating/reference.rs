//! Foreign keys between the tables of a manifest.

use std::collections::BTreeSet;

use super::{Manifest, MovedReach};

/// A foreign key between tables of the manifest: their numbers, and columns with those they refer to.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    pub(crate) child: usize,
    pub(crate) parent: usize,
    pub(crate) columns: BTreeSet<(String, String)>,
}

impl Reference {
    /// Whether a row can refer to rows of its own briefcase only.
    pub(crate) fn is_inside(&self, manifest: &Manifest) -> bool {
        let (Some(child), Some(parent)) = (
            manifest.tables().get(self.child),
            manifest.tables().get(self.parent),
        ) else {
            return false;
        };
        match (&child.reach, &parent.reach) {
            (MovedReach::Key { column }, MovedReach::Key { column: referred }) => {
                let both = (column.clone(), referred.clone());
                self.columns.contains(&both)
            }
            (MovedReach::Parent { parent, on }, _) => {
                *parent == self.parent && on.iter().all(|pair| self.columns.contains(pair))
            }
            (MovedReach::Key { .. }, MovedReach::Parent { .. }) => false,
        }
    }
}
