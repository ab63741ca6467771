//! Measures on a manifest how evidence differs between queries for what an index holds and for what it does not.

use super::calibration::{Calibration, CalibrationFigures, ErrorRates, best_threshold};
use super::{ClipWindows, ComposedQuery, Embedder, FileFilter, QueryOptions};
use crate::data::import::{AnnotationOptions, import};
use crate::index::Index;
use crate::progress::ProgressSink;
use crate::{Error, Result};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use svitt_ops::SvittBackend;

/// Texts below which rates in percent say nothing.
const FEWEST: usize = 20;

/// What thresholds are chosen by.
#[derive(Clone, Debug)]
pub struct CalibrateOptions {
    /// Annotations in any known format; their videos are in the index.
    pub manifest: PathBuf,
    /// The folder of its videos; the manifest's own by default.
    pub media: Option<PathBuf>,
    /// Texts at most, taken evenly from the manifest.
    pub texts: usize,
    /// Best clips that the fusion encoder looks at.
    pub rerank: usize,
    /// Who is told how far it is.
    pub progress: ProgressSink,
}

/// Chooses the thresholds of `index` by every second text of a manifest, measures them on the others, and keeps them
/// in the index directory. A text is a query twice: with its videos in the index, and without them.
///
/// # Errors
/// A manifest that cannot be read, too few texts whose videos are in the index, an index of another model.
pub fn calibrate<B: SvittBackend>(
    embedder: &Embedder<B>,
    index: &Index,
    options: &CalibrateOptions,
) -> Result<Calibration> {
    let texts = texts(index, options)?;
    let Some(mut calibration) = embedder.calibration(index)? else {
        return Err(Error::file(index.dir(), "holds no clips", "index the manifest's videos first"));
    };
    let mut samples = [Samples::default(), Samples::default()];
    let mut ticker = options.progress.counter("asking texts", texts.len());
    for (number, (text, own)) in texts.iter().enumerate() {
        samples[number % 2].ask(embedder, index, &calibration, (text, own), options.rerank)?;
        ticker.tick(1);
    }
    let [chosen, measured] = samples;
    calibration.vectors = best_threshold(&chosen.vectors[0], &chosen.vectors[1]);
    calibration.both = best_threshold(&chosen.both[0], &chosen.both[1]);
    let rates = |[wanted, unwanted]: &[Vec<f32>; 2], threshold| ErrorRates::of(wanted, unwanted, threshold);
    calibration.figures = Some(CalibrationFigures {
        chosen_by: chosen.both[0].len(),
        measured_on: measured.both[0].len(),
        both: rates(&measured.both, calibration.both),
        vectors: rates(&measured.vectors, calibration.vectors),
    });
    calibration.write(index.dir())?;
    Ok(calibration)
}

/// Texts of the manifest with the files of the index that they describe.
fn texts(index: &Index, options: &CalibrateOptions) -> Result<Vec<(String, HashSet<PathBuf>)>> {
    let imported = import(&options.manifest, &AnnotationOptions::default())?;
    let media = options.media.as_deref().or(options.manifest.parent()).unwrap_or(Path::new(""));
    let known: HashSet<&Path> = index.files().filter(|path| !index.clips_of(path).is_empty()).collect();
    let mut texts: BTreeMap<String, HashSet<PathBuf>> = BTreeMap::new();
    for record in &imported.records {
        let files = record.videos().filter_map(|name| media.join(name).canonicalize().ok());
        let files: HashSet<PathBuf> = files.filter(|path| known.contains(path.as_path())).collect();
        for caption in record.captions.iter().filter(|caption| !caption.trim().is_empty() && !files.is_empty()) {
            texts.entry(caption.clone()).or_default().extend(files.iter().cloned());
        }
    }
    if texts.len() < FEWEST {
        let problem = format!("has {} texts whose videos are in the index; {FEWEST} are needed", texts.len());
        return Err(Error::file(
            &options.manifest,
            problem,
            "index its videos first, and name their folder with option `media`",
        ));
    }
    let step = texts.len().div_ceil(options.texts.max(FEWEST));
    Ok(texts.into_iter().step_by(step).collect())
}

/// Evidence of the best result per text: where its videos are in the index, and where they are not.
#[derive(Default)]
struct Samples {
    both: [Vec<f32>; 2],
    vectors: [Vec<f32>; 2],
}

impl Samples {
    fn ask<B: SvittBackend>(
        &mut self,
        embedder: &Embedder<B>,
        index: &Index,
        calibration: &Calibration,
        (text, own): (&str, &HashSet<PathBuf>),
        rerank: usize,
    ) -> Result<()> {
        let query = ComposedQuery::text(text);
        let clip_windows = ClipWindows::new(10.0, 0.5, embedder.frames())?;
        // Once more than is looked at, for the text's own videos are then left out.
        let own_clips = own.iter().map(|path| index.clips_of(path).len()).sum::<usize>();
        let rerank = rerank.max(1) + own_clips.min(rerank.max(1));
        let options = QueryOptions { top: rerank, rerank, narrow: false, files: FileFilter::default(), clip_windows };
        let found = embedder.query(index, &query, Some(calibration), &options)?.results;
        for (side, without) in [false, true].into_iter().enumerate() {
            let left = found.iter().filter(|clip| !(without && own.contains(&clip.path)));
            let (mut both, mut vectors) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
            for clip in left.filter(|clip| clip.log_odds.is_some()) {
                both = both.max(calibration.evidence(clip));
                vectors = vectors.max(calibration.evidence(clip) - clip.log_odds.unwrap_or(0.0));
            }
            self.both[side].push(both);
            self.vectors[side].push(vectors);
        }
        Ok(())
    }
}
