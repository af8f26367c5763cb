//! The keys of `routes.tsv`, chosen once: around every limit, in runs, with gaps, and at random.

use std::fmt::Write as _;

pub(crate) const HEADER: &str = "\
# Where keys live, for ever. Written once; README.md says how to read and how to recompute it.
# topology\tarea\ttype\tkey\tgeneration\tpartition\tslot\tshard
";

const MAX_COUNTER: u64 = (1 << 60) - 1;
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

/// A fixed random sequence (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn letters(&mut self, most: u64) -> String {
        let length = 1 + self.below(most);
        (0..length)
            .map(|_| LETTERS[self.below(64) as usize] as char)
            .collect()
    }

    fn hex(&mut self, bytes: u64) -> String {
        (0..bytes).fold(String::new(), |mut text, _| {
            write!(text, "{:02x}", self.next() as u8).unwrap();
            text
        })
    }
}

/// (topology, area, era, first counter, last counter): stretches of ids.
const STRETCHES: &[(&str, &str, u32, u64, u64)] = &[
    ("xxh3", "widths", 0, 1, 99),
    ("xxh3", "widths", 0, 100, 9_999),
    ("xxh3", "widths", 0, 10_000, 19_999),
    ("xxh3", "widths", 0, 20_000, 29_999),
    ("xxh3", "widths", 0, 30_000, 39_999),
    ("xxh3", "widths", 0, 40_000, 49_999),
    ("xxh3", "widths", 0, 50_000, 59_999),
    ("xxh3", "widths", 0, 60_000, 69_999),
    ("xxh3", "widths", 0, 70_000, 79_999),
    ("xxh3", "widths", 0, 80_000, 89_999),
    ("xxh3", "widths", 0, 90_000, 99_999),
    ("xxh3", "widths", 0, 100_000, 109_999),
    ("xxh3", "widths", 0, 110_000, 119_999),
    ("xxh3", "widths", 0, 120_000, 129_999),
    ("xxh3", "widths", 0, 130_000, MAX_COUNTER),
    ("xxh3", "widths", 1, 0, MAX_COUNTER),
    ("xxh3", "generations", 0, 1, 4_999),
    ("xxh3", "generations", 0, 5_000, 9_999),
    ("xxh3", "generations", 0, 10_000, 14_999),
    ("xxh3", "generations", 0, 15_000, 40_000),
    ("xxh3", "generations", 1, 0, 3_999),
    ("xxh3", "generations", 1, 4_000, MAX_COUNTER),
    ("xxh3", "eras", 0, 1, MAX_COUNTER - 1),
    ("xxh3", "eras", 0, MAX_COUNTER, MAX_COUNTER),
    ("xxh3", "eras", 1, 0, (1 << 59) - 1),
    ("xxh3", "eras", 1, 1 << 59, MAX_COUNTER),
    ("xxh3", "eras", 6, 0, MAX_COUNTER),
    ("xxh3", "eras", 7, 0, 999),
    ("xxh3", "eras", 7, 1_000, MAX_COUNTER),
    ("xxh3", "eras", 0x7fff_ffff, 0, MAX_COUNTER),
    ("xxh3", "eras", 0x8000_0000, 0, MAX_COUNTER),
    ("xxh3", "eras", u32::MAX, 0, MAX_COUNTER - 1),
    ("xxh3", "eras", u32::MAX, MAX_COUNTER, MAX_COUNTER),
    ("azos", "modulo", 0, 1, 9_999),
    ("azos", "modulo", 0, 10_000, 19_999),
    ("azos", "modulo", 0, 20_000, 29_999),
    ("azos", "modulo", 0, 30_000, 39_999),
    ("azos", "modulo", 0, 40_000, 49_999),
    ("azos", "modulo", 0, 50_000, 59_999),
    ("azos", "modulo", 0, 60_000, MAX_COUNTER),
    // Era and counter cancel each other out at 1:2³².
    ("azos", "modulo", 1, 1 << 32, 1 << 32),
    ("azos", "modulo", 1, 0, MAX_COUNTER),
    ("azos", "modulo", u32::MAX, 0, MAX_COUNTER),
    ("azos", "slots", 0, 1, MAX_COUNTER),
    ("single", "small", 3, 499, 2_000),
    ("single", "small", 3, 500, 2_000),
    ("single", "small", 4, 0, MAX_COUNTER),
    ("wide", "wide", 0, 1, 100_000),
    ("wide", "wide", 0, 1, MAX_COUNTER),
];

