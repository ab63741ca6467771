//! The full protocol of an evaluation, as JSON.

use super::benchmark_data::BenchmarkData;
use super::choice::ChoiceSet;
use super::{Authors, ClipPlan, EvalOptions, ScoreOptions};
use crate::config::ModelConfig;
use crate::data::{BenchmarkTask, Protocol};
use crate::weights::CheckpointInfo;
use serde_json::{Map, Value, json};

/// Inputs of the protocol's JSON.
pub struct ProtocolInputs<'a> {
    /// Flags.
    pub options: &'a EvalOptions,
    /// Records.
    pub benchmark_data: &'a BenchmarkData,
    /// Frames.
    pub plan: &'a ClipPlan,
    /// Scores.
    pub score: &'a ScoreOptions,
    /// The model as it ran.
    pub config: &'a ModelConfig,
    /// The benchmark's settings as the authors that are followed have them.
    pub protocol: &'a Protocol,
    /// The checkpoint's description.
    pub info: &'a CheckpointInfo,
    /// The checkpoint's hash.
    pub weights: &'a str,
    /// Hash and file of the vocabulary.
    pub vocabulary: String,
    /// Videos and texts or questions.
    pub counts: [usize; 2],
    /// Videos that were missing.
    pub missing: usize,
}

impl ProtocolInputs<'_> {
    /// The protocol with the fields in `more`.
    pub fn json(&self, more: Value) -> Value {
        let ProtocolInputs { options, benchmark_data, plan, score, config, info, .. } = self;
        let [videos, texts] = self.counts;
        let mut fields = Map::new();
        let mut state = |name: &str, value: Value| fields.insert(name.into(), value);
        state("summary", json!(self.summary()));
        state("authors", json!(self.authors()));
        state("split", json!(benchmark_data.split));
        state("version", json!(benchmark_data.version));
        state("annotations", json!(benchmark_data.annotations.as_ref().map(|path| path.display().to_string())));
        state("videos", json!(videos));
        state("texts", json!(texts));
        state("frames", json!(plan.test_frames()));
        state("frames_per_clip", json!(plan.frames));
        state("clips", json!(plan.clips));
        state("sampling", json!(sampling(benchmark_data, plan, options.benchmark.task())));
        state("clip_sampling", json!(plan.sampling.name()));
        state("frame_order", json!(plan.order.name()));
        state("image", json!(image(benchmark_data, config)));
        state("ensemble", json!(score.ensemble.name()));
        state("text_cleaning", json!("lower case; , . ' ! ? \" ( ) * # : ; ~ deleted; - and / to spaces"));
        state("text_framing", json!("[CLS] text, no [SEP]"));
        state("max_text_tokens", json!(self.protocol.max_text.min(config.text.max_positions)));
        state("seed", json!(score.seed));
        state("seed_note", json!("of random edges, where there are any: one draw per layer, the same for every video"));
        state("checkpoint", json!(options.checkpoint.display().to_string()));
        state("weights_sha256", json!(self.weights));
        state("weights_origin", json!(info.origin));
        state("vocabulary_sha256", json!(self.vocabulary));
        state("compat", json!(config.compat));
        state("mode", json!(config.video.sparsity.mode()));
        state("sparsity", json!(config.video.sparsity));
        state("cross_sparsity", json!(config.text.cross));
        state("allow_missing", json!(options.allow_missing));
        state("missing_videos", json!(self.missing));
        state("limit", json!(options.limit));
        state("backend", json!(options.backend));
        state("precision", json!(options.precision.name()));
        state("arithmetic", json!(options.arithmetic));
        if let Value::Object(more) = more {
            fields.extend(more);
        }
        Value::Object(fields)
    }

    fn authors(&self) -> Authors {
        self.options.authors.unwrap_or(Authors::of(self.config))
    }

    fn summary(&self) -> String {
        let [videos, texts] = self.counts;
        let ClipPlan { frames, clips, .. } = self.plan;
        let unit = if self.options.benchmark.task() == BenchmarkTask::Retrieval { "texts" } else { "questions" };
        let (split, authors) = (self.benchmark_data.split.as_str(), self.authors().name());
        let split = if split == "none" { "no" } else { split };
        format!("{split} split, {texts} {unit}, {videos} videos, {clips} clips of {frames} frames, protocol {authors}")
    }
}

