//! What is answered where.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::answer::{Failure, Outcome};
use super::metrics::{self, Metrics};
use super::options::ServeOptions;
use super::tokens::Tokens;
use crate::authority::{AuthorityStatus, BlockSize, BlockSource};
use crate::http::{
    AuthoritiesAnswer, BlockAnswer, BlockRequest, Code, FloorRequest, StatusQuery, path,
};
use crate::names::{ScopeName, SequenceName};
use crate::range_key::RangeKey;

/// A request's body has three or four short texts.
const MAX_BODY_BYTES: usize = 4 * 1024;

const MAX_ATTEMPT_CHARACTERS: usize = 64;

#[derive(Debug)]
struct Server {
    source: Arc<dyn BlockSource>,
    tokens: Tokens,
    request_timeout: Duration,
    metrics: Arc<Metrics>,
}

/// All that is answered.
pub(super) fn router(
    source: Arc<dyn BlockSource>,
    options: &ServeOptions,
    metrics: Arc<Metrics>,
) -> Router {
    let server = Arc::new(Server {
        source,
        tokens: options.tokens.clone(),
        request_timeout: options.request_timeout,
        metrics,
    });
    Router::new()
        .route(path::BLOCK, post(block))
        .route(path::FLOOR, post(floor))
        .route(path::STATUS, get(status))
        .route_layer(from_fn_with_state(Arc::clone(&server), guard))
        .route("/health", get(health))
        .route("/metrics", get(counts))
        .method_not_allowed_fallback(async || {
            Failure::new(Code::MethodNotAllowed, "this path has another method")
        })
        .fallback(async || Failure::new(Code::NotFound, "there is nothing at this path"))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(server)
}

/// Lets in whoever has a token, bounds the time, and counts.
async fn guard(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let operation = match request.uri().path() {
        path::BLOCK => "block",
        path::FLOOR => "floor",
        _ => "status",
    };
    let mut response = if server.tokens.let_in(request.headers()) {
        let answered = timeout(server.request_timeout, next.run(request)).await;
        answered.unwrap_or_else(|_| {
            let error = "the request was not done in time";
            Failure::new(Code::TimedOut, error).into_response()
        })
    } else {
        tracing::debug!(operation, "a request had no token, or a wrong one");
        let error = "a token that is known here is needed, as `authorization: Bearer <token>`";
        Failure::new(Code::Unauthorized, error).into_response()
    };
    let outcome = response
        .extensions()
        .get()
        .map_or("ok", |Outcome(name)| name);
    server.metrics.answered(operation, outcome, began.elapsed());
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

async fn block(
    State(server): State<Arc<Server>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<BlockAnswer>, Failure> {
    let request: BlockRequest = read(body)?;
    let (scope, sequence) = names(&request.scope, &request.sequence)?;
    let size = usize::try_from(request.size).unwrap_or(usize::MAX);
    let size = BlockSize::clamped(size)
        .ok_or_else(|| Failure::bad_request("a block has at least 1 id; `size` is 0"))?;
    let attempt = short(request.attempt)?;
    let block = server.source.allocate(&scope, &sequence, size).await?;
    server.metrics.handed_out(block.count());
    Ok(Json(BlockAnswer {
        first: block.first(),
        count: block.count(),
        attempt,
    }))
}

async fn floor(
    State(server): State<Arc<Server>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<AuthoritiesAnswer>, Failure> {
    let request: FloorRequest = read(body)?;
    let (scope, sequence) = names(&request.scope, &request.sequence)?;
    let floor = RangeKey::from_start(&request.floor)
        .map_err(|error| Failure::bad_request(format!("`floor`: {error}")))?;
    let attempt = short(request.attempt)?;
    let raised = server.source.raise(&scope, &sequence, floor).await?;
    tracing::info!(%scope, %sequence, %floor, "raised a sequence");
    Ok(authorities(&raised, attempt))
}

async fn status(
    State(server): State<Arc<Server>>,
    query: Result<Query<StatusQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<AuthoritiesAnswer>, Failure> {
    let Query(query) = query.map_err(|error| Failure::bad_request(error.body_text()))?;
    let (scope, sequence) = names(&query.scope, &query.sequence)?;
    let attempt = short(query.attempt)?;
    let told = server.source.status(&scope, &sequence).await?;
    Ok(authorities(&told, attempt))
}

async fn health() -> Response {
    let body = Json(serde_json::json!({ "health": "ok" }));
    ([(CACHE_CONTROL, "no-store")], body).into_response()
}

async fn counts(State(server): State<Arc<Server>>) -> Response {
    (
        [(CONTENT_TYPE, metrics::CONTENT_TYPE)],
        server.metrics.text(),
    )
        .into_response()
}

fn authorities(statuses: &[AuthorityStatus], attempt: Option<String>) -> Json<AuthoritiesAnswer> {
    Json(AuthoritiesAnswer {
        authorities: statuses.iter().map(Into::into).collect(),
        attempt,
    })
}

fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Failure> {
    let body = body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Failure::new(
            Code::TooLarge,
            format!("a request has at most {MAX_BODY_BYTES} bytes"),
        ),
        _ => Failure::bad_request("the request broke off"),
    })?;
    serde_json::from_slice(&body)
        .map_err(|error| Failure::bad_request(format!("the request is not understood: {error}")))
}

fn short(attempt: Option<String>) -> Result<Option<String>, Failure> {
    match attempt {
        Some(attempt) if attempt.chars().count() > MAX_ATTEMPT_CHARACTERS => {
            Err(Failure::bad_request(format!(
                "`attempt` has more than {MAX_ATTEMPT_CHARACTERS} characters"
            )))
        }
        attempt => Ok(attempt),
    }
}

fn names(scope: &str, sequence: &str) -> Result<(ScopeName, SequenceName), Failure> {
    let scope = scope
        .parse()
        .map_err(|error| Failure::bad_request(format!("`scope`: {error}")))?;
    let sequence = sequence
        .parse()
        .map_err(|error| Failure::bad_request(format!("`sequence`: {error}")))?;
    Ok((scope, sequence))
}
