//! The JSON API: what is asked, and what is answered.

use super::answer_format::AnswerFormat;
use super::library::{Library, folder_id};
use super::refusal::Refusal;
use super::state::{Collection, IndexingState, Shared};
use crate::limits;
use crate::search::{
    ComposedQuery, FileFilter, QueryOptions, QueryPart, QueryResult, day_ns, decode_picture, printable,
    similar as similar_clips,
};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Results of one answer.
const MOST_RESULTS: usize = 200;

/// Clips that the fusion encoder looks at again: each is decoded and encoded.
const MOST_RERANKED: usize = 64;

/// Characters of a query.
const MOST_CHARACTERS: usize = 1_000;

type Answer = Result<Json<Value>, Refusal>;

/// What a search takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchParameters {
    /// A text, or several with signs and weights.
    #[serde(default)]
    q: String,
    /// A clip of the index that results are to be like, besides the text.
    like: Option<String>,
    top: Option<usize>,
    /// A folder, as `/api/folders` names it.
    #[serde(rename = "in")]
    folder: Option<String>,
    after: Option<String>,
    longer: Option<f64>,
    rerank: Option<usize>,
    /// The number of an index; the first where none is given.
    index: Option<usize>,
    #[serde(default)]
    format: AnswerFormat,
}

/// The files that a request is about, by what it says of them.
fn files(
    library: &Library,
    folder: &Option<String>,
    after: &Option<String>,
    longer: Option<f64>,
) -> Result<FileFilter, Refusal> {
    limits::check("longer", longer.unwrap_or(0.0), 0.0, 1e7)?;
    let named = |id: &String| {
        let found = library.folders().into_iter().find(|folder| folder_id(folder) == *id);
        found.map(Path::to_path_buf).ok_or_else(|| Refusal::unknown("folder"))
    };
    let within = folder.as_ref().filter(|id| !id.is_empty()).map(named).transpose()?;
    let after_ns = after.as_deref().filter(|day| !day.is_empty()).map(day_ns).transpose()?;
    Ok(FileFilter { within, after_ns, longer })
}

impl SearchParameters {
    fn options(&self, library: &Library, collection: &Collection) -> Result<QueryOptions, Refusal> {
        let (top, rerank) = (self.top.unwrap_or(24), self.rerank.unwrap_or(0));
        limits::check("top", top, 1, MOST_RESULTS)?;
        limits::check("rerank", rerank, 0, MOST_RERANKED)?;
        let files = files(library, &self.folder, &self.after, self.longer)?;
        Ok(QueryOptions { top, rerank, narrow: false, files, clip_windows: collection.clip_windows })
    }

    fn query(&self, library: &Library) -> Result<ComposedQuery, Refusal> {
        limits::check("q, its characters", self.q.chars().count(), 0, MOST_CHARACTERS)?;
        let like = self.like.as_deref().map(|id| library.clip(id)).transpose()?;
        let like = like.map(|named| QueryPart::Vector(named.clip.vector.clone()));
        match (self.q.trim(), like) {
            ("", None) => Err(Refusal::new(StatusCode::BAD_REQUEST, "the query `q` is empty")),
            ("", Some(like)) => Ok(ComposedQuery::of(like)),
            (text, None) => Ok(ComposedQuery::of_words(text)?),
            (text, Some(like)) => Ok(ComposedQuery::of_words(text)?.with(1.0, like)),
        }
    }
}

/// `GET /api/search`.
pub(super) async fn search(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Query<SearchParameters>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(parameters) = parameters.map_err(misread)?;
    let collection = shared.collection(parameters.index)?;
    let library = collection.library();
    let query = parameters.query(&library)?;
    let options = parameters.options(&library, collection)?;
    let found = ask(collection, &library, query, options).await?;
    parameters.format.answer(&library, &parameters.q, found).await
}

