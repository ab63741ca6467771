//! Pictures and videos of indexed clips.

use super::library::Library;
use super::refusal::Refusal;
use super::state::Shared;
use crate::search::{self, read_span};
use crate::{Error, Result};
use axum::body::Body;
use axum::extract::{Path as UrlPath, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, RgbImage, imageops};
use serde::Deserialize;
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use svitt_video::encode::{PreviewSettings, preview as encode_preview};
use svitt_video::{ReaderOptions, VideoReader};
use tempfile::TempDir;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, spawn_blocking};
use tower_http::services::ServeFile;

/// Moments of a clip that are shown.
const MOMENTS: usize = 4;

/// The box a picture is fitted into, pixels.
const WIDTH: u32 = 400;
const HEIGHT: u32 = 300;

/// JPEG quality, of 100.
const QUALITY: u8 = 82;

/// Clips whose pictures are kept: some 40 MB.
const MOST_KEPT: usize = 500;

/// Previews that are kept.
const MOST_PREVIEWS: usize = 20;

/// Files that are decoded at a time, and that are transcoded.
const DECODERS: usize = 2;
const ENCODERS: usize = 1;

/// The pictures of a clip as JPEG.
type Moments = Arc<Vec<Vec<u8>>>;

/// Pictures and previews that were made already.
pub(super) struct MediaCache {
    moments: Mutex<Kept<Moments>>,
    previews: Mutex<Kept<PathBuf>>,
    folder: TempDir,
    decoders: Arc<Semaphore>,
    encoders: Arc<Semaphore>,
}

/// The newest values under their keys.
struct Kept<T> {
    values: HashMap<String, T>,
    order: VecDeque<String>,
    most: usize,
}

impl<T: Clone> Kept<T> {
    fn new(most: usize) -> Self {
        Self { values: HashMap::new(), order: VecDeque::new(), most }
    }

    fn get(&self, key: &str) -> Option<T> {
        self.values.get(key).cloned()
    }

    /// Keeps `value`; returns the one that had to go.
    fn put(&mut self, key: String, value: T) -> Option<T> {
        if self.values.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        let oldest = if self.order.len() > self.most { self.order.pop_front() } else { None };
        oldest.and_then(|oldest| self.values.remove(&oldest))
    }
}

impl MediaCache {
    /// An empty one.
    ///
    /// # Errors
    /// There is no place for previews.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("svitt-previews-").tempdir();
        Ok(Self {
            moments: Mutex::new(Kept::new(MOST_KEPT)),
            previews: Mutex::new(Kept::new(MOST_PREVIEWS)),
            folder: folder.map_err(|problem| Error::io(std::env::temp_dir(), &problem))?,
            decoders: Arc::new(Semaphore::new(DECODERS)),
            encoders: Arc::new(Semaphore::new(ENCODERS)),
        })
    }
}

/// A clip that may be shown: its file's real place, its span, and a key that changes when the file does.
struct Source {
    path: PathBuf,
    span: [f64; 2],
    key: String,
}

impl Source {
    fn of(library: &Library, id: &str) -> Result<Self, Refusal> {
        let named = library.clip(id)?;
        let path = library.shown(named.path)?;
        let modified = library.index.stamp(named.path).map_or(0, |stamp| stamp.modified_ns);
        Ok(Self { path, span: [named.clip.start, named.clip.end], key: format!("{id}-{modified}") })
    }
}

/// What `GET /thumb/ID` takes.
#[derive(Debug, Deserialize)]
pub(super) struct ThumbnailParameters {
    /// Which of the four moments; the second by default.
    n: Option<usize>,
}

/// `GET /thumb/ID`: a moment of a clip.
pub(super) async fn thumbnail(
    State(shared): State<Arc<Shared>>,
    UrlPath(id): UrlPath<String>,
    Query(parameters): Query<ThumbnailParameters>,
) -> Result<Response, Refusal> {
    let source = Source::of(&shared.collection_of(&id)?.library(), &id)?;
    let moment = parameters.n.unwrap_or(1);
    let moments = moments(&shared.media, source).await?;
    let picture = moments.get(moment).or(moments.last()).ok_or_else(|| Refusal::unknown("moment"))?;
    let headers = [(CONTENT_TYPE, "image/jpeg"), (CACHE_CONTROL, "private, max-age=600")];
    Ok((headers, picture.clone()).into_response())
}

