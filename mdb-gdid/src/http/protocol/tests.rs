//! The messages byte for byte: other releases, and other programs, speak them.

use std::fmt::Debug;

use serde::de::DeserializeOwned;

use super::*;

#[track_caller]
fn golden<T: Serialize + DeserializeOwned + PartialEq + Debug>(message: &T, json: &str) {
    assert_eq!(serde_json::to_string(message).unwrap(), json);
    assert_eq!(&serde_json::from_str::<T>(json).unwrap(), message);
}

fn error(code: Code) -> ErrorAnswer {
    ErrorAnswer {
        error: "a sentence".to_owned(),
        code,
        era: None,
        authority: None,
        found: None,
        seen: None,
    }
}

#[test]
fn requests() {
    let (scope, sequence) = ("SHOP.MAIN".to_owned(), "user".to_owned());
    golden(
        &BlockRequest {
            scope: scope.clone(),
            sequence: sequence.clone(),
            size: 100,
            attempt: None,
        },
        r#"{"scope":"SHOP.MAIN","sequence":"user","size":100}"#,
    );
    golden(
        &BlockRequest {
            scope: scope.clone(),
            sequence: sequence.clone(),
            size: 1,
            attempt: Some("0f".to_owned()),
        },
        r#"{"scope":"SHOP.MAIN","sequence":"user","size":1,"attempt":"0f"}"#,
    );
    golden(
        &FloorRequest {
            scope,
            sequence,
            floor: "0:0:250000".to_owned(),
            attempt: None,
        },
        r#"{"scope":"SHOP.MAIN","sequence":"user","floor":"0:0:250000"}"#,
    );
}

#[test]
fn answers() {
    golden(
        &BlockAnswer {
            first: Gdid::new(2, 3, 1).unwrap(),
            count: 100,
            attempt: None,
        },
        r#"{"first":"2:3:1","count":100}"#,
    );
    let authority = AuthorityAnswer {
        last: Gdid::new(0, 15, Gdid::MAX_COUNTER).unwrap(),
        blocks: u64::MAX,
        outstanding: 2,
        lapses_after_ms: 599_999,
        notes: vec!["disk 2 lags".to_owned()],
    };
    golden(
        &AuthoritiesAnswer {
            authorities: vec![authority],
            attempt: Some("0f".to_owned()),
        },
        r#"{"authorities":[{"last":"0:15:1152921504606846975","blocks":18446744073709551615,"outstanding":2,"lapses_after_ms":599999,"notes":["disk 2 lags"]}],"attempt":"0f"}"#,
    );
}

#[test]
fn errors() {
    golden(
        &error(Code::BadRequest),
        r#"{"error":"a sentence","code":"bad_request"}"#,
    );
    golden(
        &ErrorAnswer {
            era: Some(7),
            ..error(Code::Exhausted)
        },
        r#"{"error":"a sentence","code":"exhausted","era":7}"#,
    );
    golden(
        &ErrorAnswer {
            authority: Some(3),
            found: Some(RangeKey::new(0, 5).unwrap()),
            seen: Some(RangeKey::new(1, 6).unwrap()),
            ..error(Code::WentBack)
        },
        r#"{"error":"a sentence","code":"went_back","authority":3,"found":"0:5","seen":"1:6"}"#,
    );
}

#[test]
fn a_newer_side_may_say_more_in_answers_but_not_in_requests() {
    let answer: ErrorAnswer =
        serde_json::from_str(r#"{"error":"e","code":"on_holiday","until":"Monday"}"#).unwrap();
    assert_eq!(answer.code, Code::Unknown);
    let request = r#"{"scope":"S","sequence":"s","size":1,"urgent":true}"#;
    let refused = serde_json::from_str::<BlockRequest>(request).unwrap_err();
    assert!(
        refused.to_string().contains("unknown field `urgent`"),
        "{refused}"
    );
}
