//! Relocations: the exceptions to an area's placement rule.
//!
//! A relocation names the shard that a briefcase, or every briefcase in a span of range keys, lives
//! on instead of where the hash puts it. The router asks here first; with no relocations there is
//! nothing to look up. A relocation of one briefcase goes before one of a span.

use std::collections::HashMap;

use mdb_gdid::{Gdid, RangeKey};

use crate::topology::ShardId;

/// A half-open span of range keys: `from` is inside, `until` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    from: RangeKey,
    until: RangeKey,
}

impl Span {
    /// A span, or `None` when it would be empty.
    pub fn new(from: RangeKey, until: RangeKey) -> Option<Self> {
        (from < until).then_some(Self { from, until })
    }

    /// The first range key inside.
    pub const fn from(self) -> RangeKey {
        self.from
    }

    /// The first range key above.
    pub const fn until(self) -> RangeKey {
        self.until
    }

    /// Whether `key` is inside.
    #[inline]
    pub fn contains(self, key: RangeKey) -> bool {
        self.from <= key && key < self.until
    }
}

/// One exception: what is relocated, and to which shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Relocation {
    /// One briefcase.
    Briefcase {
        /// Its key.
        id: Gdid,
        /// Where it lives.
        to: ShardId,
    },
    /// Every briefcase whose range key is inside a span.
    Span {
        /// Which.
        span: Span,
        /// Where they live.
        to: ShardId,
    },
}

/// Why a set of relocations was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelocationError {
    /// The same briefcase twice.
    #[error("briefcase {id} is relocated twice, to shards {first} and {second}")]
    Twice {
        /// The briefcase.
        id: Gdid,
        /// One target.
        first: ShardId,
        /// The other.
        second: ShardId,
    },
    /// Two spans share range keys, so that their order would decide.
    #[error("the relocated spans from {} and from {} overlap", first.from, second.from)]
    Overlap {
        /// The lower span.
        first: Span,
        /// The span that begins inside it.
        second: Span,
    },
}

/// The relocations of one area, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Relocations {
    briefcases: HashMap<Gdid, ShardId, foldhash::fast::FixedState>,
    spans: Vec<(Span, ShardId)>,
}

impl Relocations {
    /// Collects relocations.
    ///
    /// # Errors
    ///
    /// - [`RelocationError::Twice`]: one briefcase is named twice, with different targets.
    /// - [`RelocationError::Overlap`]: two spans overlap.
    pub fn new(relocations: impl IntoIterator<Item = Relocation>) -> Result<Self, RelocationError> {
        let mut collected = Self::default();
        for relocation in relocations {
            match relocation {
                Relocation::Briefcase { id, to } => match collected.briefcases.insert(id, to) {
                    Some(first) if first != to => {
                        return Err(RelocationError::Twice {
                            id,
                            first,
                            second: to,
                        });
                    }
                    _ => {}
                },
                Relocation::Span { span, to } => collected.spans.push((span, to)),
            }
        }
        collected.spans.sort_by_key(|(span, _)| span.from);
        for pair in collected.spans.windows(2) {
            if pair[1].0.from < pair[0].0.until {
                return Err(RelocationError::Overlap {
                    first: pair[0].0,
                    second: pair[1].0,
                });
            }
        }
        Ok(collected)
    }

    /// Has a briefcase live on `to` from now on; with `None`, where a span or the rule puts it.
    pub fn relocate(&mut self, id: Gdid, to: Option<ShardId>) {
        match to {
            Some(to) => self.briefcases.insert(id, to),
            None => self.briefcases.remove(&id),
        };
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.briefcases.is_empty() && self.spans.is_empty()
    }

    /// The targets of all relocations.
    pub(crate) fn targets(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.briefcases
            .values()
            .copied()
            .chain(self.spans.iter().map(|(_, to)| *to))
    }

    /// The targets of the relocations that are about briefcases from `key` on.
    pub(super) fn targets_from(&self, key: RangeKey) -> impl Iterator<Item = ShardId> + '_ {
        let briefcases = self.briefcases.iter();
        let spans = self.spans.iter();
        briefcases
            .filter(move |(id, _)| id.range_key() >= key)
            .map(|(_, to)| *to)
            .chain(
                spans
                    .filter(move |(span, _)| span.until > key)
                    .map(|(_, to)| *to),
            )
    }

    /// The targets of the relocations that are about briefcases in `within`.
    pub(super) fn targets_within(&self, within: Span) -> impl Iterator<Item = ShardId> + '_ {
        let briefcases = self.briefcases.iter();
        let spans = self.spans.iter();
        briefcases
            .filter(move |(id, _)| within.contains(id.range_key()))
            .map(|(_, to)| *to)
            .chain(
                spans
                    .filter(move |(span, _)| span.from < within.until && span.until > within.from)
                    .map(|(_, to)| *to),
            )
    }

    /// Where `id` lives, if it is relocated.
    #[inline]
    pub fn find(&self, id: Gdid) -> Option<ShardId> {
        if self.is_empty() {
            return None;
        }
        if let Some(&to) = self.briefcases.get(&id) {
            return Some(to);
        }
        let key = id.range_key();
        let next = self.spans.partition_point(|(span, _)| span.from <= key);
        let (span, to) = self.spans.get(next.checked_sub(1)?)?;
        span.contains(key).then_some(*to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(counter: u64) -> RangeKey {
        RangeKey::new(0, counter).unwrap()
    }

    fn span(from: u64, until: u64, to: u32) -> Relocation {
        Relocation::Span {
            span: Span::new(key(from), key(until)).unwrap(),
            to: ShardId::new(to),
        }
    }

    #[test]
    fn a_briefcase_goes_before_a_span_and_the_span_before_the_rule() {
        let id = |counter| Gdid::new(0, 5, counter).unwrap();
        let set = Relocations::new([
            span(10, 20, 1),
            span(20, 30, 2),
            Relocation::Briefcase {
                id: id(15),
                to: ShardId::new(3),
            },
        ])
        .unwrap();
        let found =
            [9, 10, 15, 19, 20, 29, 30].map(|counter| set.find(id(counter)).map(ShardId::get));
        assert_eq!(
            found,
            [None, Some(1), Some(3), Some(1), Some(2), Some(2), None]
        );
        let other_authority = Gdid::new(0, 6, 15).unwrap();
        assert_eq!(
            set.find(other_authority),
            Some(ShardId::new(1)),
            "only the briefcase itself, not its range key"
        );
    }

    #[test]
    fn overlaps_and_contradictions_are_refused() {
        assert!(matches!(
            Relocations::new([span(10, 20, 1), span(19, 30, 2)]),
            Err(RelocationError::Overlap { .. })
        ));
        let id = Gdid::new(0, 0, 1).unwrap();
        let twice = [1, 2].map(|to| Relocation::Briefcase {
            id,
            to: ShardId::new(to),
        });
        assert!(matches!(
            Relocations::new(twice),
            Err(RelocationError::Twice { .. })
        ));
        assert!(Span::new(key(5), key(5)).is_none());
    }
}
