//! Global distributed ids: 96 bits that many authorities issue and that databases sort.
//!
//! A [`Gdid`] is an *era* (32 bits), an *authority* (4 bits) and a *counter* (60 bits):
//!
//! ```text
//! byte   0   1   2   3   4   5   6   7   8   9  10  11
//!      ┌───────────────┬─┬─────────────────────────────┐
//!      │      era      │a│           counter           │   big-endian: byte order is id order
//!      └───────────────┴─┴─────────────────────────────┘
//! ```
//!
//! Vocabulary:
//!
//! - **range key**: an id with its authority discarded, (era, counter); ranges compare by it.
//! - **sequence**: a named, ever-increasing source of ids inside a **scope**.
//! - **authority**: one of 16 that hand out **blocks** of a sequence, independently of each other.
//! - **ELink**: an id as syllables that people can read out, with a checksum.
//!
//! ```
//! use mdb_gdid::Gdid;
//!
//! let id: Gdid = "0:3:250000".parse()?;
//! assert_eq!(id, Gdid::new(0, 3, 250_000)?);
//! assert_eq!(format!("{id:x}"), "00000000300000000003d090");
//! assert_eq!(id.range_key(), Gdid::new(0, 9, 250_000)?.range_key(), "the authority does not count");
//! assert!("0:18:1".parse::<Gdid>().unwrap_err().to_string().contains("at character 3"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! Without features there is no dependency but `thiserror`. `serde`: text in human-readable
//! formats, 12 bytes in binary ones. `sqlite`, `postgres`, `mysql`: columns for sqlx. `generator`:
//! dealing single ids out of blocks, on tokio. `disk`: authorities that count in files. `http`:
//! authorities that are asked over HTTP. `serve`: the server that they are asked at.

mod authorities;
mod authority;
#[cfg(feature = "disk")]
mod disk;
mod elink;
mod gdid;
#[cfg(feature = "generator")]
mod generator;
#[cfg(any(feature = "http", feature = "serve"))]
mod http;
#[cfg(feature = "generator")]
mod local;
mod names;
mod parse;
mod range_key;
#[cfg(feature = "serde")]
mod serde_text;
#[cfg(feature = "serve")]
mod serve;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod sql;

pub use authorities::Authorities;
pub use authority::{
    AdvanceError, AllocateFuture, AuthorityError, AuthorityId, AuthorityIds, AuthorityStatus,
    Block, BlockError, BlockIds, BlockLife, BlockSize, BlockSource, Cause, Ledger, Place,
    SequenceState, StatusFuture, UnixMillis,
};
#[cfg(all(feature = "disk", feature = "failpoints"))]
pub use disk::FailPoints;
#[cfg(feature = "disk")]
pub use disk::{
    DiskAuthority, DiskOpenError, DiskOptions, FileError, FileStep, LocationError, RecordError,
    Restored,
};
pub use elink::{ELink, ELinkError, MAX_LINK_CHARACTERS, MAX_METADATA_BYTES};
pub use gdid::{EraError, EraZeroId, Gdid, GdidPartsError, LengthError};
#[cfg(feature = "generator")]
pub use generator::{Generator, GeneratorHandle, GeneratorMetrics, GeneratorOptions, LowWater};
#[cfg(feature = "http")]
pub use http::{HttpAuthorities, HttpOptions, HttpOptionsError, PlainHttp};
#[cfg(feature = "generator")]
pub use local::{LocalError, LocalGenerator};
pub use names::{NameError, ScopeName, SequenceName};
pub use parse::{GdidParseError, GdidParseErrorKind};
pub use range_key::{RangeKey, StartError};
#[cfg(feature = "serve")]
pub use serve::{
    ServeError, ServeOptions, ServeOptionsError, ServeTls, ServeTlsError, ServeTransport, serve,
};