/// `POST /api/picture`: the body is the picture.
pub(super) async fn picture(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Query<SearchParameters>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let Query(parameters) = parameters.map_err(misread)?;
    let body = body.map_err(|problem| Refusal::new(problem.status(), problem.body_text()))?;
    let collection = shared.collection(parameters.index)?;
    let library = collection.library();
    let options = parameters.options(&library, collection)?;
    let decoded = tokio::task::spawn_blocking(move || decode_picture(&body)).await;
    let decoded = decoded.map_err(|_| Refusal::fault("the decoder gave up on the picture"))?;
    let frame = decoded.map_err(|problem| {
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("no picture that can be read: {problem}"))
    })?;
    let mut query = ComposedQuery::of(QueryPart::Picture(frame));
    if !parameters.q.trim().is_empty() {
        query = ComposedQuery::of_words(parameters.q.trim())?.and(query);
    }
    let found = ask(collection, &library, query, options).await?;
    parameters.format.answer(&library, &parameters.q, found).await
}

async fn ask(
    collection: &Collection,
    library: &Arc<Library>,
    query: ComposedQuery,
    options: QueryOptions,
) -> Result<QueryResult, Refusal> {
    let library = library.clone();
    collection.jobs.ask(move |model| model.answer(&library.index, &query, library.calibration.as_ref(), &options)).await
}

/// What `GET /api/similar` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SimilarParameters {
    id: String,
    top: Option<usize>,
    #[serde(rename = "in")]
    folder: Option<String>,
    after: Option<String>,
    longer: Option<f64>,
    #[serde(default)]
    format: AnswerFormat,
}

/// `GET /api/similar`: clips of other videos most like a clip; needs no model.
pub(super) async fn similar(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Query<SimilarParameters>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(parameters) = parameters.map_err(misread)?;
    let top = parameters.top.unwrap_or(24);
    limits::check("top", top, 1, MOST_RESULTS)?;
    let library = shared.collection_of(&parameters.id)?.library();
    let named = library.clip(&parameters.id)?;
    let files = files(&library, &parameters.folder, &parameters.after, parameters.longer)?;
    let results = similar_clips(&library.index, named.path, std::slice::from_ref(&named.clip.vector), &files, top)?;
    parameters.format.answer(&library, "", QueryResult { results, ..QueryResult::default() }).await
}

/// What requests about an index take.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IndexParameters {
    /// Its number; the first where none is given.
    index: Option<usize>,
}

/// An index in the list of those that are served.
fn described(collection: &Collection) -> Value {
    let (library, indexing) = (collection.library(), collection.indexing());
    json!({
        "number": collection.number(),
        "index": printable(library.index.dir()),
        "model": library.index.id().model,
        "files": library.index.files().count(),
        "clips": library.index.clips(),
        "words": library.index.words(),
        "running": indexing.running,
    })
}

/// `GET /api/status`.
pub(super) async fn status(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Query<IndexParameters>, QueryRejection>,
) -> Answer {
    let Query(IndexParameters { index }) = parameters.map_err(misread)?;
    let collection = shared.collection(index)?;
    let library = collection.library();
    let IndexingState { folder, running, done, total, watching, problem, report } = collection.indexing();
    let broken = library.index.broken().map(|(path, reason)| json!({"file": printable(path), "reason": reason}));
    let skipped = report.map(|report| report.skipped).unwrap_or_default();
    Ok(Json(json!({
        "indexes": shared.collections.iter().map(|one| described(one)).collect::<Vec<_>>(),
        "index": printable(library.index.dir()),
        "model": library.index.id().model,
        "files": library.index.files().count(),
        "clips": library.index.clips(),
        "words": library.index.words(),
        "broken": broken.collect::<Vec<_>>(),
        "skipped": skipped,
        "calibrated": library.calibration.as_ref().is_some_and(|calibration| calibration.figures.is_some()),
        "ffmpeg": svitt_video::ffmpeg_available(),
        "folder": folder,
        "watching": watching,
        "indexing": {"running": running, "done": done, "total": total},
        "problem": problem,
    })))
}

/// `GET /api/folders`.
pub(super) async fn folders(
    State(shared): State<Arc<Shared>>,
    parameters: Result<Query<IndexParameters>, QueryRejection>,
) -> Answer {
    let Query(IndexParameters { index }) = parameters.map_err(misread)?;
    let library = shared.collection(index)?.library();
    let folders = library.folders().into_iter();
    let folders = folders.map(|folder| json!({"id": folder_id(folder), "folder": printable(folder)}));
    Ok(Json(json!({"folders": folders.collect::<Vec<_>>()})))
}

fn misread(problem: QueryRejection) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, problem.body_text())
}
