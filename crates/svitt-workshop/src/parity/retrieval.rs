//! `retrieval` and `retrieval_metrics`: score matrices of the dual encoder and after re-ranking, and their figures,
//! by the code that evaluates benchmarks.

use super::context::{ParityContext, pixels};
use super::fixture::Fixture;
use super::metrics::{ScoreMatrices, check_metrics};
use super::report::FileCheck;
use super::tolerance::TensorKind;
use burn::module::AutodiffModule;
use burn::tensor::{Int, Tensor, backend::Backend};
use std::collections::BTreeMap;
use svitt::Result;
use svitt::config::ClipEnsemble;
use svitt::eval::{MatchScorer, TextBank, VideoBank, dual_scores, encode_clips, mean_features, rerank};
use svitt::model::{Svitt, VideoDraws};
use svitt_ops::{SvittBackend, TrainBackend};

/// Texts encoded or matched at a time; the test sets are smaller or larger than it, so that batches have tails.
const BATCH: usize = 4;

/// Everything encoded by one model.
pub struct EncodedSet<B: SvittBackend> {
    model: Svitt<B>,
    videos: VideoBank,
    texts: TextBank,
    /// Means over clips, `[videos, width]`.
    means: Vec<f32>,
    clips: usize,
}

/// Compares every matrix of `retrieval.safetensors`, and the figures of `retrieval_metrics.json` where it is there.
///
/// # Errors
/// Settings or inputs that do not fit.
pub fn check<B: TrainBackend>(
    context: &ParityContext<B>,
    check: &mut FileCheck,
    metrics: Option<&mut FileCheck>,
) -> Result<()> {
    let fixture = context.fixture("retrieval")?;
    let (mut banks, mut all) = (BTreeMap::new(), BTreeMap::new());
    for setting in settings(fixture) {
        let Some((name, ensemble, k)) = parse(&setting) else { continue };
        let Some(case) = context.cases.case("retrieval", Some(name))? else { continue };
        if !banks.contains_key(name) {
            let model = context.model(&case)?.valid();
            let captions = context.captions(fixture, "input_ids")?;
            banks.insert(name.to_string(), EncodedSet::new(model, fixture, &captions, &context.device)?);
        }
        let scored = banks[name].score(ensemble, k, &context.device)?;
        let matrices = [("i2t_x", scored.video_rows()), ("t2i_x", scored.text_rows()), ("i2t", scored.dual_rows())];
        for (part, ours) in matrices {
            let name = format!("{setting}.{part}");
            if let Some(reference) = fixture.find(&name) {
                check.compare(name, TensorKind::Hidden, &ours, &reference.values);
            }
        }
        all.insert(setting, scored);
    }
    metrics.map_or(Ok(()), |metrics| check_metrics(context, &all, check, metrics))
}

/// `<model>.<ensemble>.k<k>` of every matrix.
fn settings(fixture: &Fixture) -> Vec<String> {
    let names = fixture.names();
    let setting = |name: &String| name.rsplit_once('.').map(|(setting, _)| setting.to_string());
    let mut settings: Vec<String> = names.iter().filter_map(setting).collect();
    settings.dedup();
    settings
}

fn parse(setting: &str) -> Option<(&str, ClipEnsemble, usize)> {
    let (rest, k) = setting.rsplit_once(".k")?;
    let (model, ensemble) = rest.rsplit_once('.')?;
    Some((model, ensemble_named(ensemble)?, k.parse().ok()?))
}

/// The ensemble called `name`.
pub fn ensemble_named(name: &str) -> Option<ClipEnsemble> {
    [ClipEnsemble::Lse, ClipEnsemble::Mean, ClipEnsemble::Max].into_iter().find(|ensemble| ensemble.name() == name)
}

/// The clips of `frames` frames that `video` `[videos, all frames, 3, size, size]` consists of, those of one video
/// behind each other: `[videos · clips, frames, 3, size, size]`; and how many each has.
///
/// # Errors
/// There is not one clip.
pub fn clips<B: Backend>(video: Tensor<B, 5>, frames: usize, fixture: &Fixture) -> Result<(Tensor<B, 5>, usize)> {
    let [videos, all, channels, height, width] = video.dims();
    let clips = all / frames.max(1);
    if clips == 0 {
        return Err(fixture.invalid(format!("its videos of {all} frames have no clip of {frames}")));
    }
    let video = video.slice([0..videos, 0..clips * frames]);
    Ok((video.reshape([videos * clips, frames, channels, height, width]), clips))
}

impl<B: SvittBackend> EncodedSet<B> {
    fn new(model: Svitt<B>, fixture: &Fixture, captions: &Tensor<B, 2, Int>, device: &B::Device) -> Result<Self> {
        let video = pixels(fixture, "video_u8", None, device)?;
        let (pixels, clips) = clips(video, model.video.config().frames, fixture)?;
        let [texts, tokens] = captions.dims();
        fixture.expect("attention_mask", &[texts, tokens])?;
        let (ids, mask) = (fixture.integers("input_ids")?, fixture.integers("attention_mask")?);
        let unpadded = |(ids, mask): (&[i64], &[i64])| {
            ids.iter().zip(mask).filter(|(_, mask)| **mask != 0).map(|(id, _)| *id).collect::<Vec<i64>>()
        };
        let texts: Vec<Vec<i64>> = ids.chunks(tokens.max(1)).zip(mask.chunks(tokens.max(1))).map(unpadded).collect();
        Self::of(model, pixels, clips, &texts, device)
    }

    /// What `model` makes of `pixels` `[videos · clips, frames, 3, size, size]` and of `texts`, ids without padding.
    ///
    /// # Errors
    /// Clips that the model does not take.
    pub fn of(
        model: Svitt<B>,
        pixels: Tensor<B, 5>,
        clips: usize,
        texts: &[Vec<i64>],
        device: &B::Device,
    ) -> Result<Self> {
        let videos = VideoBank { videos: encode_clips(&model, pixels, clips, &VideoDraws::evaluation(0))? };
        let texts = TextBank::encode(&model, texts, BATCH, device);
        let features: Vec<f32> = videos.videos.iter().flat_map(|video| video.features.clone()).collect();
        let width = texts.features.len() / texts.len().max(1);
        Ok(Self { means: mean_features(&features, clips, width), model, videos, texts, clips })
    }

    /// The scores under `ensemble`, the best `k` of every row re-ranked.
    ///
    /// # Errors
    /// States that cannot be read back.
    pub fn score(&self, ensemble: ClipEnsemble, k: usize, device: &B::Device) -> Result<ScoreMatrices> {
        let scorer = MatchScorer {
            model: &self.model,
            device,
            videos: &self.videos,
            texts: &self.texts,
            clips: self.clips,
            ensemble,
            batch: BATCH,
        };
        let (means, features) = (&self.means, &self.texts.features);
        let width = features.len() / self.texts.len().max(1);
        let reranked = rerank(means, features, width, k, |video, texts| scorer.scores(video, texts))?;
        let (videos, texts) = (self.videos.videos.len(), self.texts.len());
        let (means, features) = (means.clone(), features.clone());
        Ok(ScoreMatrices {
            reranked,
            dual: dual_scores(&means, &features, width),
            means,
            features,
            width,
            videos,
            texts,
        })
    }
}
