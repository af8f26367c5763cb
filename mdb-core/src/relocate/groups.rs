//! Which briefcases of a batch are deleted together: those that follow each other and have few enough rows.
//!
//! How many rows they have is known from when they were verified; nobody has written them since.

use std::ops::Range;

use mdb_gdid::Gdid;

use crate::engine::relocating::Span;

/// Briefcases that are deleted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group<'i> {
    pub(super) ids: &'i [Gdid],
    pub(super) rows: u64,
}

/// Groups of ids whose briefcases have at most `most` rows together, and at least one. Those of a span that has more
/// are in none of them.
///
/// Both the ids and the spans ascend.
pub(super) fn groups<'i>(ids: &'i [Gdid], rows: &[(Span, u64)], most: u64) -> Vec<Group<'i>> {
    let mut groups: Vec<(Range<usize>, u64)> = Vec::new();
    let mut is_open = false;
    for (span, rows) in rows {
        let places = span.places(ids);
        match groups.last_mut() {
            Some((group, sum)) if is_open && *sum + rows <= most => {
                group.end = places.end;
                *sum += rows;
            }
            _ => {
                is_open = *rows <= most;
                if is_open {
                    groups.push((places, *rows));
                }
            }
        }
    }
    let filled = groups.into_iter().filter(|(_, rows)| *rows > 0);
    let groups = filled.map(|(places, rows)| Group {
        ids: &ids[places],
        rows,
    });
    groups.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(count: usize) -> Vec<Gdid> {
        let ids = (1..=count as u64).map(|counter| Gdid::new(0, 0, counter * 3));
        ids.map(|id| id.expect("a small counter")).collect()
    }

    #[test]
    fn a_briefcase_with_too_many_rows_parts_those_around_it() {
        let ids = ids(6);
        let rows = [4, 0, 6, 99, 0, 7];
        let rows: Vec<_> = Span::split(&ids, 6).into_iter().zip(rows).collect();
        let group = |ids, rows| Group { ids, rows };
        let (first, last) = (group(&ids[..3], 10), group(&ids[4..], 7));
        assert_eq!(groups(&ids, &rows, 10), [first, last]);
        assert_eq!(groups(&ids, &rows, 5), [group(&ids[..2], 4)]);
        let second = group(&ids[3..5], 99);
        let last = group(&ids[5..], 7);
        assert_eq!(groups(&ids, &rows, 99), [first, second, last]);
        assert_eq!(groups(&ids, &[(Span::ALL, 9)], 10), [group(&ids, 9)]);
        assert!(groups(&ids, &[(Span::ALL, 0)], 10).is_empty());
        assert!(groups(&ids, &[], 10).is_empty());
    }

    proptest! {
        #[test]
        fn each_group_has_few_rows_and_no_row_is_left_out(
            rows in prop::collection::vec(0_u64..20, 1..50),
            spans in 1_usize..50,
            most in 1_u64..60,
        ) {
            let ids = ids(rows.len());
            let row_of = |id: &Gdid| rows[ids.iter().position(|other| other == id).unwrap()];
            let sum = |ids: &[Gdid]| ids.iter().map(row_of).sum::<u64>();
            let counted: Vec<_> = Span::split(&ids, spans)
                .into_iter()
                .map(|span| (span, sum(&ids[span.places(&ids)])))
                .collect();
            let groups = groups(&ids, &counted, most);
            for group in &groups {
                prop_assert_eq!(sum(group.ids), group.rows);
                prop_assert!((1..=most).contains(&group.rows));
            }
            let grouped: u64 = groups.iter().map(|group| group.rows).sum();
            let fitting = counted.iter().map(|(_, rows)| rows).filter(|rows| **rows <= most);
            prop_assert_eq!(grouped, fitting.sum::<u64>());
        }
    }
}
