//! `retrieval_metrics`: recalls of the score matrices, and the texts behind their columns.

use super::cases::read_json;
use super::context::Context;
use super::report::FileCheck;
use super::retrieval::Matrices;
use super::tokenization::{Spelled, check_ids};
use super::tolerance::Kind;
use crate::Result;
use crate::backend::TrainBackend;
use crate::eval::ensemble::transposed;
use crate::eval::metrics::{RankCounter, RetrievalMetrics};
use crate::text::Tokenizer;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `retrieval_metrics.json`.
#[derive(Deserialize)]
struct Figures {
    /// The texts of every video.
    img2txt: BTreeMap<usize, Vec<usize>>,
    /// The video of every text, or its videos.
    txt2img: BTreeMap<usize, Truths>,
    /// The texts themselves.
    #[serde(default)]
    texts: Vec<String>,
    /// Figures by `<setting>.x` (re-ranked) and `<setting>.emb` (dual encoder).
    metrics: BTreeMap<String, BTreeMap<String, f64>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Truths {
    One(usize),
    Several(Vec<usize>),
}

/// The name of the file.
pub const FILE: &str = "retrieval_metrics.json";

/// Compares the figures of `all` matrices, and the token ids in `scores` to the texts.
///
/// # Errors
/// The file cannot be understood.
pub fn check_metrics<B: TrainBackend>(
    context: &Context<B>,
    all: &BTreeMap<String, Matrices>,
    scores: &mut FileCheck,
    check: &mut FileCheck,
) -> Result<()> {
    let figures: Figures = read_json(&context.folder.join(FILE))?;
    let length = context.cases.max_text_length;
    let texts = Spelled { texts: &figures.texts, length, encode: Tokenizer::encode };
    check_ids(context, "retrieval", ["input_ids", "attention_mask"], &texts, scores)?;
    for (name, expected) in &figures.metrics {
        let matrices = name.rsplit_once('.').and_then(|(setting, which)| Some((all.get(setting)?, which)));
        let ours = match matrices {
            Some((m, "x")) => figures.of(&m.video_to_text, &m.text_to_video, m.texts),
            Some((m, "emb")) => figures.of(&m.dual, &transposed(&m.dual, m.texts), m.texts),
            _ => {
                check.uncovered(name);
                continue;
            }
        };
        for (figure, value) in expected {
            match ours.get(figure.as_str()) {
                Some(ours) => check.compare(format!("{name}.{figure}"), Kind::Exact, &[*ours], &[*value]),
                None => check.uncovered(format!("{name}.{figure}")),
            }
        }
    }
    Ok(())
}

impl Figures {
    /// The official figures of two matrices: `txt_*` for the texts of a video, `img_*` for the video of a text.
    fn of(&self, videos: &[f32], texts: &[f32], columns: usize) -> BTreeMap<&'static str, f64> {
        let truths = |text: &Truths| match text {
            Truths::One(video) => vec![*video],
            Truths::Several(videos) => videos.clone(),
        };
        let none = Vec::new();
        let of_video = |video: usize| self.img2txt.get(&video).unwrap_or(&none).clone();
        let of_text = |text: usize| self.txt2img.get(&text).map(truths).unwrap_or_default();
        let rows = texts.len() / columns.max(1);
        let (text, image) = (count(videos, columns, of_video), count(texts, rows, of_text));
        let both = round((text.mean + image.mean) / 2.0);
        let (text, image) = (text.rounded(), image.rounded());
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
}

fn count(matrix: &[f32], columns: usize, truths: impl Fn(usize) -> Vec<usize>) -> RetrievalMetrics {
    let mut counter = RankCounter::new();
    matrix.chunks(columns.max(1)).enumerate().for_each(|(query, row)| counter.push(row, &truths(query)));
    counter.metrics()
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
