//! Any bytes as an id, any text as an id: what is read comes back from each form it is written in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mdb_gdid::{Gdid, RangeKey};

fuzz_target!(|input: &[u8]| {
    if let Ok(bytes) = <[u8; 12]>::try_from(input) {
        let id = Gdid::from_bytes(bytes);
        assert_eq!(id.to_bytes(), bytes);
        comes_back(id);
    }
    assert_eq!(Gdid::try_from(input).is_ok(), input.len() == 12);

    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match text.parse::<Gdid>() {
        Ok(id) => comes_back(id),
        Err(error) => {
            let characters = text.chars().count();
            assert!((1..=characters + 1).contains(&error.position()));
            assert!(error.to_string().len() < 200, "input is not repeated");
        }
    }
    if let Ok(key) = text.parse::<RangeKey>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    if let Ok(start) = RangeKey::from_start(text) {
        assert_eq!(text.parse(), Ok(start.lowest_id()));
    }
});

fn comes_back(id: Gdid) {
    for text in [
        id.to_string(),
        format!("{id:x}"),
        format!("{id:X}"),
        format!("{id:#x}"),
    ] {
        assert_eq!(text.parse(), Ok(id), "{text}");
    }
    let parts = Gdid::new(id.era(), id.authority().get(), id.counter());
    assert_eq!(parts, Ok(id));
    let key = id.range_key();
    assert_eq!(key.to_string().parse(), Ok(key));
}
