//! How the values of each column type are read, written and summed without loss.
//!
//! Values travel as text, in the server's own notation, which it reads back as it wrote it; the
//! exceptions are the [`Kind`]s. Comparing and summing is done on bytes: collations don't matter.

use sqlx::MySql;

use crate::engine::Engine;
use crate::engine::relocating::{INLINE_BYTES, MovedColumn, is_short};

/// Has a session get texts in the character sets in which they are stored.
pub(super) const AS_STORED: &str = "SET SESSION character_set_results = NULL";

/// How the values of a column travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text in any character set, and binary strings: their bytes, as [`AS_STORED`] has the server send them.
    Stored,
    /// Geometries: as bytes, when they are cast.
    Bytes,
    /// MySQL's JSON, which takes text only.
    Json,
    /// What is a number inside: members that a definition names, also the invalid empty one; bits.
    Number,
    /// Its own notation has six digits; a double's has all.
    Float,
    /// The server's notation: numbers, times, addresses.
    Notation,
}

impl Kind {
    pub(super) fn of(column: &MovedColumn) -> Self {
        let data_type = column.data_type.to_ascii_lowercase();
        let end = data_type
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(data_type.len());
        match &data_type[..end] {
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "binary"
            | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Self::Stored,
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geometrycollection" | "geomcollection" | "vector" => Self::Bytes,
            "json" => Self::Json,
            "enum" | "set" | "bit" => Self::Number,
            "float" => Self::Float,
            _ => Self::Notation,
        }
    }

    /// The expression that reads the column `name`, which is quoted already.
    pub(super) fn read(self, name: &str) -> String {
        match self {
            Self::Bytes => format!("CAST({name} AS BINARY)"),
            Self::Json => format!("CAST(CAST({name} AS CHAR) AS BINARY)"),
            Self::Number => format!("CAST({name} AS UNSIGNED)"),
            Self::Float => format!("CAST({name} AS DOUBLE)"),
            Self::Stored | Self::Notation => name.to_owned(),
        }
    }

    /// Adds what was read to an `INSERT`.
    pub(super) fn write(self, value: Option<&[u8]>, sql: &mut String) {
        let Some(bytes) = value else {
            sql.push_str("NULL");
            return;
        };
        match self {
            Self::Stored | Self::Bytes => {
                sql.push_str("_binary");
                quote(bytes, sql);
            }
            Self::Json => {
                sql.push_str("CONVERT(_binary");
                quote(bytes, sql);
                sql.push_str(" USING utf8mb4)");
            }
            // As text it would be a member's name.
            Self::Number => sql.extend(bytes.iter().map(|byte| char::from(*byte))),
            Self::Float | Self::Notation => quote(bytes, sql),
        }
    }

    /// What stands for one bound value in an `INSERT`.
    pub(super) fn placeholder(self) -> &'static str {
        match self {
            Self::Json => "CONVERT(? USING utf8mb4)",
            Self::Stored | Self::Bytes | Self::Number | Self::Float | Self::Notation => "?",
        }
    }

    /// The expression that reads it to be summed; two results differ when the values do.
    fn read_to_sum(self, name: &str, data_type: &str) -> String {
        match self {
            Self::Stored | Self::Bytes | Self::Json if !is_short(data_type) => {
                let bytes = match self {
                    Self::Json => self.read(name),
                    _ => Self::Bytes.read(name),
                };
                format!(
                    "IF(LENGTH({bytes}) <= {INLINE_BYTES}, CONCAT('=', {bytes}), CONCAT('#', SHA2({bytes}, 256)))"
                )
            }
            _ => self.read(name),
        }
    }
}

/// A string of bytes: as text where it is UTF-8, since statements are.
fn quote(bytes: &[u8], sql: &mut String) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        sql.push('\'');
        let mut rest = text;
        while let Some(place) = rest.find(['\'', '\\']) {
            sql.push_str(&rest[..place]);
            sql.push('\\');
            sql.push_str(&rest[place..=place]);
            rest = &rest[place + 1..];
        }
        sql.push_str(rest);
        sql.push('\'');
    } else {
        sql.reserve(2 * bytes.len() + 3);
        sql.push_str(" x'");
        for byte in bytes {
            for digit in [byte >> 4, byte & 15] {
                sql.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        sql.push('\'');
    }
}

/// The expressions that read `columns` of the row `alias`.
pub(super) fn read_list<'a>(columns: impl Iterator<Item = &'a MovedColumn>, alias: &str) -> String {
    let expressions: Vec<String> = columns
        .map(|column| Kind::of(column).read(&format!("{alias}.{}", MySql::quote(&column.name))))
        .collect();
    expressions.join(", ")
}

/// The expressions that read `columns` of the row `alias` to be summed.
pub(super) fn sum_list<'a>(columns: impl Iterator<Item = &'a MovedColumn>, alias: &str) -> String {
    let expressions: Vec<String> = columns
        .map(|column| {
            let name = format!("{alias}.{}", MySql::quote(&column.name));
            Kind::of(column).read_to_sum(&name, &column.data_type)
        })
        .collect();
    expressions.join(", ")
}

/// A key for people to read, and for both servers to sort by in the same way.
pub(super) fn key_text<'a>(columns: impl Iterator<Item = &'a MovedColumn>, alias: &str) -> String {
    let parts: Vec<String> = columns
        .map(|column| {
            let name = format!("{alias}.{}", MySql::quote(&column.name));
            let data_type = column.data_type.to_ascii_lowercase();
            if data_type.contains("binary") || data_type.contains("blob") {
                format!("CONCAT('x''', HEX({name}), '''')")
            } else {
                format!("CONVERT({name} USING utf8mb4)")
            }
        })
        .collect();
    format!("CAST(CONCAT_WS(', ', {}) AS BINARY)", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::schema::Nullability;

    fn written(kind: Kind, bytes: &[u8]) -> String {
        let mut sql = String::new();
        kind.write(Some(bytes), &mut sql);
        sql
    }

    #[test]
    fn bytes_are_written_as_text_where_they_are() {
        assert_eq!(written(Kind::Bytes, b"it's \\ so"), r"_binary'it\'s \\ so'");
        assert_eq!(written(Kind::Bytes, &[0xff, 0x0a]), "_binary x'ff0a'");
        assert_eq!(written(Kind::Bytes, b""), "_binary''");
        assert_eq!(written(Kind::Number, b"7"), "7");
    }

    #[test]
    fn types_are_told_apart_by_their_first_word() {
        for (data_type, kind) in [
            ("varchar(80)", Kind::Stored),
            ("point", Kind::Bytes),
            ("ENUM('float','bit')", Kind::Number),
            ("float unsigned", Kind::Float),
            ("double", Kind::Notation),
            ("bigint(20) unsigned", Kind::Notation),
            ("json", Kind::Json),
        ] {
            let column = MovedColumn {
                name: "c".to_owned(),
                data_type: data_type.to_owned(),
                nullability: Nullability::NotNull,
                collation: None,
            };
            assert_eq!(Kind::of(&column), kind, "{data_type}");
        }
    }
}