fn sampling(benchmark_data: &BenchmarkData, plan: &ClipPlan, task: BenchmarkTask) -> String {
    let frames = plan.test_frames();
    match &benchmark_data.shapes {
        None if task == BenchmarkTask::Choice => format!(
            "the middle frames of {frames} equal intervals, the second half mirroring the first; of two parts, half of \
             them each; a reversed video is the same frames backwards"
        ),
        Some(config) => format!("{} middle frames of {}", plan.test_frames(), config.frames),
        None => format!("the middle frames of {} equal intervals", plan.test_frames()),
    }
}

fn image(benchmark_data: &BenchmarkData, config: &ModelConfig) -> String {
    let size = config.video.image_size;
    match &benchmark_data.shapes {
        Some(_) => format!("rendered at {size} × {size}"),
        None => {
            format!("whole frames to {size} × {size} whatever their aspect ratio, bicubic without antialiasing, 8 bits")
        }
    }
}

/// What only retrieval states.
pub fn retrieval(k: [usize; 2], captions: [usize; 2], paragraph: bool) -> Value {
    let [least, most] = captions;
    json!({
        "captions_per_video": if least == most { json!(least) } else { json!(format!("{least} to {most}")) },
        "paragraphs": if paragraph { "all sentences of a video are one text, joined by a space" } else { "none" },
        "rerank_k": k[0].max(k[1]),
        "reranked_texts_per_video": k[0],
        "reranked_videos_per_text": k[1],
        "rerank_score": "the matching head's logit of class 1, joined over clips; all others -100; not added to the cosine",
        "dual_score": "mean over clips of the cosine",
        "dual_softmax": false,
        "several_truths": "the best rank of any right candidate counts",
        "tie_rule": "of equal scores the higher index stands first; queries where it decided are counted as tied_queries",
    })
}

/// What only question answering states.
pub fn answers(k: usize, list: usize, source: &str, max_answer: usize) -> Value {
    json!({
        "answer_k": k,
        "answer_list": source,
        "answers": list,
        "max_answer_tokens": max_answer,
        "answer_score": "log p(first word) + log p(all words): the first word counts twice, as published",
        "correct": "exact string match with an annotator's answer; unanswerable and unpredicted questions are wrong",
        "tie_rule": "of equal scores the earlier answer of the list is taken",
    })
}

/// What only choices state.
pub fn choices(cut: usize, equal: usize) -> Value {
    json!({
        "itc_score": "mean over clips of the cosine of the two encoders",
        "itm_score": "the matching head's logit of class 1, joined over clips",
        "tie_rule": "scores within 1e-6 (times their size above 1) are equal; a tie counts its share, half for two; \
                     `strict` is the published rule, to which any difference counts and a tie is wrong",
        "interval": "95 %, Wilson; it takes choices as independent, which those about one video are not",
        "frozen_frame": "the middle one, of an even number the earlier as filmed; the same for a clip and its reversal",
        "texts_cut": cut,
        "equal_as_tokens": equal,
    })
}

/// Choices among texts whose right one is, as tokens, the same as another: because the file has it twice, because they
/// differ behind the limit alone, or in words alone that the vocabulary does not have.
pub fn equal_as_tokens(set: &ChoiceSet, texts: &[Vec<i64>]) -> usize {
    let equal = |question: &&super::choice::ChoiceQuestion| {
        let right = question.candidates.get(question.right);
        let others = question.candidates.iter().enumerate().filter(|(at, _)| *at != question.right);
        let others = others.map(|(_, candidate)| candidate);
        question.is_among_texts() && right.is_some_and(|r| others.clone().any(|o| texts[o.text] == texts[r.text]))
    };
    set.questions.iter().filter(equal).count()
}
