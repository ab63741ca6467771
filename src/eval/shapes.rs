//! What only a generated gallery can tell: held-out combinations, twins, ceilings.

use super::metrics::{recall_where, twin_scores_of};
use super::report::{ShapesFigures, rounded};
use super::{RetrievalOutcome, TextBank};
use crate::Result;
use crate::data::shapes::{Gallery, ShapesConfig};
use crate::model::Svitt;
use svitt_ops::SvittBackend;

/// Shared-space features `[texts, e]` of `texts`.
pub fn features<B: SvittBackend>(model: &Svitt<B>, texts: &[Vec<i64>], device: &B::Device) -> Vec<f32> {
    TextBank::encode(model, texts, 96, device).features
}

/// The figures of `outcome` on the gallery of `config` at `frames` frames; `reversed` is the same with frames played
/// backwards, `encode` makes shared-space features of captions.
///
/// # Errors
/// Settings that do not fit together.
pub fn figures(
    config: &ShapesConfig,
    frames: usize,
    outcome: &RetrievalOutcome,
    reversed: Option<&RetrievalOutcome>,
    encode: &dyn Fn(&[&str]) -> Vec<f32>,
) -> Result<ShapesFigures> {
    let gallery = Gallery::new(config, frames)?;
    let best_ranks = outcome.dual[0].best_ranks();
    let seen = gallery.entries().iter().map(|entry| entry.seen);
    let recall = |wanted: bool| recall_where(best_ranks, seen.clone().map(|seen| seen == wanted)).map_or(0.0, rounded);
    let whole = best_ranks.len() == gallery.entries().len();
    let ceilings = if whole { Some(gallery.ceilings()?) } else { None };
    let twins = reversed.filter(|_| whole).map(|reversed| {
        let twins = gallery.twins();
        let captions: Vec<&str> = twins.iter().map(|twin| twin.reversed_caption.as_str()).collect();
        let other = encode(&captions);
        let width = outcome.text_features.len() / best_ranks.len().max(1);
        let videos = [&outcome.video_features, &reversed.video_features].map(Vec::as_slice);
        let entries = twins.iter().map(|twin| twin.entry);
        twin_scores_of(entries, videos, [&outcome.text_features, &other], width)
    });
    Ok(ShapesFigures { r1_seen: recall(true), r1_unseen: recall(false), twins, ceilings })
}
