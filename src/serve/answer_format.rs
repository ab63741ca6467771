//! Answers as JSON, or as files for other programs.

use super::library::Library;
use super::refusal::Refusal;
use super::shown_results::shown;
use crate::search::{ListFormat, QueryResult};
use axum::Json;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::task::spawn_blocking;

/// What an answer is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AnswerFormat {
    #[default]
    Json,
    Csv,
    M3u,
    Edl,
}

impl AnswerFormat {
    fn list(self) -> Option<ListFormat> {
        match self {
            Self::Json => None,
            Self::Csv => Some(ListFormat::Csv),
            Self::M3u => Some(ListFormat::M3u),
            Self::Edl => Some(ListFormat::Edl),
        }
    }

    /// The answer to `query`: JSON, or a file that is saved instead of shown, which says itself what it
    /// could not hold.
    pub async fn answer(self, library: &Library, query: &str, found: QueryResult) -> Result<Response, Refusal> {
        let Some(format) = self.list() else { return Ok(Json(shown(library, query, &found)).into_response()) };
        let title = if query.is_empty() { "svitt search".to_owned() } else { format!("“{query}”") };
        // The frame rates of an EDL are read from the files.
        let made = spawn_blocking(move || format.list(&title, &found.results, &found.words)).await;
        let list = made.map_err(|_| Refusal::fault("the list could not be made"))??;
        let name = format!("attachment; filename=\"svitt-results.{}\"", format.extension());
        Ok(([(CONTENT_TYPE, format.media_type().to_owned()), (CONTENT_DISPOSITION, name)], list.text).into_response())
    }
}
