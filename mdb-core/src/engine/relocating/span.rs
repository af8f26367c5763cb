//! Ranges of ids.

use std::ops::Range;

use mdb_gdid::Gdid;

/// A range of ids, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    first: Gdid,
    last: Gdid,
}

impl Span {
    /// All ids.
    pub(crate) const ALL: Self = Self {
        first: Gdid::ZERO,
        last: Gdid::MAX,
    };

    /// Spans of about as many of the ids each, which ascend; together they have all of them.
    pub(crate) fn split(ids: &[Gdid], spans: usize) -> Vec<Self> {
        ids.chunks(ids.len().div_ceil(spans).max(1))
            .filter_map(|part| {
                Some(Self {
                    first: *part.first()?,
                    last: *part.last()?,
                })
            })
            .collect()
    }

    /// From its first id to the last one of `other`.
    pub(crate) fn to(self, other: Self) -> Self {
        Self {
            last: other.last,
            ..self
        }
    }

    /// The first and the last of its ids.
    pub(crate) fn ends(self) -> [Gdid; 2] {
        [self.first, self.last]
    }

    pub(crate) fn contains(self, id: Gdid) -> bool {
        (self.first..=self.last).contains(&id)
    }

    /// The places of those in it among ids that ascend.
    pub(crate) fn places(self, ids: &[Gdid]) -> Range<usize> {
        let start = ids.partition_point(|id| *id < self.first);
        start..ids.partition_point(|id| *id <= self.last).max(start)
    }

    /// Both ends in hexadecimal digits, as engines read bytes.
    pub(crate) fn digits(self) -> [String; 2] {
        [self.first, self.last].map(|id| format!("{id:x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_is_in_one_span() {
        for count in [0, 1, 2, 15, 16, 17, 100] {
            let ids: Vec<Gdid> = (1..=count)
                .map(|counter| Gdid::new(0, 0, counter * 3).expect("a small counter"))
                .collect();
            let spans = Span::split(&ids, 16);
            assert!(spans.len() <= 16);
            let places = spans.iter().flat_map(|span| span.places(&ids));
            assert!(places.eq(0..ids.len()));
            assert_eq!(Span::ALL.places(&ids), 0..ids.len());
            for id in ids {
                assert_eq!(spans.iter().filter(|span| span.contains(id)).count(), 1);
                assert!(Span::ALL.contains(id));
            }
        }
    }
}
