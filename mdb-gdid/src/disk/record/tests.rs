//! The bytes of both files, and what becomes of every changed or cut-off one.

use super::*;
use crate::authority::{BlockLife, BlockSize};
use proptest::prelude::*;

const SET: SetId = SetId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);

fn key() -> CounterKey {
    CounterKey {
        authority: AuthorityId::new(11).unwrap(),
        scope: "shop.main".parse().unwrap(),
        sequence: "User".parse().unwrap(),
    }
}

fn ledger() -> Ledger {
    let at = UnixMillis::new;
    let state = SequenceState::new(2, 1_040).unwrap();
    Ledger::new(
        state,
        13,
        at(1_763_712_000_999),
        at(1_763_711_999_000),
        9,
        4,
    )
    .unwrap()
}

/// Files that exist on disks: these bytes never change.
#[test]
fn golden_bytes() {
    assert_eq!(
        counter_text(SET, &key(), &ledger()),
        "mdb-gdid-counter 1 set=0123456789abcdef0011223344556677 authority=11 scope=SHOP.MAIN sequence=user \
         era=2 counter=1040 blocks=13 last_at=1763712000999 window_at=1763711999000 window_blocks=9 \
         earlier_blocks=4 xxh3=d17cbf8a2b0e2ed8\n"
    );
    let identity = Identity {
        set: SET,
        number: 2,
        of: 3,
        authorities: [0, 11].map(|id| AuthorityId::new(id).unwrap()).to_vec(),
        state: IdentityState::Ready,
    };
    let text = "mdb-gdid-location 1 set=0123456789abcdef0011223344556677 number=2 of=3 authorities=0,11 \
                state=ready xxh3=1173a95d4e3f574e\n";
    assert_eq!(identity.text(), text);
    assert_eq!(Identity::read(text.as_bytes()), Ok(identity));
}

#[test]
fn what_is_longest_fits() {
    let name = "x".repeat(80);
    let key = CounterKey {
        authority: AuthorityId::new(15).unwrap(),
        scope: name.parse().unwrap(),
        sequence: name.parse().unwrap(),
    };
    let state = SequenceState::new(u32::MAX, crate::Gdid::MAX_COUNTER).unwrap();
    let (max, at) = (u64::MAX, UnixMillis::new(u64::MAX));
    let ledger = Ledger::new(state, max, at, at, max, max).unwrap();
    let text = counter_text(SET, &key, &ledger);
    assert!(text.len() <= MAX_BYTES, "{}", text.len());
    assert_eq!(read_counter(SET, &key, text.as_bytes()), Ok(ledger));
}

#[test]
fn every_cut_and_every_changed_bit_is_found() {
    let text = counter_text(SET, &key(), &ledger());
    assert_eq!(read_counter(SET, &key(), b""), Err(RecordError::Empty));
    for end in 1..text.len() {
        assert!(
            read_counter(SET, &key(), &text.as_bytes()[..end]).is_err(),
            "{end}"
        );
    }
    for bit in 0..text.len() * 8 {
        let mut bytes = text.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(read_counter(SET, &key(), &bytes).is_err(), "bit {bit}");
    }
    let twice = text.repeat(2);
    assert_eq!(
        read_counter(SET, &key(), twice.as_bytes()),
        Err(RecordError::Checksum)
    );
    let zeros = vec![0; text.len()];
    let header = RecordError::Header { expected: COUNTER };
    assert_eq!(read_counter(SET, &key(), &zeros), Err(header));
    let long = vec![b' '; MAX_BYTES + 1];
    assert_eq!(read_counter(SET, &key(), &long), Err(RecordError::TooLong));
}

#[test]
fn a_copy_of_another_file_is_found() {
    let text = counter_text(SET, &key(), &ledger());
    let foreign = |set, key: &CounterKey| match read_counter(set, key, text.as_bytes()) {
        Err(RecordError::Foreign { field, found }) => (field, found),
        other => panic!("{other:?}"),
    };
    let mut other = key();
    other.sequence = "order".parse().unwrap();
    assert_eq!(foreign(SET, &other), ("sequence", "user".to_owned()));
    other = key();
    other.scope = "shop.test".parse().unwrap();
    assert_eq!(foreign(SET, &other), ("scope", "SHOP.MAIN".to_owned()));
    other = key();
    other.authority = AuthorityId::new(1).unwrap();
    assert_eq!(foreign(SET, &other), ("authority", "11".to_owned()));
    assert_eq!(foreign(SetId(1), &key()).0, "set");
}

/// A checksum that is right does not make impossible numbers possible.
#[test]
fn sealed_nonsense_is_found() {
    let text = counter_text(SET, &key(), &ledger());
    let (body, _) = text.rsplit_once(" xxh3=").unwrap();
    let read = |body: String| read_counter(SET, &key(), sealed(&body).as_bytes());
    assert_eq!(read(body.to_owned()), Ok(ledger()));
    let field = |field| Err(RecordError::Field { field });
    let counter = |value| read(body.replace("counter=1040", value));
    assert_eq!(counter("counter=1152921504606846976"), field("counter"));
    assert_eq!(counter("counter=-1"), field("counter"));
    assert_eq!(counter("count=1040"), field("counter"));
    assert_eq!(counter("counter=01040"), Err(RecordError::Checksum));
    assert_eq!(read(format!("{body} more=1")), Err(RecordError::Checksum));
    assert_eq!(read(body.replace("blocks=13", "blocks=8")), field("blocks"));
    assert_eq!(
        read(body.replace("counter 1 ", "counter 12 ")),
        Err(RecordError::Header { expected: COUNTER })
    );
}

proptest! {
    #[test]
    fn what_was_written_is_read(era: u32, counter in 0..=crate::Gdid::MAX_COUNTER, steps in proptest::collection::vec((1..=1024_u16, 0..u64::from(u32::MAX)), 0..5)) {
        let state = SequenceState::new(era, counter).unwrap();
        let mut ledger = Ledger::START.raised(state);
        for (size, at) in steps {
            let size = BlockSize::new(size).unwrap();
            let Ok((_, after)) = ledger.issue(key().authority, size, UnixMillis::new(at), BlockLife::USUAL) else { break };
            ledger = after;
        }
        let text = counter_text(SET, &key(), &ledger);
        prop_assert!(text.is_ascii() && text.ends_with('\n') && text.lines().count() == 1);
        prop_assert_eq!(read_counter(SET, &key(), text.as_bytes()), Ok(ledger));
    }
}
