//! What only a generated gallery can tell: held-out combinations, twins, ceilings.

use super::metrics::twin_scores;
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
    let recall = |seen: bool| {
        let of = gallery.entries().iter().zip(best_ranks).filter(|(entry, _)| entry.seen == seen);
        let (hits, all) = of.fold((0, 0), |(hits, all), (_, place)| (hits + usize::from(*place == Some(0)), all + 1));
        rounded(100.0 * hits as f64 / f64::from(all.max(1)))
    };
    let whole = best_ranks.len() == gallery.entries().len();
    let ceilings = if whole { Some(gallery.ceilings()?) } else { None };
    let twins = reversed.filter(|_| whole).map(|reversed| {
        let twins = gallery.twins();
        let captions: Vec<&str> = twins.iter().map(|twin| twin.reversed_caption.as_str()).collect();
        let other = encode(&captions);
        let width = outcome.text_features.len() / best_ranks.len().max(1);
        let row = |features: &[f32], index: usize| features[index * width..(index + 1) * width].to_vec();
        let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        twin_scores(twins.iter().enumerate().map(|(index, twin)| {
            let texts = [row(&outcome.text_features, twin.entry), row(&other, index)];
            let clips = [&outcome.video_features, &reversed.video_features].map(|clips| row(clips, twin.entry));
            clips.map(|clip| [dot(&clip, &texts[0]), dot(&clip, &texts[1])])
        }))
    });
    Ok(ShapesFigures { r1_seen: recall(true), r1_unseen: recall(false), twins, ceilings })
}
