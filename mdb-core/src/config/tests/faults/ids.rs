//! Faults of `[sequences]` and `[[authority]]`.

use super::{BASE, CENTRAL};
use crate::config::FaultCode;

pub(super) fn cases() -> Vec<(FaultCode, String)> {
    use FaultCode as F;
    let with = |rest: &str| format!("{BASE}{CENTRAL}{rest}\n");
    let sequences = |rest: &str| with(&format!("[sequences]\n{rest}"));
    let authority = |rest: &str| with(&format!("[[authority]]\nname = \"a\"\n{rest}"));
    let http = |rest: &str| authority(&format!("kind = \"http\"\nids = [1]\n{rest}"));
    vec![
        (
            F::OutOfRange,
            sequences("smallest_block = 9\nlargest_block = 8"),
        ),
        (F::OutOfRange, sequences("largest_block = 1025")),
        (F::OutOfRange, sequences("low_water_percent = 91")),
        (F::OutOfRange, sequences("block_life_ms = 999")),
        (F::UnknownKey, sequences("block_size = 256")),
        (F::MissingKey, authority("kind = \"central\"")),
        (F::MissingKey, authority("ids = [1]")),
        (F::UnknownChoice, authority("kind = \"disc\"\nids = [1]")),
        (
            F::OutOfRange,
            authority("kind = \"central\"\nids = [1, 16]"),
        ),
        (F::OutOfRange, authority("kind = \"central\"\nids = []")),
        (F::WrongType, authority("kind = \"central\"\nids = 1")),
        (F::WrongType, authority("kind = \"central\"\nids = [\"1\"]")),
        (
            F::OutOfRange,
            authority("kind = \"central\"\nids = [1]\nshard = 1"),
        ),
        (F::MissingKey, authority("kind = \"disk\"\nids = [1]")),
        (
            F::OutOfRange,
            authority("kind = \"disk\"\nids = [1]\npaths = []"),
        ),
        (
            F::BadName,
            authority("kind = \"disk\"\nids = [1]\npaths = [\"a\", \"\"]"),
        ),
        (
            F::DuplicateName,
            authority("kind = \"disk\"\nids = [1]\npaths = [\"a\", \"a\"]"),
        ),
        (
            F::NotForKind,
            authority("kind = \"disk\"\nids = [1]\npaths = [\"a\"]\ntimeout_ms = 5"),
        ),
        (
            F::DuplicateName,
            authority(
                "kind = \"central\"\nids = [1]\n[[authority]]\nname = \"a\"\nkind = \"central\"\nids = [2]",
            ),
        ),
        (
            F::DuplicateAuthority,
            authority(
                "kind = \"central\"\nids = [1]\n[[authority]]\nname = \"b\"\nkind = \"central\"\nids = [2, 1]",
            ),
        ),
        (F::MissingKey, http("urls = [\"https://h\"]")),
        (F::OutOfRange, http("urls = []\ntoken = \"${SET}\"")),
        (
            F::UnprotectedUrl,
            http("urls = [\"http://ids.example.org\"]\ntoken = \"${SET}\""),
        ),
        (
            F::MalformedUrl,
            http("urls = [\"https://user:secret@h\"]\ntoken = \"${SET}\""),
        ),
        (
            F::UnsetVariable,
            http("urls = [\"https://h\"]\ntoken = \"${UNSET}\""),
        ),
    ]
}
