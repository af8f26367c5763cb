//! Faults one by one, links there and back, and the syllables against Azos' list of them.

use super::*;
use proptest::prelude::*;

#[test]
fn the_syllables_are_those_of_azos() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/data/azos-vectors.json")).unwrap();
    let alphabet = vectors["elink"]["alphabet"].as_array().unwrap();
    assert_eq!(alphabet.len(), 256);
    for (byte, syllable) in (0..=u8::MAX).zip(alphabet) {
        let mut written = String::new();
        push(&mut written, byte);
        assert_eq!(written, syllable.as_str().unwrap(), "byte {byte}");
        let mut letters = written.chars();
        let (first, second) = (letters.next().unwrap(), letters.next().unwrap());
        assert_eq!(byte_of(first, second), Some(byte));
    }
}

#[test]
fn the_authority_of_an_eighth_byte_has_to_agree() {
    let link = ELink::new(Gdid::new(0, 5, Gdid::MAX_COUNTER).unwrap()).encode(0);
    let mut wrong = link[..link.len() - 2].to_owned();
    push(&mut wrong, 0x6f);
    assert_eq!(ELink::decode(&wrong), Err(ELinkError::Checksum));
}

#[test]
fn metadata_fills_a_link_to_its_last_character() {
    let id = Gdid::new(0, 0, 1).unwrap();
    // Six letters and a hyphen, the id's two, a hyphen: 507 bytes fill 1,024 characters.
    let link = ELink::with_metadata(id, vec![7; 507]).unwrap();
    assert_eq!(link.encode(3).len(), MAX_LINK_CHARACTERS);
    assert_eq!(ELink::decode(&link.encode(3)), Ok(link));
    assert_eq!(
        ELink::with_metadata(id, vec![7; 508]),
        Err(ELinkError::Metadata { bytes: 508 })
    );
    let too_long = ELink {
        id,
        metadata: Some(vec![7; 508]),
    };
    let squeezed = too_long.encode(0).replace('-', "");
    assert_eq!(squeezed.len(), MAX_LINK_CHARACTERS);
    assert_eq!(
        ELink::decode(&squeezed),
        Err(ELinkError::Metadata { bytes: 508 }),
        "whatever is read can be written"
    );
    let empty = ELink::with_metadata(id, Vec::new()).unwrap();
    assert!(empty.encode(0).ends_with('-'));
    assert_eq!(ELink::decode(&empty.encode(0)), Ok(ELink::new(id)));
}

#[test]
fn long_input_is_refused_without_repeating_it() {
    for text in [
        "é".repeat(1 << 19),
        "A".repeat(1 << 20),
        "- ".repeat(1 << 19),
    ] {
        let error = ELink::decode(&text).unwrap_err();
        assert!(matches!(error, ELinkError::TooLong { .. }));
        assert!(error.to_string().len() < 100);
    }
}

#[test]
fn each_fault_has_an_error_of_its_own() {
    let error = |text: &str| ELink::decode(text).unwrap_err();
    assert_eq!(error(" - "), ELinkError::Blank);
    assert_eq!(
        error(&"A".repeat(1025)),
        ELinkError::TooLong { characters: 1025 }
    );
    assert_eq!(
        error("AIAIIW-QQ"),
        ELinkError::Syllable {
            syllable: "QQ".into(),
            position: 8
        }
    );
    assert_eq!(error("AIAIIW-I"), ELinkError::OddLetters);
    assert_eq!(
        error("AIAIIW"),
        ELinkError::TooShort {
            expected: 4,
            found: 3
        }
    );
    assert_eq!(
        error("ABABAB-AB"),
        ELinkError::Lengths {
            era_bytes: 0,
            id_bytes: 0
        }
    );
    assert_eq!(
        error("ABAUAB-AB"),
        ELinkError::TooShort {
            expected: 5,
            found: 4
        }
    );
    assert_eq!(error("AIAIIW-AI"), ELinkError::Checksum);
    let id = Gdid::new(1, 1, 1).unwrap();
    assert_eq!(
        ELink::with_metadata(id, vec![0; 513]),
        Err(ELinkError::Metadata { bytes: 513 })
    );
}

proptest! {
    #[test]
    fn links_come_back(
        era: u32,
        id: u64,
        seed: u8,
        metadata in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..64)),
    ) {
        let id = Gdid::from_era_and_id(era, id);
        let link = match metadata {
            None => ELink::new(id),
            Some(metadata) => ELink::with_metadata(id, metadata).unwrap(),
        };
        prop_assert_eq!(ELink::decode(&link.encode(seed)), Ok(link.clone()));
        prop_assert_eq!(ELink::decode(&link.encode(seed).to_lowercase().replace('-', " ")), Ok(link));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}|[A-Z -]{0,60}") {
        let _ = ELink::decode(&text);
    }
}