/// Topology, area, type and key of every line.
pub(crate) fn questions() -> Vec<[String; 4]> {
    let mut random = Random(2026);
    let mut questions = Vec::new();
    for &(topology, area, era, first, last) in STRETCHES {
        for key in ids(&mut random, era, first, last) {
            questions.push([topology, area, "gdid", &key].map(str::to_owned));
        }
    }
    for topology in ["xxh3", "azos", "single", "wide"] {
        for (kind, key) in central_keys(&mut random) {
            questions.push([topology, "CENTRAL", kind, &key].map(str::to_owned));
        }
    }
    let mut seen = std::collections::HashSet::new();
    questions.retain(|question| seen.insert(question.clone()));
    questions
}

/// Both ends with every authority, runs from both ends, and ids with gaps or at random between.
fn ids(random: &mut Random, era: u32, first: u64, last: u64) -> Vec<String> {
    let mut ids = Vec::new();
    for end in [first, last] {
        ids.extend((0..16).map(|authority| format!("{era}:{authority}:{end}")));
    }
    for step in 0..40.min(last - first) {
        ids.push(format!("{era}:0:{}", first + step));
        ids.push(format!("{era}:{}:{}", step % 16, last - step));
    }
    for place in 0..30 {
        ids.push(format!("{era}:1:{}", first + (last - first) / 30 * place));
    }
    for _ in 0..120 {
        let counter = first + random.below((last - first).saturating_add(1));
        ids.push(format!("{era}:{}:{counter}", random.below(16)));
    }
    ids
}

fn central_keys(random: &mut Random) -> Vec<(&'static str, String)> {
    let mut keys: Vec<(&'static str, String)> = Vec::new();
    let mut add = |kind, key: &str| keys.push((kind, key.to_owned()));
    for id in [
        "0:0:0",
        "0:0:1",
        "0:15:1",
        "4294967295:15:1152921504606846975",
    ] {
        add("gdid", id);
    }
    for text in [
        "",
        "a",
        "A",
        "ab",
        "1",
        "0",
        "-1",
        "ann@example.org",
        "Ann@Example.org",
        " ann@example.org",
        "名前@例え.テスト",
        "ß",
        "SS",
        "e\u{301}",
        "é",
        "😀",
        "久有归天愿",
        "naïve café",
        "0:0:1",
    ] {
        add("text", text);
    }
    for bytes in ["", "00", "ff", "0000", "0001", "616e6e", "deadbeef"] {
        add("bytes", bytes);
    }
    for integer in [
        "0",
        "1",
        "-1",
        "127",
        "128",
        "255",
        "256",
        "2147483647",
        "-2147483648",
        "4294967296",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
    ] {
        add("integer", integer);
    }
    for timestamp in [
        "0",
        "1",
        "-1",
        "1700000000000",
        "-62135596800000",
        "9223372036854775807",
        "-9223372036854775808",
    ] {
        add("timestamp", timestamp);
    }
    add("uuid", "00000000000000000000000000000000");
    add("uuid", "ffffffffffffffffffffffffffffffff");
    for atom in ["", "a", "ab", "abcdefgh", "-_-_-_-_", "00000000"] {
        add("atom", atom);
    }
    for entity in [
        "car.vin@sky::abc",
        "car.@sky::",
        "car.vin@::abc",
        "car.vin@sky::名前",
        "a.b@longname::a.b@c::d",
    ] {
        add("entity", entity);
    }
    add("routed-gdid", "0/0:0:1");
    add("routed-gdid", "4294967295/0:0:1");
    for hash in ["0", "1", "18446744073709551615"] {
        add("provided", hash);
    }
    // Every length up to where XXH3 changes its way of working for good.
    for length in 1..=239_usize {
        let letters: String = (0..length)
            .map(|_| LETTERS[random.below(64) as usize] as char)
            .collect();
        add("text", &letters);
    }
    for bytes in 1..=64 {
        add("bytes", &random.hex(bytes));
    }
    for _ in 0..60 {
        let id = format!(
            "{}:{}:{}",
            random.next() as u32,
            random.below(16),
            random.below(1 << 60)
        );
        add("gdid", &id);
        add(
            "text",
            &format!("{}@{}.example", random.letters(12), random.letters(8)),
        );
        add("integer", &random.below(1_000_000).to_string());
        add("integer", &(random.next() as i64).to_string());
        add(
            "timestamp",
            &(1_600_000_000_000 + random.below(1 << 38)).to_string(),
        );
        add("uuid", &random.hex(16));
        add("atom", &random.letters(8));
        let atoms = [random.letters(8), random.letters(8), random.letters(8)];
        add(
            "entity",
            &format!(
                "{}.{}@{}::{}",
                atoms[0],
                atoms[1],
                atoms[2],
                random.letters(30)
            ),
        );
        add("routed-gdid", &format!("{}/{id}", random.next() as u32));
        add("provided", &random.next().to_string());
    }
    keys
}
