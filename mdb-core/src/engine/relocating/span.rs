//! Ranges of ids.

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

    pub(crate) fn contains(self, id: Gdid) -> bool {
        (self.first..=self.last).contains(&id)
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
            for id in ids {
                assert_eq!(spans.iter().filter(|span| span.contains(id)).count(), 1);
                assert!(Span::ALL.contains(id));
            }
        }
    }
}
