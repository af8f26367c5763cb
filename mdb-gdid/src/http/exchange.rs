//! One request and its answer, and why there may be none.

use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;

use super::options::HttpOptions;
use super::{Code, ErrorAnswer};
use crate::authority::{AdvanceError, AuthorityError, AuthorityId, Cause, Place};
use crate::names::SequenceName;

/// How long an answer may be.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Idle connections are closed before a usual server would close them: after its closing, a request
/// could be lost.
const POOL_IDLE: Duration = Duration::from_secs(5);

/// What requests are sent by.
pub(super) type Connections = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Connections as the options want them.
pub(super) fn connections(options: &HttpOptions, tls: rustls::ClientConfig) -> Connections {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(options.connect_timeout));
    tcp.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .build(connector)
}

/// Why a request has no usable answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    #[error("there was no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error("the request could not be sent, or was not answered")]
    Transport(#[source] hyper_util::client::legacy::Error),
    #[error("the answer broke off")]
    BrokeOff(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
    #[error("it answered {}{}", status.as_u16(), answer.as_ref().map_or(String::new(), |answer| format!(": {}", readable(&answer.error))))]
    Status {
        status: StatusCode,
        answer: Option<ErrorAnswer>,
    },
    #[error("its answer is none that this protocol has")]
    NotUnderstood(#[source] serde_json::Error),
    #[error("its answer breaks the protocol: {0}")]
    BreaksProtocol(&'static str),
    #[error("it answers for authority {0}, which is not one of those that are configured for it")]
    ForeignAuthority(AuthorityId),
    #[error("none of the hosts has confirmed authority {0}, which is configured")]
    NotConfirmed(AuthorityId),
}

/// At most 300 characters of a text from another process, without control characters.
fn readable(text: &str) -> String {
    text.chars()
        .take(300)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

impl ExchangeError {
    /// Whether the host itself has failed, and not just what it was asked for.
    pub(super) fn is_of_the_host(&self) -> bool {
        match self {
            Self::TimedOut(_) | Self::Transport(_) | Self::BrokeOff(_) | Self::TooLong => true,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                    )
            }
            Self::NotUnderstood(_)
            | Self::BreaksProtocol(_)
            | Self::ForeignAuthority(_)
            | Self::NotConfirmed(_) => false,
        }
    }

    /// The same as an authority's error.
    pub(super) fn into_authority_error(
        self,
        place: Place,
        sequence: SequenceName,
    ) -> AuthorityError {
        if self.is_of_the_host() {
            return AuthorityError::Unavailable {
                place,
                sequence,
                source: self.into(),
            };
        }
        let Self::Status {
            answer: Some(answer),
            ..
        } = &self
        else {
            return AuthorityError::Refused {
                place,
                sequence,
                source: self.into(),
            };
        };
        let authority = answer.authority.and_then(AuthorityId::new);
        match (
            answer.code,
            answer.era,
            authority,
            answer.found,
            answer.seen,
        ) {
            (Code::Exhausted, Some(era), ..) => AuthorityError::Exhausted {
                place,
                sequence,
                source: AdvanceError::ErasExhausted { era },
            },
            (Code::WentBack, _, Some(authority), Some(found), Some(seen)) => {
                AuthorityError::WentBack {
                    place,
                    authority,
                    sequence,
                    found,
                    seen,
                }
            }
            (Code::Corrupt, ..) => AuthorityError::Corrupt {
                place,
                sequence,
                source: self.into(),
            },
            (Code::Closed, ..) => AuthorityError::Closed {
                place,
                sequence,
                source: self.into(),
            },
            _ => AuthorityError::Refused {
                place,
                sequence,
                source: Cause::from(self),
            },
        }
    }
}

/// Sends a request and reads its whole answer, within `limit`.
pub(super) async fn exchange<T: DeserializeOwned>(
    connections: &Connections,
    request: Request<Full<Bytes>>,
    limit: Duration,
) -> Result<T, ExchangeError> {
    let answered = async {
        let response = connections
            .request(request)
            .await
            .map_err(ExchangeError::Transport)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES)
            .collect()
            .await
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    ExchangeError::TooLong
                } else {
                    ExchangeError::BrokeOff(error)
                }
            })?;
        Ok((head.status, body.to_bytes()))
    };
    let (status, body) = tokio::time::timeout(limit, answered)
        .await
        .unwrap_or(Err(ExchangeError::TimedOut(limit)))?;
    if status == StatusCode::OK {
        serde_json::from_slice(&body).map_err(ExchangeError::NotUnderstood)
    } else {
        Err(ExchangeError::Status {
            status,
            // What stands between may answer with anything.
            answer: serde_json::from_slice(&body).ok(),
        })
    }
}
