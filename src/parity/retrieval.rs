//! `retrieval` and `retrieval_metrics`: score matrices of the dual encoder and after re-ranking, and their figures.

use super::context::{Context, pixels};
use super::fixture::{Fixture, host};
use super::metrics::check_metrics;
use super::report::FileCheck;
use super::tolerance::Kind;
use crate::backend::{SvittBackend, TrainBackend};
use crate::config::ClipEnsemble;
use crate::eval::ensemble::{clip_ensemble, rerank_scores, transposed};
use crate::model::{EncodedText, Svitt, VideoDraws};
use crate::{Error, Result};
use burn::module::AutodiffModule;
use burn::tensor::{Tensor, backend::Backend};
use std::collections::BTreeMap;

/// Scores of all pairs of one model.
struct Pairs {
    videos: usize,
    texts: usize,
    /// Cosines, mean over clips, `[videos, texts]`.
    dual: Vec<f32>,
    /// Matching scores per clip, `[videos, texts]` each.
    joint: Vec<Vec<f32>>,
}

/// Score matrices under one ensemble and length of the short list.
pub struct Matrices {
    /// Re-ranked, `[videos, texts]`.
    pub video_to_text: Vec<f32>,
    /// Re-ranked, `[texts, videos]`.
    pub text_to_video: Vec<f32>,
    /// Dual encoder, `[videos, texts]`.
    pub dual: Vec<f32>,
    /// Texts.
    pub texts: usize,
}

/// Compares every matrix of `retrieval.safetensors`, and the figures of `retrieval_metrics.json` where it is there.
///
/// # Errors
/// Settings or inputs that do not fit.
pub fn check<B: TrainBackend>(
    context: &Context<B>,
    check: &mut FileCheck,
    metrics: Option<&mut FileCheck>,
) -> Result<()> {
    let fixture = context.fixture("retrieval")?;
    let mut pairs = BTreeMap::new();
    let mut all = BTreeMap::new();
    for setting in settings(fixture) {
        let [name, ensemble, k] = split(&setting);
        let Some(case) = context.cases.case("retrieval", Some(name))? else { continue };
        if !pairs.contains_key(name) {
            let model = context.model(&case)?.valid();
            pairs.insert(name.to_string(), score(context, &model, fixture, model.video.config().frames)?);
        }
        let (Some(ensemble), Some(k)) = (named(ensemble), k.strip_prefix('k').and_then(|k| k.parse().ok())) else {
            continue;
        };
        let matrices = pairs[name].matrices(ensemble, k)?;
        for (part, ours) in [
            ("i2t_x", &matrices.video_to_text),
            ("t2i_x", &matrices.text_to_video),
            ("i2t", &matrices.dual),
        ] {
            let name = format!("{setting}.{part}");
            if let Some(reference) = fixture.find(&name) {
                check.compare(name, Kind::Hidden, ours, &reference.values);
            }
        }
        all.insert(setting, matrices);
    }
    metrics.map_or(Ok(()), |metrics| check_metrics(context, &all, check, metrics))
}

/// `<model>.<ensemble>.k<k>` of every matrix.
fn settings(fixture: &Fixture) -> Vec<String> {
    let names = fixture.names();
    let mut settings: Vec<String> =
        names.iter().filter_map(|name| name.rsplit_once('.').map(|(setting, _)| setting.to_string())).collect();
    settings.sort();
    settings.dedup();
    settings
}

fn split(setting: &str) -> [&str; 3] {
    let (rest, k) = setting.rsplit_once('.').unwrap_or((setting, ""));
    let (model, ensemble) = rest.rsplit_once('.').unwrap_or((rest, ""));
    [model, ensemble, k]
}

/// The ensemble called `name`.
pub fn named(name: &str) -> Option<ClipEnsemble> {
    [ClipEnsemble::Lse, ClipEnsemble::Mean, ClipEnsemble::Max].into_iter().find(|ensemble| ensemble.name() == name)
}

/// The clips of `frames` frames that `video` `[videos, all frames, 3, size, size]` consists of.
pub fn clips<B: Backend>(video: Tensor<B, 5>, frames: usize) -> Vec<Tensor<B, 5>> {
    let [videos, all, ..] = video.dims();
    (0..all / frames.max(1)).map(|i| video.clone().slice([0..videos, i * frames..(i + 1) * frames])).collect()
}

fn score<B: TrainBackend>(
    context: &Context<B>,
    model: &Svitt<B::InnerBackend>,
    fixture: &Fixture,
    frames: usize,
) -> Result<Pairs> {
    let device = &context.device;
    let mask: Tensor<B::InnerBackend, 2> = fixture.float("attention_mask", device)?;
    let text = model.encode_text(fixture.int("input_ids", device)?, mask.clone());
    let video = pixels(fixture, "video_u8", None, device)?;
    let (videos, texts) = (video.dims()[0], mask.dims()[0]);
    let (mut cosines, mut joint) = (Vec::new(), Vec::new());
    for clip in clips(video, frames) {
        let clip = model.encode_video(clip, &VideoDraws::evaluation(0))?;
        cosines.push(host(clip.feature.matmul(text.feature.clone().transpose())));
        let of_video = |video: usize| matching(model, &text, &mask, clip.embeds.clone().slice([video..video + 1]));
        joint.push((0..videos).flat_map(of_video).collect());
    }
    if joint.is_empty() {
        return Err(fixture.bad(format!("`video_u8` has no clip of {frames} frames")));
    }
    Ok(Pairs { videos, texts, dual: clip_ensemble(&cosines, ClipEnsemble::Mean), joint })
}

/// Matching scores of all texts with one video `[1, tokens, d]`.
fn matching<B: SvittBackend>(
    model: &Svitt<B>,
    text: &EncodedText<B>,
    mask: &Tensor<B, 2>,
    video: Tensor<B, 3>,
) -> Vec<f32> {
    let logits = model.match_logits(text.embeds.clone(), mask.clone(), video);
    let texts = logits.dims()[0];
    host(logits.slice([0..texts, 1..2]))
}

impl Pairs {
    fn matrices(&self, ensemble: ClipEnsemble, k: usize) -> Result<Matrices> {
        let joint = clip_ensemble(&self.joint, ensemble);
        let (videos, texts) = (self.videos, self.texts);
        let video_to_text = rerank_scores(&self.dual, texts, k, |video, list| {
            Ok::<_, Error>(list.iter().map(|text| joint[video * texts + text]).collect())
        })?;
        let text_to_video = rerank_scores(&transposed(&self.dual, texts), videos, k, |text, list| {
            Ok::<_, Error>(list.iter().map(|video| joint[video * texts + text]).collect())
        })?;
        Ok(Matrices { video_to_text, text_to_video, dual: self.dual.clone(), texts })
    }
}
