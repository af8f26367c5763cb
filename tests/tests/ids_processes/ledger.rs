//! The ids that processes wrote down, and whether one of them is there twice.

use std::collections::BTreeMap;
use std::path::Path;

use mdb_core::Gdid;

/// As `id-worker` writes them.
pub(crate) const ID_BYTES: usize = 12;

/// Which ids were seen: a bit for each counter, by era and authority.
#[derive(Default)]
pub(crate) struct Ledger {
    seen: BTreeMap<(u32, u8), Vec<u64>>,
    count: u64,
}

impl Ledger {
    /// Adds the ids of one task's file. A kill can leave a part of an id at its end.
    ///
    /// # Panics
    ///
    /// When an id was there before, or one does not ascend.
    pub(crate) fn add_file(&mut self, path: &Path) {
        let mut last = BTreeMap::new();
        for bytes in std::fs::read(path).unwrap().chunks_exact(ID_BYTES) {
            let id = Gdid::from_bytes(bytes.try_into().unwrap());
            let authority = id.authority().get();
            let before = last.insert(authority, id);
            assert!(
                before < Some(id),
                "{id} came after {before:?} in {}",
                path.display()
            );
            self.add(id, path);
        }
    }

    fn add(&mut self, id: Gdid, path: &Path) {
        assert_ne!(id, Gdid::ZERO);
        let bits = self
            .seen
            .entry((id.era(), id.authority().get()))
            .or_default();
        let counter = usize::try_from(id.counter()).unwrap();
        assert!(
            counter < 1 << 32,
            "{id} is further than the test can have come"
        );
        let (word, bit) = (counter / 64, 1 << (counter % 64));
        if word >= bits.len() {
            bits.resize((word + 1).next_power_of_two(), 0);
        }
        assert_eq!(
            bits[word] & bit,
            0,
            "{id} was issued twice, the second time in {}",
            path.display()
        );
        bits[word] |= bit;
        self.count += 1;
    }

    /// How many ids there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The authorities that they are of.
    pub(crate) fn authorities(&self) -> Vec<u8> {
        self.seen.keys().map(|(_, authority)| *authority).collect()
    }
}

#[test]
#[should_panic(expected = "0:0:7 was issued twice")]
fn an_id_that_comes_twice_is_found() {
    let directory = mdb_tests::kit::temp_dir().unwrap();
    let mut ledger = Ledger::default();
    for file in ["a", "b"] {
        let path = directory.path().join(file);
        std::fs::write(&path, Gdid::new(0, 0, 7).unwrap().to_bytes()).unwrap();
        ledger.add_file(&path);
    }
}
