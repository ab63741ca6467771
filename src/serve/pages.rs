//! The page and the description of the API, compiled in.

use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

type Typed = [(HeaderName, &'static str); 1];

fn typed(kind: &'static str, text: &'static str) -> (Typed, &'static str) {
    ([(CONTENT_TYPE, kind)], text)
}

/// `GET /`.
pub(super) async fn home() -> impl IntoResponse {
    typed("text/html; charset=utf-8", include_str!("page/index.html"))
}

/// `GET /app.js`.
pub(super) async fn script() -> impl IntoResponse {
    typed("text/javascript; charset=utf-8", include_str!("page/app.js"))
}

/// `GET /style.css`.
pub(super) async fn style() -> impl IntoResponse {
    typed("text/css; charset=utf-8", include_str!("page/style.css"))
}

/// `GET /openapi.json`.
pub(super) async fn openapi() -> impl IntoResponse {
    typed("application/json", include_str!("page/openapi.json"))
}

/// `GET /icon.svg`.
pub(super) async fn icon() -> impl IntoResponse {
    typed("image/svg+xml", include_str!("page/icon.svg"))
}
