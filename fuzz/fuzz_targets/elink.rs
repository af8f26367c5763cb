//! Any text as a link, and links of any id, seed and metadata there and back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mdb_gdid::{ELink, Gdid, MAX_METADATA_BYTES};

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        match ELink::decode(text) {
            Ok(link) => comes_back(&link, 0),
            Err(error) => assert!(error.to_string().len() < 200, "input is not repeated"),
        }
    }
    if let Some((id, [seed, metadata @ ..])) = input.split_first_chunk::<12>() {
        let id = Gdid::from_bytes(*id);
        comes_back(&ELink::new(id), *seed);
        match ELink::with_metadata(id, metadata.to_vec()) {
            // No metadata and empty metadata read back as the same.
            Ok(_) if metadata.is_empty() => {}
            Ok(link) => comes_back(&link, *seed),
            // The parts that are not metadata take the room of less than 20 bytes.
            Err(_) => assert!(metadata.len() > MAX_METADATA_BYTES - 20),
        }
    }
});

/// Whatever was read or made can be written, and means the same.
fn comes_back(link: &ELink, seed: u8) {
    let written = link.encode(seed);
    assert_eq!(ELink::decode(&written).as_ref(), Ok(link), "{written}");
}