async fn moments(media: &MediaCache, source: Source) -> Result<Moments, Refusal> {
    let kept = || media.moments.lock().unwrap_or_else(PoisonError::into_inner).get(&source.key);
    if let Some(moments) = kept() {
        return Ok(moments);
    }
    let place = media.decoders.clone().acquire_owned().await.map_err(|_| Refusal::busy())?;
    // Four pictures of a clip are asked for at once; the first one makes them all.
    if let Some(moments) = kept() {
        return Ok(moments);
    }
    let (path, span) = (source.path.clone(), source.span);
    let made = on_thread(place, move || decode_moments(&path, span)).await;
    let made = Arc::new(made.map_err(|_| Refusal::fault("the decoder gave up on the file"))??);
    media.moments.lock().unwrap_or_else(PoisonError::into_inner).put(source.key, made.clone());
    Ok(made)
}

/// Runs `work` where it may take its time. It keeps its place until it is done, though nobody may wait for it any more.
async fn on_thread<T: Send + 'static>(
    place: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::result::Result<T, JoinError> {
    let placed = move || {
        let done = work();
        drop(place);
        done
    };
    spawn_blocking(placed).await
}

fn decode_moments(path: &Path, span: [f64; 2]) -> Result<Vec<Vec<u8>>, Refusal> {
    let mut reader = VideoReader::open(path, &ReaderOptions::default()).map_err(Error::from)?;
    let frames = read_span(&mut reader, span, MOMENTS, search::FrameChoice::default())
        .map_err(Error::from)?
        .ok_or_else(|| Refusal::unknown("moment"))?;
    let (width, height) = (frames.width as u32, frames.height as u32);
    let scale = (f64::from(WIDTH) / f64::from(width)).min(f64::from(HEIGHT) / f64::from(height)).min(1.0);
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    let encode = |index: usize| {
        let whole = RgbImage::from_raw(width, height, frames.frame(index).to_vec())?;
        let small = imageops::thumbnail(&whole, side(width), side(height));
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
        encoder.encode(&small, small.width(), small.height(), ExtendedColorType::Rgb8).ok()?;
        Some(bytes)
    };
    Ok((0..frames.count).filter_map(encode).collect())
}

/// `GET /video/ID`: an indexed file, ranges of it where they are asked for.
pub(super) async fn video(
    State(shared): State<Arc<Shared>>,
    UrlPath(id): UrlPath<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let path = {
        let library = shared.collection_of(&id)?.library();
        library.shown(library.file(&id)?)?
    };
    send(&path, content_type(&path), request).await
}

/// `GET /preview/ID`: a clip as every browser can play it.
pub(super) async fn preview(
    State(shared): State<Arc<Shared>>,
    UrlPath(id): UrlPath<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let source = Source::of(&shared.collection_of(&id)?.library(), &id)?;
    let media = &shared.media;
    let kept = || media.previews.lock().unwrap_or_else(PoisonError::into_inner).get(&source.key);
    if let Some(path) = kept() {
        return send(&path, "video/mp4", request).await;
    }
    let place = media.encoders.clone().acquire_owned().await.map_err(|_| Refusal::busy())?;
    let path = match kept() {
        Some(path) => path,
        None => {
            let target = media.folder.path().join(format!("{}.mp4", source.key));
            let (from, to, span) = (source.path, target.clone(), source.span);
            let made = on_thread(place, move || encode_preview(&from, &to, span, PreviewSettings::default())).await;
            made.map_err(|_| Refusal::fault("the encoder gave up on the file"))?.map_err(Error::from)?;
            let old = media.previews.lock().unwrap_or_else(PoisonError::into_inner).put(source.key, target.clone());
            // One that cannot be deleted goes with its folder.
            old.into_iter().for_each(|old| drop(std::fs::remove_file(old)));
            target
        }
    };
    send(&path, "video/mp4", request).await
}

async fn send(path: &Path, kind: &'static str, request: Request) -> Result<Response, Refusal> {
    let sent = ServeFile::new(path).try_call(request).await;
    let mut response = sent.map_err(|_| Refusal::fault("the file cannot be read"))?.map(Body::new).into_response();
    if response.status() == StatusCode::NOT_FOUND {
        return Err(Refusal::unknown("video"));
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

/// The type of a video by its extension; one that no browser knows is no type that it could take for a page.
fn content_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "mp4" | "m4v" | "mov" | "3gp" | "3g2" => "video/mp4",
        "webm" => "video/webm",
        "ogv" => "video/ogg",
        "mkv" => "video/x-matroska",
        _ => "application/octet-stream",
    }
}
