//! Errors as the protocol has them.

use std::error::Error;
use std::fmt::Write as _;

use axum::Json;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::authority::{AdvanceError, AuthorityError};
use crate::http::{Code, ErrorAnswer};

/// A request that fails.
#[derive(Debug)]
pub(super) struct Failure(ErrorAnswer);

impl Failure {
    pub(super) fn new(code: Code, error: impl Into<String>) -> Self {
        Self(ErrorAnswer {
            error: error.into(),
            code,
            era: None,
            authority: None,
            found: None,
            seen: None,
        })
    }

    pub(super) fn bad_request(error: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, error)
    }
}

/// The client is told this layer's fact; the causes, which can name files and machines, are logged.
impl From<AuthorityError> for Failure {
    fn from(error: AuthorityError) -> Self {
        let mut chain = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            // Writing to a string does not fail.
            let _ = write!(chain, ": {error}");
            cause = error.source();
        }
        let failure = Self::told(&error);
        if error.is_transient() {
            tracing::warn!(error = chain, "a request for ids failed");
        } else {
            tracing::error!(error = chain, "a request for ids failed");
        }
        failure
    }
}

impl Failure {
    fn told(error: &AuthorityError) -> Self {
        let failure = |code| Self::new(code, error.to_string());
        match error {
            AuthorityError::Unavailable { .. } => failure(Code::Unavailable),
            AuthorityError::Corrupt { .. } => failure(Code::Corrupt),
            AuthorityError::Closed { .. } => failure(Code::Closed),
            AuthorityError::Refused { .. } => failure(Code::Refused),
            AuthorityError::Exhausted { source, .. } => {
                let AdvanceError::ErasExhausted { era } = *source;
                let mut failure = failure(Code::Exhausted);
                failure.0.era = Some(era);
                failure
            }
            AuthorityError::WentBack {
                authority,
                found,
                seen,
                ..
            } => {
                let mut failure = failure(Code::WentBack);
                failure.0.authority = Some(authority.get());
                failure.0.found = Some(*found);
                failure.0.seen = Some(*seen);
                failure
            }
            AuthorityError::AllFailed { .. } if error.is_transient() => failure(Code::Unavailable),
            AuthorityError::AllFailed { source, .. } => Self::told(source),
        }
    }
}

/// A code with its status, as the counts name it.
fn status_and_name(code: Code) -> (StatusCode, &'static str) {
    match code {
        Code::BadRequest => (StatusCode::BAD_REQUEST, "bad_request"),
        Code::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
        Code::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        Code::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        Code::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        Code::Exhausted => (StatusCode::CONFLICT, "exhausted"),
        Code::WentBack => (StatusCode::CONFLICT, "went_back"),
        Code::Corrupt => (StatusCode::CONFLICT, "corrupt"),
        Code::Closed => (StatusCode::CONFLICT, "closed"),
        Code::Refused => (StatusCode::CONFLICT, "refused"),
        Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Code::TimedOut => (StatusCode::SERVICE_UNAVAILABLE, "timed_out"),
        Code::Unknown => (StatusCode::INTERNAL_SERVER_ERROR, "unknown"),
    }
}

/// How a request came out, for the counts; beside its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome(pub(super) &'static str);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, name) = status_and_name(self.0.code);
        let mut response = (status, Json(self.0)).into_response();
        response.extensions_mut().insert(Outcome(name));
        if status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
        }
        response
    }
}
