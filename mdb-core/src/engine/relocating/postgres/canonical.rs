//! The canonical form of rows.
//!
//! It is what PostgreSQL itself sends of a row in binary form, in the format of COPY: for each field its length in four
//! big-endian bytes, all of them ones for NULL, and then the value. That depends on no setting, and not on the server's
//! processor. What may hold numbers of types, which each database gives out by itself, goes as text; long values go as
//! their SHA-256.

use std::borrow::Cow;

use sqlx::Postgres;

use crate::engine::Engine;
use crate::engine::relocating::{INLINE_BYTES, MovedColumn, MovedTable, is_short};

/// What the text of a value depends on.
pub(super) const TEXT: &str = "SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = hex; \
    SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = postgres; SET LOCAL timezone = 'UTC'; \
    SET LOCAL lc_monetary = 'C'; SET LOCAL xmlbinary = base64; SET LOCAL quote_all_identifiers = off; ";

/// A part of the canonical form.
struct Field {
    /// An expression.
    value: String,
    /// The function by which the server sends its type.
    send: &'static str,
}

/// The fields of the row `alias` as a list of expressions: what a binary COPY sends of them is the canonical form.
pub(super) fn listed(table: &MovedTable, alias: &str) -> String {
    let fields = table
        .columns
        .iter()
        .flat_map(|column| fields(column, alias));
    fields
        .map(|field| field.value)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The fields of the row `alias` as an array of what is sent for each, from which [`of_array`] takes the canonical form.
pub(super) fn as_array(table: &MovedTable, alias: &str) -> String {
    let fields = table
        .columns
        .iter()
        .flat_map(|column| fields(column, alias));
    let sent: Vec<String> = fields
        .map(|field| format!("{}({})", field.send, field.value))
        .collect();
    format!("ARRAY[{}]::bytea[]", sent.join(", "))
}

/// The canonical form in an array of one dimension, as it is sent: after its dimensions and the type of its elements these
/// stand as fields do.
pub(super) fn of_array(array: &[u8]) -> Option<&[u8]> {
    const HEAD: usize = 5 * size_of::<i32>();
    let (head, fields) = array.split_at_checked(HEAD)?;
    head.starts_with(&1_u32.to_be_bytes()).then_some(fields)
}

fn fields(column: &MovedColumn, alias: &str) -> Vec<Field> {
    let name = format!("{alias}.{}", Postgres::quote(&column.name));
    let plain = unmodified(&column.data_type);
    let Some(send) = sender(&plain) else {
        return vec![Field {
            value: format!("{name}::text"),
            send: "textsend",
        }];
    };
    let has_more_octets = format!("octet_length({name}) > {INLINE_BYTES}");
    let (is_long, bytes) = match &*plain {
        "bytea" => (has_more_octets, name.clone()),
        "text" | "character varying" if !is_short(&column.data_type) => {
            // Other encodings have other octets; counting characters takes longer, and is needed for few.
            let is_long = format!("{has_more_octets} AND char_length({name}) > {INLINE_BYTES}");
            (is_long, format!("convert_to({name}, 'UTF8')"))
        }
        _ => return vec![Field { value: name, send }],
    };
    // Two fields: no value is taken for another one's hash.
    vec![
        Field {
            value: format!("CASE WHEN {is_long} THEN NULL ELSE {name} END"),
            send,
        },
        Field {
            value: format!("CASE WHEN {is_long} THEN sha256({bytes}) END"),
            send: "byteasend",
        },
    ]
}

/// A type without what is in brackets: `numeric(12,2)`, `timestamp(3) with time zone`.
fn unmodified(data_type: &str) -> Cow<'_, str> {
    match (data_type.find('('), data_type.find(')')) {
        (Some(from), Some(to)) if from < to => {
            Cow::Owned(format!("{}{}", &data_type[..from], &data_type[to + 1..]))
        }
        _ => Cow::Borrowed(data_type),
    }
}

/// The function by which PostgreSQL sends a type of its own; arrays of these are sent by one that names their elements' type,
/// which is the same in all databases.
fn sender(data_type: &str) -> Option<&'static str> {
    if let Some(element) = data_type.strip_suffix("[]") {
        return sender(element).map(|_| "array_send");
    }
    Some(match data_type {
        "\"char\"" => "charsend",
        "bigint" => "int8send",
        "bit" => "bit_send",
        "bit varying" => "varbit_send",
        "boolean" => "boolsend",
        "box" => "box_send",
        "bytea" => "byteasend",
        "character" => "bpcharsend",
        "character varying" => "varcharsend",
        "cidr" => "cidr_send",
        "circle" => "circle_send",
        "date" => "date_send",
        "double precision" => "float8send",
        "inet" => "inet_send",
        "integer" => "int4send",
        "interval" => "interval_send",
        "json" => "json_send",
        "jsonb" => "jsonb_send",
        "line" => "line_send",
        "lseg" => "lseg_send",
        "macaddr" => "macaddr_send",
        "macaddr8" => "macaddr8_send",
        "money" => "cash_send",
        "name" => "namesend",
        "numeric" => "numeric_send",
        "oid" => "oidsend",
        "path" => "path_send",
        "point" => "point_send",
        "polygon" => "poly_send",
        "real" => "float4send",
        "smallint" => "int2send",
        "text" => "textsend",
        "time without time zone" => "time_send",
        "time with time zone" => "timetz_send",
        "timestamp without time zone" => "timestamp_send",
        "timestamp with time zone" => "timestamptz_send",
        "tsquery" => "tsquerysend",
        "tsvector" => "tsvectorsend",
        "uuid" => "uuid_send",
        "int4range" | "int8range" | "numrange" | "tsrange" | "tstzrange" | "daterange" => {
            "range_send"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::schema::Nullability;

    fn values(data_type: &str) -> Vec<String> {
        let column = MovedColumn {
            name: "c".to_owned(),
            data_type: data_type.to_owned(),
            nullability: Nullability::NotNull,
            collation: None,
        };
        let fields = fields(&column, "t").into_iter();
        fields
            .map(|field| format!("{}({})", field.send, field.value))
            .collect()
    }

    #[test]
    fn types_are_sent_by_their_functions_or_as_text() {
        for (data_type, sent) in [
            ("integer", "int4send(t.\"c\")"),
            ("numeric(12,2)", "numeric_send(t.\"c\")"),
            ("timestamp(3) with time zone", "timestamptz_send(t.\"c\")"),
            ("character varying(4096)", "varcharsend(t.\"c\")"),
            ("character varying(80)[]", "array_send(t.\"c\")"),
            ("text[]", "array_send(t.\"c\")"),
            ("mood", "textsend(t.\"c\"::text)"),
            ("mood[]", "textsend(t.\"c\"::text)"),
            ("\"integer\"", "textsend(t.\"c\"::text)"),
            ("interval day to second(3)", "textsend(t.\"c\"::text)"),
        ] {
            assert_eq!(values(data_type), [sent], "{data_type}");
        }
    }

    #[test]
    fn values_that_may_be_long_have_a_field_for_their_hash() {
        for data_type in [
            "bytea",
            "text",
            "character varying",
            "character varying(4097)",
        ] {
            let [value, hash] = &values(data_type)[..] else {
                panic!("not two fields: {data_type}");
            };
            assert!(value.contains("THEN NULL ELSE t.\"c\" END"), "{value}");
            assert!(hash.contains("sha256"), "{hash}");
        }
    }
}
