//! Authorities that are asked over HTTP: the protocol, and the client.
//!
//! # Why no id comes twice
//!
//! A block belongs to whoever reads the answer that it is in. A request that has failed in any way is
//! never asked about again: the next attempt gets a block of its own, and what the lost answer held is
//! lost. The client refuses a block that is not above everything that it knew of the authority before
//! it asked, whichever host it comes from.
#![doc = include_str!("http/protocol.md")]

mod protocol;

#[cfg(feature = "http")]
mod backoff;
#[cfg(feature = "http")]
mod client;
#[cfg(feature = "http")]
mod exchange;
#[cfg(feature = "http")]
mod host;
#[cfg(feature = "http")]
mod options;
#[cfg(feature = "http")]
mod seen;

#[cfg(feature = "http")]
pub use client::HttpAuthorities;
#[cfg(feature = "http")]
pub use options::{HttpOptions, HttpOptionsError, PlainHttp};

#[cfg(feature = "serve")]
pub(crate) use protocol::StatusQuery;
pub(crate) use protocol::{
    AuthoritiesAnswer, BlockAnswer, BlockRequest, Code, ErrorAnswer, FloorRequest, path,
};
