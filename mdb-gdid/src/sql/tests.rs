//! What goes over the wire; reading needs a database and is tried in `tests/columns.rs`.

use super::*;

#[cfg(feature = "postgres")]
#[test]
fn postgres_gets_12_bytes_or_a_big_endian_integer() {
    use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo};

    let id = Gdid::new(1, 15, 2).unwrap();
    let mut buffer = PgArgumentBuffer::default();
    let null = Encode::<sqlx::Postgres>::encode_by_ref(&id, &mut buffer).unwrap();
    assert!(matches!(null, IsNull::No));
    assert_eq!(&buffer[..], id.to_bytes());

    let low = EraZeroId::try_from(Gdid::new(0, 15, 2).unwrap()).unwrap();
    let mut buffer = PgArgumentBuffer::default();
    let _ = Encode::<sqlx::Postgres>::encode_by_ref(&low, &mut buffer).unwrap();
    assert_eq!(&buffer[..], 0xf000_0000_0000_0002_u64.to_be_bytes());

    let types = [
        <Gdid as Type<sqlx::Postgres>>::type_info(),
        <EraZeroId as Type<sqlx::Postgres>>::type_info(),
        Gdid::array_type_info(),
        EraZeroId::array_type_info(),
    ];
    let names = ["BYTEA", "INT8", "BYTEA[]", "INT8[]"];
    for (found, name) in types.iter().zip(names) {
        assert_eq!(sqlx::TypeInfo::name(found), name);
    }
    assert!(!<Gdid as Type<sqlx::Postgres>>::compatible(
        &PgTypeInfo::with_name("TEXT")
    ));
}

#[cfg(feature = "mysql")]
#[test]
fn mysql_gets_12_bytes_with_their_length_or_a_little_endian_integer() {
    let id = Gdid::new(1, 15, 2).unwrap();
    let mut buffer = Vec::new();
    let null = Encode::<sqlx::MySql>::encode_by_ref(&id, &mut buffer).unwrap();
    assert!(matches!(null, IsNull::No));
    assert_eq!(buffer[0], 12);
    assert_eq!(buffer[1..], id.to_bytes());

    let low = EraZeroId::try_from(Gdid::new(0, 15, 2).unwrap()).unwrap();
    let mut buffer = Vec::new();
    let _ = Encode::<sqlx::MySql>::encode_by_ref(&low, &mut buffer).unwrap();
    assert_eq!(buffer, 0xf000_0000_0000_0002_u64.to_le_bytes());
}

#[test]
fn signed_integers_keep_every_bit_but_sort_authority_8_first() {
    let of = |authority| {
        EraZeroId::try_from(Gdid::new(0, authority, 1).unwrap())
            .unwrap()
            .to_i64()
    };
    assert!(of(8) < of(15) && of(15) < 0 && 0 < of(0) && of(0) < of(7));
    for value in [i64::MIN, -1, 0, 1, i64::MAX] {
        assert_eq!(EraZeroId::from_i64(value).to_i64(), value);
    }
}
