//! One host: what it is asked, and whether its answers can be right.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Uri};
use serde::Serialize;
use url::Url;

use super::backoff::Backoff;
use super::exchange::{Connections, ExchangeError, exchange};
use super::options::{HttpOptions, HttpOptionsError, origin};
use super::{AuthoritiesAnswer, BlockAnswer, BlockRequest, FloorRequest, path};
use crate::authority::{AuthorityStatus, Block, BlockSize, Place, SequenceState};
use crate::names::{ScopeName, SequenceName};
use crate::range_key::RangeKey;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What no other request has, whoever sends it.
fn new_attempt() -> String {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

fn is_answer_to(attempt: &str, answered: Option<&str>) -> Result<(), ExchangeError> {
    if answered == Some(attempt) {
        Ok(())
    } else {
        Err(ExchangeError::BreaksProtocol(
            "it is an answer to another request",
        ))
    }
}

/// One host.
pub(super) struct Host {
    url: Url,
    place: Place,
    authorization: HeaderValue,
    connections: Connections,
    pub(super) backoff: Backoff,
    /// Whether the last answer to a request for a block was a refusal.
    pub(super) refuses: AtomicBool,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("place", &self.place)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}

impl Host {
    pub(super) fn new(
        url: &Url,
        options: &HttpOptions,
        connections: Connections,
    ) -> Result<Self, HttpOptionsError> {
        let place = match &options.place {
            Some(place) => Place::new(format!("{place} ({})", origin(url))),
            None => Place::new(origin(url)),
        };
        Ok(Self {
            url: url.clone(),
            place,
            authorization: options.authorization()?,
            connections,
            backoff: Backoff::default(),
            refuses: AtomicBool::new(false),
        })
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Asks for a block, and checks that the answer is one to this question.
    pub(super) async fn block(
        &self,
        scope: &ScopeName,
        sequence: &SequenceName,
        size: BlockSize,
        limit: Duration,
    ) -> Result<Block, ExchangeError> {
        let attempt = new_attempt();
        let request = self.post(
            path::BLOCK,
            &BlockRequest {
                scope: scope.as_str().to_owned(),
                sequence: sequence.as_str().to_owned(),
                size: size.get().into(),
                attempt: Some(attempt.clone()),
            },
        );
        let answer: BlockAnswer = exchange(&self.connections, request, limit).await?;
        is_answer_to(&attempt, answer.attempt.as_deref())?;
        let count = BlockSize::new(answer.count).filter(|count| *count <= size);
        let count = count.ok_or(ExchangeError::BreaksProtocol(
            "the block has no ids, or more than were asked for",
        ))?;
        if answer.first.era() > SequenceState::LAST_ERA {
            return Err(ExchangeError::BreaksProtocol(
                "the block is of an era that is kept back",
            ));
        }
        Block::new(answer.first, count)
            .map_err(|_| ExchangeError::BreaksProtocol("the block has counters that no era has"))
    }

    /// Asks to raise the sequence, and checks that it was.
    pub(super) async fn raise(
        &self,
        scope: &ScopeName,
        sequence: &SequenceName,
        floor: RangeKey,
        limit: Duration,
    ) -> Result<Vec<AuthorityStatus>, ExchangeError> {
        let attempt = new_attempt();
        let request = self.post(
            path::FLOOR,
            &FloorRequest {
                scope: scope.as_str().to_owned(),
                sequence: sequence.as_str().to_owned(),
                floor: floor.lowest_id().to_string(),
                attempt: Some(attempt.clone()),
            },
        );
        let statuses = self.statuses(request, &attempt, limit).await?;
        if statuses
            .iter()
            .any(|status| status.state() < SequenceState::before(floor))
        {
            return Err(ExchangeError::BreaksProtocol(
                "an authority is still below the floor",
            ));
        }
        Ok(statuses)
    }

    /// Asks how far the sequence is.
    pub(super) async fn status(
        &self,
        scope: &ScopeName,
        sequence: &SequenceName,
        limit: Duration,
    ) -> Result<Vec<AuthorityStatus>, ExchangeError> {
        let attempt = new_attempt();
        let mut url = self.url_of(path::STATUS);
        url.query_pairs_mut()
            .append_pair("scope", scope.as_str())
            .append_pair("sequence", sequence.as_str())
            .append_pair("attempt", &attempt);
        let request = self.request(Method::GET, &url, Bytes::new());
        self.statuses(request, &attempt, limit).await
    }

    async fn statuses(
        &self,
        request: Request<Full<Bytes>>,
        attempt: &str,
        limit: Duration,
    ) -> Result<Vec<AuthorityStatus>, ExchangeError> {
        let answer: AuthoritiesAnswer = exchange(&self.connections, request, limit).await?;
        is_answer_to(attempt, answer.attempt.as_deref())?;
        if answer.authorities.is_empty() {
            return Err(ExchangeError::BreaksProtocol("it has no authority"));
        }
        Ok(answer.authorities.into_iter().map(Into::into).collect())
    }

    fn post(&self, path: &str, message: &impl Serialize) -> Request<Full<Bytes>> {
        let json = serde_json::to_vec(message).expect("a struct of texts and numbers is JSON");
        self.request(Method::POST, &self.url_of(path), json.into())
    }

    fn url_of(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        let before = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{before}{path}"));
        url
    }

    fn request(&self, method: Method, url: &Url, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() =
            Uri::try_from(url.as_str()).expect("a URL with a host is an absolute URI");
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(ACCEPT, JSON);
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(CACHE_CONTROL, NO_STORE);
        request
    }
}
