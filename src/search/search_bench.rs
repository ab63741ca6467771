//! Search time, measured on random vectors.

use crate::Result;
use crate::config::Sparsity;
use crate::index::{ClipEmbedding, Index, IndexWriter, ModelId, Stamp};
use serde::Serialize;
use std::path::Path;
use std::time::Instant;
use svitt_ops::rng::Rng;

/// Clips of one file of the measured index.
const CLIPS: usize = 10;

/// Searches measured; the median counts.
const REPEATS: usize = 21;

/// Times of one search, milliseconds, on one core.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchSpeed {
    /// Clips searched.
    pub clips: usize,
    /// Width of a vector.
    pub dim: usize,
    /// Reading the index into memory, checksums verified: once per command.
    pub open_ms: f64,
    /// One query against all clips, the best ten sorted: median.
    pub search_ms: f64,
}

/// Fills an index in `folder` with `clips` random vectors of `dim` numbers, opens it and searches it.
///
/// # Errors
/// The disk refuses.
pub fn measure_search(folder: &Path, clips: usize, dim: usize) -> Result<SearchSpeed> {
    let id = ModelId {
        model: "noise".into(),
        weights: "none".into(),
        configuration: "none".into(),
        sparsity: Sparsity::default(),
        vocabulary: "none".into(),
        dim,
    };
    let mut rng = Rng::new(0, &[]);
    let mut vector = || (0..dim).map(|_| rng.between(-1.0, 1.0) as f32).collect::<Vec<_>>();
    let mut indexer = IndexWriter::open(folder, &id)?;
    for file in 0..clips.div_ceil(CLIPS) {
        let count = CLIPS.min(clips - file * CLIPS);
        let clip = |n: usize| ClipEmbedding { start: n as f64, end: n as f64 + 1.0, vector: vector() };
        let stamp = Stamp { size: 0, modified_ns: 0, clip_windows: String::new() };
        indexer.add(Path::new(&format!("{file:06}.mp4")), stamp, (0..count).map(clip).collect())?;
    }
    indexer.finish()?;
    let start = Instant::now();
    let index = Index::open(folder)?;
    let open_ms = start.elapsed().as_secs_f64() * 1e3;
    let query = vector();
    let mut times = Vec::with_capacity(REPEATS);
    for _ in 0..REPEATS {
        let start = Instant::now();
        index.search(&query, 10)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(SearchSpeed { clips: index.clips(), dim, open_ms, search_ms: times[REPEATS / 2] })
}
