//! Which clips lie closest to a query.

use super::entry::{Content, length, normalised};
use super::{ClipEmbedding, Index};
use crate::{Error, Result};
use std::cmp::Ordering;
use std::path::Path;

/// A clip found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit<'a> {
    /// Product of the query's unit vector and the clip's, -1 to 1: their cosine, or, where the model's clip vectors are
    /// means over frames, the mean of the frames' cosines. [`Index::nearest`] has cosines throughout.
    pub score: f32,
    /// The file.
    pub path: &'a Path,
    /// The clip in it.
    pub clip: &'a ClipEmbedding,
}

impl Index {
    /// The `top` clips with the highest score for `query` `[dim]`, best first; of equal ones the earlier file and
    /// time first. Every clip is compared: 10 000 clips of 256 numbers take a few milliseconds on one core.
    ///
    /// # Errors
    /// The query has another width, or no direction.
    pub fn search(&self, query: &[f32], top: usize) -> Result<Vec<Hit<'_>>> {
        let query = self.checked(query)?;
        Ok(self.ranked(top, |clip| dot(&query, &clip.vector)))
    }

    /// The `top` clips most like any of `clips` `[dim]`: a clip's score is its cosine to the nearest of them, whatever
    /// the lengths of both.
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn nearest<V: AsRef<[f32]>>(&self, clips: &[V], top: usize) -> Result<Vec<Hit<'_>>> {
        let queries = clips.iter().map(|clip| self.checked(clip.as_ref())).collect::<Result<Vec<_>>>()?;
        Ok(self.ranked(top, |clip| {
            let product = queries.iter().map(|query| dot(query, &clip.vector)).fold(f32::NEG_INFINITY, f32::max);
            product / length(&clip.vector) as f32
        }))
    }

    fn ranked(&self, top: usize, score: impl Fn(&ClipEmbedding) -> f32) -> Vec<Hit<'_>> {
        let mut hits: Vec<Hit<'_>> = Vec::new();
        for (path, entry) in &self.files {
            if let Content::Clips(clips) = &entry.content {
                hits.extend(clips.iter().map(|clip| Hit { score: score(clip), path, clip }));
            }
        }
        if top < hits.len() && top > 0 {
            hits.select_nth_unstable_by(top - 1, better);
        }
        hits.truncate(top);
        hits.sort_unstable_by(better);
        hits
    }

    fn checked(&self, query: &[f32]) -> Result<Vec<f32>> {
        let dim = self.id.dim;
        if query.len() != dim {
            let problem = format!("the query has {} numbers, embeddings here have {dim}", query.len());
            return Err(Error::file(&self.dir, problem, "embed the query with the model of the index"));
        }
        normalised(query).ok_or_else(|| {
            Error::setting("query", "its embedding is zero or not finite", "check the checkpoint's weights")
        })
    }
}

fn better(a: &Hit<'_>, b: &Hit<'_>) -> Ordering {
    b.score.total_cmp(&a.score).then_with(|| a.path.cmp(b.path)).then_with(|| a.clip.start.total_cmp(&b.clip.start))
}

/// Eight running sums, which fill a vector register.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0f32; 8];
    for (x, y) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
}
