//! Which address has which answer, and the limits that hold for all of them.

use super::access::guard;
use super::answers::{folders, picture, search, similar, status};
use super::media::{preview, thumbnail, video};
use super::pages::{home, icon, openapi, script, style};
use super::refusal::Refusal;
use super::state::Shared;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use std::sync::Arc;
use std::time::Duration;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

/// Bytes of a request's body: a picture.
pub(super) const MOST_BODY: usize = 16 << 20;

/// Time for an answer to begin. A preview that is transcoded takes longest.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// All routes. Files are answers to ids only.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/app.js", get(script))
        .route("/style.css", get(style))
        .route("/icon.svg", get(icon))
        .route("/openapi.json", get(openapi))
        .route("/api/search", get(search))
        .route("/api/picture", post(picture))
        .route("/api/similar", get(similar))
        .route("/api/status", get(status))
        .route("/api/folders", get(folders))
        .route("/thumb/{id}", get(thumbnail))
        .route("/video/{id}", get(video))
        .route("/preview/{id}", get(preview))
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this address"))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this address takes no such request")
        })
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(MOST_BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER_TIME))
        .layer(from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}
