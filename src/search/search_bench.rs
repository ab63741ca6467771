//! Search time, measured on random vectors, against the time that reading their bytes takes.

use crate::Result;
use crate::index::{ClipEmbedding, Index, IndexWriter, ModelId, Stamp, VectorPrecision};
use crate::profile::private_memory_mb;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;
use svitt_ops::rng::Rng;

/// Clips of one file of the measured index.
const CLIPS: usize = 10;

/// Searches measured; the median counts.
const REPEATS: usize = 51;

/// Results of a search, and those that are compared with an exact one's.
const TOP: usize = 10;

/// Times of one search, milliseconds, on all cores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchSpeed {
    /// Clips searched.
    pub clips: usize,
    /// Width of a vector.
    pub dim: usize,
    /// What vectors are stored in.
    pub precision: VectorPrecision,
    /// Opening the index, all checksums verified: once per command.
    pub open_ms: f64,
    /// The first query, which also notes which row belongs to which file.
    pub first_search_ms: f64,
    /// One query against all clips, the best ten sorted: median.
    pub search_ms: f64,
    /// Adding up the bytes of all vectors, on the same cores: median.
    pub sum_ms: f64,
    /// MB of vectors, mapped or in memory.
    pub vectors_mb: f64,
    /// MB that the open index takes besides mapped vectors; none where the system does not say.
    pub memory_mb: Option<f64>,
    /// Percent of the ten best by single-precision vectors that are among the ten found, over all queries.
    pub recall: f64,
    /// Cores.
    pub threads: usize,
}

/// Fills an index in `folder` with `clips` random vectors of `dim` numbers, opens it and searches it.
///
/// # Errors
/// The disk refuses.
pub fn measure_search(folder: &Path, clips: usize, dim: usize, precision: VectorPrecision) -> Result<SearchSpeed> {
    let queries: Vec<Vec<f32>> = (0..REPEATS).map(|number| vector(u64::MAX - number as u64, dim)).collect();
    fill(folder, clips, dim, precision)?;
    let before = private_memory_mb();
    let start = Instant::now();
    let index = Index::open(folder)?;
    let open_ms = milliseconds(start);
    let start = Instant::now();
    index.search(&queries[0], TOP)?;
    let first_search_ms = milliseconds(start);
    let (mut times, mut sums, mut found) = (Vec::new(), Vec::new(), Vec::new());
    for query in &queries {
        // In turns, so that whatever else runs on the machine slows both.
        let start = Instant::now();
        std::hint::black_box(index.sum_of_bytes());
        sums.push(milliseconds(start));
        let start = Instant::now();
        let hits = index.search(query, TOP)?;
        times.push(milliseconds(start));
        found.push(hits.iter().map(|hit| (hit.path.to_path_buf(), hit.clip.start as usize)).collect());
    }
    let memory_mb = private_memory_mb().zip(before).map(|(after, before)| after - before);
    Ok(SearchSpeed {
        clips: index.clips(),
        dim,
        precision,
        open_ms,
        first_search_ms,
        search_ms: median(times),
        sum_ms: median(sums),
        vectors_mb: index.vector_bytes() as f64 / 1e6,
        memory_mb,
        recall: recall(&queries, &found, clips, dim),
        threads: rayon::current_num_threads(),
    })
}

fn fill(folder: &Path, clips: usize, dim: usize, precision: VectorPrecision) -> Result<()> {
    let id = ModelId::of_no_model("noise", dim);
    let mut indexer = IndexWriter::open(folder, &id)?;
    indexer.set_precision(precision);
    for file in 0..clips.div_ceil(CLIPS) {
        let clip = |n: usize| ClipEmbedding {
            start: n as f64,
            end: n as f64 + 1.0,
            vector: vector((file * CLIPS + n) as u64, dim),
        };
        let stamp = Stamp { size: 0, modified_ns: 0, clip_windows: String::new() };
        let count = CLIPS.min(clips - file * CLIPS);
        indexer.add(&name(file), stamp, (0..count).map(clip).collect())?;
    }
    indexer.finish().map(drop)
}

fn name(file: usize) -> PathBuf {
    format!("{file:08}.mp4").into()
}

/// The unit vector number `number`: uniform numbers, scaled.
fn vector(number: u64, dim: usize) -> Vec<f32> {
    let mut rng = Rng::new(0, &[number]);
    let mut vector: Vec<f32> = (0..dim).map(|_| rng.between(-1.0, 1.0) as f32).collect();
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|x| *x /= length);
    vector
}

/// Percent of the best by exact products that are in `found`, which has one set per query.
fn recall(queries: &[Vec<f32>], found: &[HashSet<(PathBuf, usize)>], clips: usize, dim: usize) -> f64 {
    let exact = |number: usize| -> Vec<f32> {
        let row = vector(number as u64, dim);
        queries.iter().map(|query| product(&row, query)).collect()
    };
    let best = (0..clips)
        .into_par_iter()
        .fold(
            || vec![Vec::new(); queries.len()],
            |mut best: Vec<Vec<(f32, usize)>>, number| {
                best.iter_mut().zip(exact(number)).for_each(|(best, score)| keep(best, (score, number)));
                best
            },
        )
        .reduce(
            || vec![Vec::new(); queries.len()],
            |mut all, more| {
                all.iter_mut().zip(more).for_each(|(all, more)| more.into_iter().for_each(|row| keep(all, row)));
                all
            },
        );
    let is_found = |found: &HashSet<_>, number: usize| found.contains(&(name(number / CLIPS), number % CLIPS));
    let hits = best.iter().zip(found).map(|(best, found)| best.iter().filter(|row| is_found(found, row.1)).count());
    let wanted = queries.len() * TOP.min(clips);
    100.0 * hits.sum::<usize>() as f64 / wanted.max(1) as f64
}

/// The product of two vectors, without any of the code that is measured.
fn product(x: &[f32], y: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    for (x, y) in x.chunks(lanes.len()).zip(y.chunks(lanes.len())) {
        lanes.iter_mut().zip(x.iter().zip(y)).for_each(|(lane, (x, y))| *lane += x * y);
    }
    lanes.iter().sum()
}

/// Keeps `row` if it is among the best of `best`, which is sorted.
fn keep(best: &mut Vec<(f32, usize)>, row: (f32, usize)) {
    let place = best.partition_point(|kept| kept.0 > row.0 || (kept.0 == row.0 && kept.1 < row.1));
    if place < TOP {
        best.insert(place, row);
        best.truncate(TOP);
    }
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
