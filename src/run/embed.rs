//! Features of a manifest in one file, by the name of a backend.

use super::ModelRequest;
use crate::Result;
use crate::backend::{BackendTask, dispatch};
use crate::data::import::Columns;
use crate::eval::EncodeOptions;
#[cfg(feature = "cli")]
use crate::limits::{self, count};
use crate::progress::ProgressSink;
use crate::search::{self, EmbedOptions, Embedder, EmbeddingIndex};
use std::path::{Path, PathBuf};
use svitt_ops::TrainBackend;

/// Write the features of a manifest's videos or texts as .safetensors or .npy
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct EmbedRequest {
    /// Annotations in any known format
    pub manifest: PathBuf,
    /// A file that ends in .safetensors or .npy; ids go into a .json beside it
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub out: PathBuf,
    /// Embed the texts instead of the videos
    #[cfg_attr(feature = "cli", arg(long))]
    pub texts: bool,
    /// Folder of the videos; the manifest's by default
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR"))]
    pub media: Option<PathBuf>,
    /// Names of columns of the manifest.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub columns: Columns,
    /// The model.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub model: ModelRequest,
    /// Clips per video; the mean of their features is written
    #[cfg_attr(feature = "cli", arg(long, value_name = "K", default_value_t = 1, value_parser = count(1, limits::CLIPS)))]
    pub clips: usize,
    /// Videos or texts per forward
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", default_value_t = 8, value_parser = count(1, limits::BATCH)))]
    pub batch: usize,
    /// Pass over videos that cannot be read instead of stopping
    #[cfg_attr(feature = "cli", arg(long))]
    pub allow_missing: bool,
    /// Who is told how far it is.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub progress: ProgressSink,
}

/// Embeds the videos or texts of a manifest; a run that was stopped goes on where it was.
///
/// # Errors
/// A backend or checkpoint that is not there, a manifest or video that cannot be read, an output that exists already.
pub fn embed(request: &EmbedRequest) -> Result<EmbeddingIndex> {
    let (backend, folder) = (request.model.backend()?, request.model.folder()?);
    dispatch(backend, EmbedTask { request, folder: &folder })?
}

struct EmbedTask<'a> {
    request: &'a EmbedRequest,
    folder: &'a Path,
}

impl BackendTask for EmbedTask<'_> {
    type Output = Result<EmbeddingIndex>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let EmbedRequest { manifest, media, model, batch, allow_missing, progress, .. } = self.request;
        let (precision, arithmetic) = model.arithmetic::<B>(&device)?;
        let embedder = Embedder::<B::InnerBackend>::open(self.folder, model.vocab.as_deref(), &device)?;
        let embedder = embedder.with_precision(precision, arithmetic);
        let encoding = EncodeOptions {
            allow_missing: *allow_missing,
            batch: *batch,
            progress: progress.clone(),
            ..EncodeOptions::default()
        };
        let options = EmbedOptions {
            manifest: manifest.clone(),
            media: media.clone(),
            columns: self.request.columns.clone(),
            texts: self.request.texts,
            out: self.request.out.clone(),
            clips: self.request.clips,
            encoding,
        };
        search::embed(&embedder, &options)
    }
}
