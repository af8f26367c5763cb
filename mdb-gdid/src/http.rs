//! Authorities that are asked over HTTP: the protocol, and the client.
//!
//! # Protocol
//!
//! JSON over HTTP/1.1. Every request below `/gdid/` carries `authorization: Bearer <token>`.
//!
//! | request | answer |
//! |---|---|
//! | `POST /gdid/v1/block` `{"scope":"SHOP.MAIN","sequence":"user","size":100}` | `{"first":"0:3:1","count":100}` |
//! | `POST /gdid/v1/floor` `{"scope":"SHOP.MAIN","sequence":"user","floor":"0:0:250000"}` | `{"authorities":[…]}` |
//! | `GET /gdid/v1/status?scope=SHOP.MAIN&sequence=user` | `{"authorities":[…]}` |
//! | `GET /health`, without a token | `{"health":"ok"}` |
//! | `GET /metrics`, without a token | counts in the `OpenMetrics` text format, without names or ids |
//!
//! - `size` is a whole number from 1 to 2³² − 1; more than 1,024 become 1,024. `count` is at most
//!   that, and the block's ids are `first` and those after it.
//! - `attempt` may be added to a request for a block: at most 64 characters, which come back in the
//!   answer. The client makes them up anew for each attempt, so an answer that something between it
//!   and the server has stored, or mixed up, is noticed.
//! - An authority is `{"last":"0:3:100","blocks":1,"outstanding":1,"lapses_after_ms":600000,"notes":[]}`:
//!   the last id that it has given away (counter 0: none), how many blocks it has handed out, how many
//!   of them may still be dealt from, for how long, and what an operator should know besides.
//! - An error is `{"error":"a sentence","code":"bad_request"}`:
//!
//! | status | code | meaning |
//! |---|---|---|
//! | 400 | `bad_request` | the request is not one of the above |
//! | 401 | `unauthorized` | no token, or a wrong one |
//! | 404, 405, 413 | `not_found`, `method_not_allowed`, `too_large` | as HTTP has it |
//! | 409 | `exhausted` | the sequence has come to its end, in `era` |
//! | 409 | `went_back` | the count of `authority` is at `found`, but was at `seen` before |
//! | 409 | `corrupt`, `closed`, `refused` | it issues nothing until a person has mended it |
//! | 503 | `unavailable`, `timed_out` | the same request may succeed later |
//!
//! # Why no id comes twice
//!
//! A block belongs to whoever reads the answer that it is in. A request that has failed in any way is
//! never asked about again: the next attempt gets a block of its own, and what the lost answer held is
//! lost. The client refuses a block that is not above everything that it knew of the authority before
//! it asked, whichever host it comes from.

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
