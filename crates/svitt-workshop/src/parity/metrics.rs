//! `retrieval_metrics`: recalls of the score matrices, and the texts behind their columns.

use super::cases::read_json;
use super::context::ParityContext;
use super::report::FileCheck;
use super::tokenization::{TextsWithIds, check_ids};
use super::tolerance::TensorKind;
use serde::Deserialize;
use std::collections::BTreeMap;
use svitt::Result;
use svitt::eval::metrics::RankCounter;
use svitt::eval::{GroundTruth, Reranked, rank_dual};
use svitt::text::Tokenizer;
use svitt_ops::TrainBackend;

/// The name of the file.
pub const FILE: &str = "retrieval_metrics.json";

/// Scores under one ensemble and length of the short list.
pub struct ScoreMatrices {
    /// After re-ranking.
    pub reranked: Reranked,
    /// By the two encoders, `[videos, texts]`.
    pub dual: Vec<f32>,
    /// Features of the videos, means over clips, `[videos, width]`.
    pub means: Vec<f32>,
    /// Features of the texts, `[texts, width]`.
    pub features: Vec<f32>,
    /// Width of the shared space.
    pub width: usize,
    /// Videos.
    pub videos: usize,
    /// Texts.
    pub texts: usize,
}

/// `retrieval_metrics.json`.
#[derive(Deserialize)]
struct Figures {
    /// The texts of every video.
    img2txt: BTreeMap<usize, Vec<usize>>,
    /// The video of every text, or its videos.
    txt2img: BTreeMap<usize, Right>,
    /// The texts themselves.
    #[serde(default)]
    texts: Vec<String>,
    /// Figures by `<setting>.x` (re-ranked) and `<setting>.emb` (dual encoder).
    metrics: BTreeMap<String, BTreeMap<String, f64>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Right {
    One(usize),
    Several(Vec<usize>),
}

impl ScoreMatrices {
    /// Re-ranked scores, `[videos, texts]`.
    pub fn video_rows(&self) -> Vec<f32> {
        (0..self.videos).flat_map(|video| self.reranked.video_row(video)).collect()
    }

    /// Re-ranked scores, `[texts, videos]`.
    pub fn text_rows(&self) -> Vec<f32> {
        (0..self.texts).flat_map(|text| self.reranked.text_row(text)).collect()
    }

    /// Scores of the two encoders, `[videos, texts]`.
    pub fn dual_rows(&self) -> Vec<f32> {
        self.dual.clone()
    }
}

/// Compares the figures of `all` settings, and the token ids in `scores` to the texts.
///
/// # Errors
/// The file cannot be understood.
pub fn check_metrics<B: TrainBackend>(
    context: &ParityContext<B>,
    all: &BTreeMap<String, ScoreMatrices>,
    scores: &mut FileCheck,
    check: &mut FileCheck,
) -> Result<()> {
    let figures: Figures = read_json(&context.folder.join(FILE))?;
    let length = context.cases.max_text_length;
    let texts = TextsWithIds { texts: &figures.texts, length, encode: Tokenizer::encode };
    check_ids(context, "retrieval", ["input_ids", "attention_mask"], &texts, scores)?;
    for (name, expected) in &figures.metrics {
        let scored = name.rsplit_once('.').and_then(|(setting, which)| Some((all.get(setting)?, which)));
        let ranks = match scored {
            Some((scored, "x")) => scored.reranked.ranks(&figures.truths(scored)),
            Some((scored, "emb")) => rank_dual(&scored.means, &scored.features, scored.width, &figures.truths(scored)),
            _ => {
                check.uncovered(name);
                continue;
            }
        };
        let ours = official_figures(&ranks);
        for (figure, value) in expected {
            match ours.get(figure.as_str()) {
                Some(ours) => check.compare(format!("{name}.{figure}"), TensorKind::Exact, &[*ours], &[*value]),
                None => check.uncovered(format!("{name}.{figure}")),
            }
        }
    }
    Ok(())
}

impl Figures {
    /// The right videos of every text and the right texts of every video, as the file has them.
    fn truths(&self, scored: &ScoreMatrices) -> GroundTruth {
        let mut truths = GroundTruth { videos_of_text: vec![Vec::new(); scored.texts], texts_of_video: Vec::new() };
        for (text, right) in self.txt2img.iter().filter(|(text, _)| **text < scored.texts) {
            truths.videos_of_text[*text] = match right {
                Right::One(video) => vec![*video],
                Right::Several(videos) => videos.clone(),
            };
        }
        let of_video = |video: usize| self.img2txt.get(&video).cloned().unwrap_or_default();
        truths.texts_of_video = (0..scored.videos).map(of_video).collect();
        truths
    }
}

/// The official figures of ranks text to video (`img_*`) and video to text (`txt_*`).
pub fn official_figures([image, text]: &[RankCounter; 2]) -> BTreeMap<&'static str, f64> {
    let (image, text) = (image.metrics(), text.metrics());
    let both = ((text.mean + image.mean) * 50.0).round() / 100.0;
    let (image, text) = (image.rounded(), text.rounded());
    BTreeMap::from([
        ("txt_r1", text.r1),
        ("txt_r5", text.r5),
        ("txt_r10", text.r10),
        ("txt_r_mean", text.mean),
        ("img_r1", image.r1),
        ("img_r5", image.r5),
        ("img_r10", image.r10),
        ("img_r_mean", image.mean),
        ("r_mean", both),
    ])
}
