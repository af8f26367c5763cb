//! Values that Azos' own tests state, for every text and byte form.

use mdb_gdid::{ELink, Gdid};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("data/azos-vectors.json")).expect("the vectors are JSON")
}

fn number(value: &Value) -> u64 {
    match value {
        Value::String(hex) => {
            u64::from_str_radix(hex.trim_start_matches("0x"), 16).expect("hexadecimal")
        }
        value => value.as_u64().expect("a number"),
    }
}

fn list<'v>(vectors: &'v Value, path: &str) -> &'v Vec<Value> {
    let list = vectors
        .pointer(path)
        .and_then(Value::as_array)
        .expect("a list of vectors");
    assert!(!list.is_empty(), "{path} has vectors");
    list
}

fn text<'v>(case: &'v Value, key: &str) -> &'v str {
    case[key].as_str().expect("text")
}

fn id(case: &Value, key: &str) -> Gdid {
    text(case, key).parse().expect("a valid id")
}

fn era(case: &Value) -> u32 {
    u32::try_from(number(&case["era"])).expect("32 bits")
}

fn hex(bytes: &[u8]) -> String {
    let digit = |bits: u8| char::from_digit(u32::from(bits), 16).expect("four bits");
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

#[test]
fn parsing() {
    for case in list(&vectors(), "/gdid_parse") {
        let parsed = text(case, "in").parse::<Gdid>();
        if case["ok"] == true {
            let authority = u8::try_from(number(&case["authority"])).expect("8 bits");
            assert_eq!(
                parsed,
                Ok(Gdid::new(era(case), authority, number(&case["counter"])).expect("parts")),
                "{case}"
            );
        } else {
            assert!(parsed.is_err(), "{case}");
        }
    }
}

#[test]
fn parts_out_of_range() {
    for case in list(&vectors(), "/gdid_ctor_errors") {
        let authority = u8::try_from(number(&case["authority"])).expect("8 bits");
        assert!(
            Gdid::new(era(case), authority, number(&case["counter"])).is_err(),
            "{case}"
        );
    }
}

#[test]
fn formatting() {
    for case in list(&vectors(), "/gdid_format") {
        let id = if let Some(low) = case.get("id") {
            Gdid::from_era_and_id(era(case), number(low))
        } else {
            let authority = u8::try_from(number(&case["authority"])).expect("8 bits");
            Gdid::new(era(case), authority, number(&case["counter"])).expect("parts")
        };
        let forms = [
            ("string", id.to_string()),
            ("hex", format!("{id:x}")),
            ("bytes_hex", hex(&id.to_bytes())),
        ];
        #[cfg(feature = "serde")]
        let json = Some(("json", serde_json::to_string(&id).expect("an id is text")));
        #[cfg(not(feature = "serde"))]
        let json = None;
        for (key, written) in forms.into_iter().chain(json) {
            if let Some(expected) = case.get(key) {
                assert_eq!(written, expected.as_str().expect("text"), "{case}");
            }
        }
        if case["roundtrip"] == true {
            assert_eq!(text(case, "string").parse(), Ok(id), "{case}");
            assert_eq!(text(case, "hex").parse(), Ok(id), "{case}");
            assert_eq!(Gdid::from_bytes(id.to_bytes()), id, "{case}");
        }
    }
}

#[test]
fn comparing() {
    let vectors = vectors();
    for case in list(&vectors, "/gdid_compare_full") {
        let sign = case["cmp"].as_i64().expect("a number");
        assert_eq!(id(case, "a").cmp(&id(case, "b")) as i64, sign, "{case}");
    }
    for case in list(&vectors, "/gdid_compare_range_authority_ignored") {
        let sign = case["cmp"].as_i64().expect("a number");
        assert_eq!(
            id(case, "a").range_key().cmp(&id(case, "b").range_key()) as i64,
            sign,
            "{case}"
        );
    }
}

#[test]
fn links() {
    let vectors = vectors();
    for case in list(&vectors, "/elink/encode") {
        let seed = u8::try_from(number(&case["seed"])).expect("8 bits");
        assert_eq!(
            ELink::new(id(case, "gdid")).encode(seed),
            text(case, "link")
        );
    }
    for case in list(&vectors, "/elink/decode") {
        let link = ELink::decode(text(case, "link")).expect("a valid link");
        assert_eq!(link.id(), id(case, "gdid"), "{case}");
        let metadata = link.metadata().map(hex);
        assert_eq!(metadata.as_deref(), case["metadata_hex"].as_str(), "{case}");
    }
}
