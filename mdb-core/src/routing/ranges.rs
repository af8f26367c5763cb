//! The range table: which partition owns a range key, compiled to one search over plain integers.
//!
//! Generations and partitions are flattened first: each generation holds from its breakpoint up to
//! the next one, so what remains is one ascending list of starts. It is split by era, because there
//! is nearly always one, and the search then compares 64-bit counters only: on one machine, with
//! 4,096 starts, a search over 128-bit keys took five times as long.

use mdb_gdid::RangeKey;

/// An ascending list of range starts, each with a payload, and a search for the last start at or
/// below a key.
///
/// ```
/// use mdb_core::routing::RangeTable;
/// use mdb_gdid::RangeKey;
///
/// let table = RangeTable::new(vec![
///     (RangeKey::new(0, 100)?, 'a'),
///     (RangeKey::new(0, 250_000)?, 'b'),
///     (RangeKey::new(2, 0)?, 'c'),
/// ]);
/// assert_eq!(table.find(RangeKey::new(0, 99)?), None);
/// assert_eq!(table.find(RangeKey::new(0, 249_999)?), Some(&'a'));
/// assert_eq!(table.find(RangeKey::new(0, 250_000)?), Some(&'b'));
/// assert_eq!(table.find(RangeKey::new(1, 5)?), Some(&'b'), "an era without starts belongs to the last before it");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RangeTable<T> {
    /// The era of all starts, if they have one and are few enough to be searched straight away.
    only_era: Option<u32>,
    eras: Vec<EraSpan>,
    counters: Vec<u64>,
    /// The first counter of every block, era by era: small enough to stay in the nearest cache.
    block_starts: Vec<u64>,
    payloads: Vec<T>,
}

/// How many counters make a block. A search among many picks the block first, then looks inside.
const BLOCK: usize = 64;

/// Up to how many counters it is quicker to compare all of them than to search.
const COUNTED: usize = 16;

/// How many counters are searched straight away: what fits into the nearest cache.
const FEW: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct EraSpan {
    era: u32,
    first: usize,
    end: usize,
    first_block: usize,
    end_block: usize,
}

impl<T> RangeTable<T> {
    /// Compiles `ranges`, which are (start, payload) pairs in strictly ascending order of start.
    ///
    /// # Panics
    ///
    /// When the starts don't ascend. Configurations are checked for that before.
    pub fn new(ranges: Vec<(RangeKey, T)>) -> Self {
        assert!(
            ranges.is_sorted_by(|a, b| a.0 < b.0),
            "range starts must strictly ascend"
        );
        let mut table = Self {
            only_era: None,
            eras: Vec::new(),
            counters: Vec::with_capacity(ranges.len()),
            block_starts: Vec::with_capacity(ranges.len() / BLOCK + 1),
            payloads: Vec::with_capacity(ranges.len()),
        };
        for (start, payload) in ranges {
            let place = table.counters.len();
            match table.eras.last_mut() {
                Some(span) if span.era == start.era() => span.end = place + 1,
                _ => table.eras.push(EraSpan {
                    era: start.era(),
                    first: place,
                    end: place + 1,
                    first_block: table.block_starts.len(),
                    end_block: table.block_starts.len(),
                }),
            }
            if let Some(span) = table.eras.last_mut()
                && (place - span.first).is_multiple_of(BLOCK)
            {
                table.block_starts.push(start.counter());
                span.end_block += 1;
            }
            table.counters.push(start.counter());
            table.payloads.push(payload);
        }
        if let [only] = table.eras.as_slice()
            && table.counters.len() <= FEW
        {
            table.only_era = Some(only.era);
        }
        table
    }

    /// The payload of the last range that starts at or below `key`, if any does.
    ///
    /// Time grows with the logarithm of the number of ranges; nothing is allocated.
    #[inline]
    pub fn find(&self, key: RangeKey) -> Option<&T> {
        let at_or_below = if self.only_era == Some(key.era()) {
            // A single range needs no search; an area begins with one.
            if let ([start], [payload]) = (self.counters.as_slice(), self.payloads.as_slice()) {
                return (*start <= key.counter()).then_some(payload);
            }
            at_or_below(&self.counters, key.counter())
        } else {
            self.at_or_below_in_eras(key)
        };
        self.payloads.get(at_or_below.checked_sub(1)?)
    }

    /// How many starts are at or below `key`; apart, so that `find` stays short.
    #[inline(never)]
    fn at_or_below_in_eras(&self, key: RangeKey) -> usize {
        // `span` is the key's own era where it has starts, else the last era before it.
        let next = self.eras.partition_point(|span| span.era <= key.era());
        let Some(span) = next.checked_sub(1).map(|place| self.eras[place]) else {
            return 0;
        };
        if key.era() != span.era {
            return span.end;
        }
        // Before the era's first start, the last range of the era before it is the owner.
        let blocks = &self.block_starts[span.first_block..span.end_block];
        let Some(block) = at_or_below(blocks, key.counter()).checked_sub(1) else {
            return span.first;
        };
        let first = span.first + block * BLOCK;
        let end = span.end.min(first + BLOCK);
        first + at_or_below(&self.counters[first..end], key.counter())
    }

    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.counters.len()
    }

    /// Whether there is no range.
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    /// The ranges, ascending, as (start, payload).
    pub fn iter(&self) -> impl Iterator<Item = (RangeKey, &T)> {
        self.eras.iter().flat_map(move |span| {
            (span.first..span.end).map(move |place| {
                let start = RangeKey::new(span.era, self.counters[place])
                    .expect("was made from a range key");
                (start, &self.payloads[place])
            })
        })
    }
}

/// How many of the ascending `starts` are at or below `counter`.
#[inline]
fn at_or_below(starts: &[u64], counter: u64) -> usize {
    if starts.len() <= COUNTED {
        // Comparisons that don't wait for each other.
        return starts.iter().filter(|&&start| start <= counter).count();
    }
    starts.partition_point(|&start| start <= counter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range_key() -> impl Strategy<Value = RangeKey> {
        // Few eras and small counters, so that keys fall on, between and around starts.
        (
            prop_oneof![0..4_u32, Just(u32::MAX)],
            prop_oneof![0..40_u64, Just((1 << 60) - 1)],
        )
            .prop_map(|(era, counter)| RangeKey::new(era, counter).unwrap())
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_scan(
            starts in proptest::collection::btree_set(range_key(), 0..40),
            keys in proptest::collection::vec(range_key(), 1..60),
        ) {
            let table = RangeTable::new(starts.iter().map(|&start| (start, start)).collect());
            for key in keys {
                let naive = starts.iter().rfind(|&&start| start <= key);
                prop_assert_eq!(table.find(key), naive);
            }
            prop_assert_eq!(table.iter().map(|(start, _)| start).collect::<Vec<_>>(), starts.into_iter().collect::<Vec<_>>());
        }
    }
}
