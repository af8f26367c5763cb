//! Foreign keys, held against a manifest.

use std::collections::BTreeSet;

use super::{Manifest, MovedReach, MovedTable};
use crate::engine::Names;
use crate::engine::schema::ForeignKey;

/// A foreign key between tables of the manifest: their numbers, and columns with those they refer to.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    pub(crate) child: usize,
    pub(crate) parent: usize,
    pub(crate) columns: BTreeSet<(String, String)>,
}

/// How a foreign key stands to the briefcases of a manifest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Neither of its tables moves.
    Apart,
    /// A row can refer to rows of its own briefcase only.
    Inside(Reference),
    /// A row may refer to a row of another briefcase.
    Across(Reference),
    /// A table that moves, by its number, refers to one that doesn't.
    Outwards(usize),
    /// A table that doesn't move refers to one that does.
    Inwards,
}

impl Standing {
    pub(crate) fn of(key: &ForeignKey, manifest: &Manifest, names: Names) -> Self {
        let place = |name: &str| {
            let mut tables = manifest.tables().iter();
            tables.position(|table| names.same(&table.name, name))
        };
        let (child, parent) = match (place(&key.table), place(&key.referred)) {
            (Some(child), Some(parent)) => (child, parent),
            (Some(child), None) => return Self::Outwards(child),
            (None, Some(_)) => return Self::Inwards,
            (None, None) => return Self::Apart,
        };
        // As the manifest writes them.
        let spelt = |table: usize, name: &str| {
            let columns = manifest.tables()[table].columns.iter();
            let mut names = columns.filter(|column| names.same(&column.name, name));
            names
                .next()
                .map_or_else(|| name.to_owned(), |column| column.name.clone())
        };
        let columns = key.columns.iter();
        let columns = columns.map(|(own, referred)| (spelt(child, own), spelt(parent, referred)));
        let reference = Reference {
            child,
            parent,
            columns: columns.collect(),
        };
        if reference.is_inside(manifest) {
            Self::Inside(reference)
        } else {
            Self::Across(reference)
        }
    }
}

impl Reference {
    /// Whether a row can refer to rows of its own briefcase only.
    pub(crate) fn is_inside(&self, manifest: &Manifest) -> bool {
        let tables = manifest.tables();
        let (Some(child), Some(referred)) = (tables.get(self.child), tables.get(self.parent))
        else {
            return false;
        };
        self.joins_keys(manifest, child, referred)
            || match (&child.reach, &referred.reach) {
                (MovedReach::Parent { parent, on }, _)
                    if *parent == self.parent
                        && on.iter().all(|pair| self.columns.contains(pair)) =>
                {
                    true
                }
                // Both are below the same row.
                (
                    MovedReach::Parent { parent, on },
                    MovedReach::Parent {
                        parent: other,
                        on: theirs,
                    },
                ) => {
                    parent == other
                        && on.iter().all(|(own, above)| {
                            let mut same = theirs.iter().filter(|(_, column)| column == above);
                            same.any(|(their, _)| self.refers(own, their))
                        })
                }
                _ => false,
            }
    }

    fn refers(&self, own: &str, referred: &str) -> bool {
        let mut columns = self.columns.iter();
        columns.any(|(a, b)| a == own && b == referred)
    }

    fn joins_keys(&self, manifest: &Manifest, child: &MovedTable, referred: &MovedTable) -> bool {
        match (key_column(manifest, child), key_column(manifest, referred)) {
            (Some(own), Some(theirs)) => self.refers(own, theirs),
            _ => false,
        }
    }
}

/// The column of a table in which the briefcase's key stands.
fn key_column<'m>(manifest: &'m Manifest, table: &'m MovedTable) -> Option<&'m str> {
    match &table.reach {
        MovedReach::Key { column } => Some(column),
        MovedReach::Parent { parent, on } => {
            let above = key_column(manifest, manifest.tables().get(*parent)?)?;
            let mut own = on.iter().filter(|(_, parents)| parents == above);
            own.next().map(|(own, _)| own.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::schema::Checked;

    fn table(number: usize, reach: MovedReach) -> MovedTable {
        MovedTable {
            number,
            name: format!("t{number}"),
            columns: Vec::new(),
            primary_key: Vec::new(),
            reach,
            index: None,
        }
    }

    fn pairs<C: FromIterator<(String, String)>>(pairs: &[(&str, &str)]) -> C {
        let pairs = pairs.iter();
        pairs
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    }

    /// Orders by their user, lines and parcels below an order, notes below a user and below an order of his.
    fn manifest() -> Manifest {
        let key = || MovedReach::Key {
            column: "user".to_owned(),
        };
        let below = |parent, on: &[(&str, &str)]| MovedReach::Parent {
            parent,
            on: pairs(on),
        };
        let reaches = [
            key(),
            key(),
            below(1, &[("order", "id")]),
            below(1, &[("of", "id")]),
            below(1, &[("owner", "user"), ("order", "id")]),
        ];
        Manifest::new(
            reaches
                .into_iter()
                .enumerate()
                .map(|(number, reach)| table(number, reach))
                .collect(),
        )
    }

    fn standing(child: &str, referred: &str, columns: &[(&str, &str)]) -> Standing {
        let key = ForeignKey {
            name: None,
            table: child.to_owned(),
            referred: referred.to_owned(),
            columns: pairs(columns),
            follows_deletes: true,
            follows_updates: false,
            checked: Checked::Never,
        };
        Standing::of(&key, &manifest(), Names::AnyCase)
    }

    #[test]
    fn what_carries_the_key_or_the_parent_along_stays_inside() {
        for (child, referred, columns) in [
            ("t1", "T0", &[("user", "user")][..]),
            ("t1", "t1", &[("user", "user"), ("after", "id")]),
            ("t2", "t1", &[("order", "id")]),
            ("t2", "t2", &[("order", "order"), ("after", "n")]),
            ("t3", "t2", &[("of", "order"), ("line", "n")]),
            ("t4", "t0", &[("owner", "user")]),
            ("t4", "t4", &[("owner", "owner"), ("after", "n")]),
        ] {
            let found = standing(child, referred, columns);
            assert!(matches!(found, Standing::Inside(_)), "{found:?}");
        }
    }

    #[test]
    fn what_names_a_row_alone_may_lead_elsewhere() {
        for (child, referred, columns) in [
            ("t0", "t0", &[("friend", "user")][..]),
            ("t0", "t1", &[("last", "id")]),
            ("t2", "t2", &[("after", "n")]),
            ("t3", "t2", &[("line", "order")]),
            ("t4", "t2", &[("line", "n")]),
        ] {
            let found = standing(child, referred, columns);
            assert!(matches!(found, Standing::Across(_)), "{found:?}");
        }
        assert_eq!(standing("t1", "country", &[]), Standing::Outwards(1));
        assert_eq!(standing("audit", "t1", &[]), Standing::Inwards);
        assert_eq!(standing("audit", "country", &[]), Standing::Apart);
    }
}
