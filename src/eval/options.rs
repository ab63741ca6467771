//! Options of an evaluation: flags and the benchmark's protocol, checked against each other and the checkpoint.

use super::{Authors, Budget, ClipPlan, ClipSampling, EncodeOptions, FrameOrder, ScoreOptions};
use crate::config::{ClipEnsemble, ModelConfig, Precision};
use crate::data::import::Columns;
use crate::data::{Benchmark, BenchmarkTask, Protocol};
#[cfg(feature = "cli")]
use crate::limits::{self, count};
use crate::progress::ProgressSink;
use crate::{Error, Result};
use std::path::PathBuf;

/// Options given by the user; none: the benchmark's protocol.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct EvalOptions {
    /// msrvtt, didemo, charades, ssv2-label, ssv2-template, anet, msvd, vatex, lsmdc; msrvtt-qa, anet-qa, agqa; the
    /// tests of order rtime, vitatecs, tempcompass, testoftime, vilma, nextqa, ssv2-chiral, ssv2-temporal; msrvtt-mc;
    /// shapes, shapes-long, shapes-qa
    pub benchmark: Benchmark,
    /// A checkpoint folder.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub checkpoint: PathBuf,
    /// The benchmark's annotations; data/BENCHMARK/ by default
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub annotations: Option<PathBuf>,
    /// Folder of its videos
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR"))]
    pub media: Option<PathBuf>,
    /// A vocabulary; none: the one beside the weights.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub vocab: Option<PathBuf>,
    /// JSON list of answers to choose from; derived from the training answers by default
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub answers: Option<PathBuf>,
    /// svitt, singularity or umt: whose evaluation to follow; that of the model's authors by default
    #[cfg_attr(feature = "cli", arg(long = "protocol"))]
    pub authors: Option<Authors>,
    /// Frames per clip, or per video (frames per clip times clips)
    #[cfg_attr(feature = "cli", arg(long, value_parser = count(1, limits::VIDEO_FRAMES)))]
    pub frames: Option<usize>,
    /// Clips per video
    #[cfg_attr(feature = "cli", arg(long, value_parser = count(1, limits::CLIPS)))]
    pub clips: Option<usize>,
    /// How frames are assigned to clips
    #[cfg_attr(feature = "cli", arg(long = "clip-sampling", default_value = "contiguous"))]
    pub sampling: ClipSampling,
    /// none, reverse, shuffle or freeze
    #[cfg_attr(feature = "cli", arg(long = "frame-order", default_value = "none"))]
    pub order: FrameOrder,
    /// Measure the other frame orders as well (always done for shapes)
    #[cfg_attr(feature = "cli", arg(long))]
    pub probes: bool,
    /// Candidates re-ranked per query, or answers scored in full; 128 by default
    #[cfg_attr(feature = "cli", arg(long = "rerank-k", value_parser = count(0, limits::ITEMS)))]
    pub k: Option<usize>,
    /// What joins the clips of a video
    #[cfg_attr(feature = "cli", arg(long))]
    pub ensemble: Option<ClipEnsemble>,
    /// Names of columns of the annotations.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub columns: Columns,
    /// Ask the first N texts or questions only
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", value_parser = count(1, limits::ITEMS)))]
    pub limit: Option<usize>,
    /// Count videos that cannot be read as misses instead of stopping
    #[cfg_attr(feature = "cli", arg(long))]
    pub allow_missing: bool,
    /// The sparsity in place of the checkpoint's.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub budget: Budget,
    /// Seed of the random edges and of drawn samples
    #[cfg_attr(feature = "cli", arg(long, default_value_t = 0))]
    pub seed: u64,
    /// Pairs, texts or questions per forward
    #[cfg_attr(feature = "cli", arg(long, value_parser = count(1, limits::BATCH)))]
    pub batch: Option<usize>,
    /// Take the videos as jobs with `--shard` encoded them, and score them
    #[cfg_attr(feature = "cli", arg(long))]
    pub join: bool,
    /// Folder of cached features; none: they are kept in memory.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub features: Option<PathBuf>,
    /// Name of the backend, for the report.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub backend: String,
    /// What the model computes in.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub precision: Precision,
    /// What its products are computed in, for the report.
    #[cfg_attr(feature = "cli", arg(skip = Precision::F32.name().to_string()))]
    pub arithmetic: String,
    /// Who is told how far it is.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub progress: ProgressSink,
}

impl EvalOptions {
    /// An evaluation of `checkpoint` on `benchmark` by its protocol.
    pub fn new(benchmark: Benchmark, checkpoint: PathBuf) -> Self {
        Self {
            benchmark,
            checkpoint,
            annotations: None,
            media: None,
            vocab: None,
            answers: None,
            authors: None,
            frames: None,
            clips: None,
            sampling: ClipSampling::Contiguous,
            order: FrameOrder::None,
            probes: benchmark.is_generated(),
            k: None,
            ensemble: None,
            columns: Columns::default(),
            limit: None,
            allow_missing: false,
            budget: Budget::default(),
            seed: 0,
            batch: None,
            join: false,
            features: None,
            backend: String::new(),
            precision: Precision::F32,
            arithmetic: Precision::F32.name().into(),
            progress: ProgressSink::default(),
        }
    }

    /// The settings of the benchmark as the authors asked for, or those of `model`, have them.
    pub fn protocol(&self, model: &ModelConfig, fine_tuned: bool) -> Protocol {
        self.authors.unwrap_or(Authors::of(model)).protocol(self.benchmark, fine_tuned)
    }

    /// Which frames make which clip. A model of one clip length T takes `--frames` per clip (T) or per video (T · K): the
    /// two cannot be confused. A model that takes any number takes it per clip; an ensemble that is asked for without
    /// `--clips` makes every frame a clip of its own, which is Singularity's ensemble over frames.
    ///
    /// # Errors
    /// Frames that do not make whole clips of T.
    pub fn plan(&self, model: &ModelConfig, protocol: &Protocol) -> Result<ClipPlan> {
        if model.video.takes_any_frames() {
            return self.plan_of_any_length(protocol);
        }
        let (frames, published) = (model.video.frames, protocol.clips());
        let clips = match (self.frames, self.clips) {
            (None, clips) => clips.unwrap_or(published),
            (Some(asked), Some(clips)) if asked == frames || asked == frames * clips => clips,
            (Some(asked), None) if asked > 0 && asked % frames == 0 => asked / frames,
            (Some(asked), clips) => {
                let clips = clips.map_or(String::new(), |clips| format!(" option `clips` {clips}"));
                let problem = format!("{asked}{clips} does not fit a model whose clips have {frames} frames");
                let remedy = format!(
                    "give option `frames` {} option `clips` {published}, or a checkpoint for other clips",
                    frames * published
                );
                return Err(Error::setting("frames", problem, remedy));
            }
        };
        if clips == 0 {
            return Err(Error::setting("clips", "is 0", "use 1 or more"));
        }
        Ok(ClipPlan { frames, clips, sampling: self.sampling, order: self.order })
    }

    fn plan_of_any_length(&self, protocol: &Protocol) -> Result<ClipPlan> {
        let frames = self.frames.unwrap_or(protocol.test_frames / protocol.clips());
        let [frames, clips] = match (self.clips, self.ensemble) {
            (Some(clips), _) => [frames, clips],
            (None, Some(_)) => [1, frames],
            (None, None) => [frames, protocol.clips()],
        };
        for (flag, value) in [("frames", frames), ("clips", clips)] {
            if value == 0 {
                return Err(Error::setting(flag, "is 0", "use 1 or more"));
            }
        }
        Ok(ClipPlan { frames, clips, sampling: self.sampling, order: self.order })
    }

    /// How pairs or answers are scored.
    ///
    /// # Errors
    /// A batch or limit of 0.
    pub fn score(&self, protocol: &Protocol) -> Result<ScoreOptions> {
        let ensemble = match (self.ensemble, protocol.ensemble.as_str()) {
            (Some(ensemble), _) => ensemble,
            (None, "mean") => ClipEnsemble::Mean,
            (None, "max") => ClipEnsemble::Max,
            (None, _) => ClipEnsemble::Lse,
        };
        for (flag, value) in [("batch", self.batch), ("limit", self.limit)] {
            if value == Some(0) {
                return Err(Error::setting(flag, "is 0", "use 1 or more"));
            }
        }
        let batch = self.batch.unwrap_or(if self.benchmark.is_generated() { 96 } else { 32 });
        Ok(ScoreOptions { k: self.k.unwrap_or(protocol.k_test), ensemble, seed: self.seed, batch })
    }

    /// Refuses options that the benchmark has no use for.
    ///
    /// # Errors
    /// One of them was given.
    pub fn refuse_unused(&self) -> Result<()> {
        let (benchmark, task) = (self.benchmark, self.benchmark.task());
        let rendered = benchmark.is_generated();
        let (choice, asks) = (task == BenchmarkTask::Choice, task == BenchmarkTask::QuestionAnswering);
        for (option, given, why) in [
            ("answers", self.answers.is_some() && rendered && asks, "has the answers of its generator"),
            ("answers", self.answers.is_some() && !asks, "chooses from no list of answers"),
            ("rerank_k", self.k.is_some() && choice, "re-ranks nothing: every candidate is scored"),
            ("annotations", self.annotations.is_some() && rendered, "is rendered, not read from files"),
            ("media", self.media.is_some() && rendered, "is rendered, not read from files"),
        ] {
            if given {
                return Err(Error::setting(
                    option,
                    format!("is of no use to {benchmark}, which {why}"),
                    "leave it out",
                ));
            }
        }
        Ok(())
    }

    /// How videos are read.
    pub fn encoding(&self) -> EncodeOptions {
        let batch = if self.benchmark.is_generated() { 32 } else { 4 };
        EncodeOptions {
            allow_missing: self.allow_missing,
            batch,
            progress: self.progress.clone(),
            ..EncodeOptions::default()
        }
    }

    /// Whether everything that decides a score is as published.
    pub fn is_published_protocol(&self) -> bool {
        let (published, asked) = (Self::new(self.benchmark, PathBuf::new()), self);
        let same = |a: Option<usize>, b: usize| a.is_none_or(|a| a == b);
        asked.order == FrameOrder::None
            && asked.limit.is_none()
            && asked.budget == Budget::default()
            && asked.authors.is_none_or(|authors| authors == Authors::Svitt)
            && asked.sampling == published.sampling
            && same(asked.k, asked.benchmark.protocol().k_test)
            && same(asked.clips, asked.benchmark.protocol().clips())
            && asked.ensemble.is_none_or(|ensemble| ensemble.name() == asked.benchmark.protocol().ensemble)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(frames: Option<usize>, clips: Option<usize>) -> Result<ClipPlan> {
        let options = EvalOptions { frames, clips, ..EvalOptions::new(Benchmark::Msrvtt, "x".into()) };
        options.plan(&ModelConfig::small(4), &Benchmark::Msrvtt.protocol())
    }

    #[test]
    fn options_without_a_use_are_refused() {
        let file = || Some(PathBuf::from("missing.json"));
        let options = |benchmark| EvalOptions::new(benchmark, "x".into());
        for (option, given) in [
            ("answers", EvalOptions { answers: file(), ..options(Benchmark::Rtime) }),
            ("answers", EvalOptions { answers: file(), ..options(Benchmark::Msrvtt) }),
            ("answers", EvalOptions { answers: file(), ..options(Benchmark::ShapesQa) }),
            ("rerank_k", EvalOptions { k: Some(3), ..options(Benchmark::Vitatecs) }),
            ("annotations", EvalOptions { annotations: file(), ..options(Benchmark::Shapes) }),
            ("media", EvalOptions { media: file(), ..options(Benchmark::ShapesLong) }),
        ] {
            let message = given.refuse_unused().unwrap_err().to_string();
            assert!(message.contains(&format!("setting `{option}`: is of no use to {}", given.benchmark)), "{message}");
        }
        EvalOptions { answers: file(), k: Some(3), ..options(Benchmark::AnetQa) }.refuse_unused().unwrap();
    }

    #[test]
    fn frames_are_per_clip_or_per_video() {
        let counts = |frames, clips| plan(frames, clips).map(|plan| [plan.frames, plan.clips]).unwrap();
        assert_eq!(counts(None, None), [4, 3]);
        assert_eq!(counts(Some(12), None), [4, 3]);
        assert_eq!(counts(Some(4), None), [4, 1]);
        assert_eq!(counts(Some(4), Some(2)), [4, 2]);
        assert_eq!(counts(Some(8), Some(2)), [4, 2]);
        assert_eq!(counts(None, Some(5)), [4, 5]);
        let message = plan(Some(6), Some(2)).unwrap_err().to_string();
        assert!(
            message.contains("6 option `clips` 2") && message.contains("option `frames` 12 option `clips` 3"),
            "{message}"
        );
        assert!(plan(None, Some(0)).is_err() && plan(Some(0), None).is_err());
        let nothing = EvalOptions { limit: Some(0), ..EvalOptions::new(Benchmark::Msrvtt, "x".into()) };
        assert!(nothing.score(&Benchmark::Msrvtt.protocol()).unwrap_err().to_string().contains("setting `limit`"));
    }

    #[test]
    fn models_of_any_length_see_one_clip_or_every_frame_as_one() {
        let plan = |frames, clips, ensemble| {
            let options = EvalOptions { frames, clips, ensemble, ..EvalOptions::new(Benchmark::Msrvtt, "x".into()) };
            let model = ModelConfig::singularity_base(1);
            options.plan(&model, &options.protocol(&model, true)).map(|plan| [plan.frames, plan.clips])
        };
        assert_eq!(plan(None, None, None).unwrap(), [12, 1]);
        assert_eq!(plan(Some(5), None, None).unwrap(), [5, 1]);
        assert_eq!(plan(Some(5), None, Some(ClipEnsemble::Mean)).unwrap(), [1, 5]);
        assert_eq!(plan(Some(5), Some(2), Some(ClipEnsemble::Mean)).unwrap(), [5, 2]);
        assert!(plan(Some(0), None, None).is_err());
    }

    #[test]
    fn any_other_setting_is_not_the_published_one() {
        let published = EvalOptions::new(Benchmark::Didemo, "x".into());
        assert!(published.is_published_protocol());
        assert!(EvalOptions { k: Some(128), clips: Some(3), ..published.clone() }.is_published_protocol());
        assert!(
            !EvalOptions { budget: Budget { keep: Some(0.7), ..Budget::default() }, ..published.clone() }
                .is_published_protocol()
        );
        assert!(!EvalOptions { k: Some(64), ..published.clone() }.is_published_protocol());
        assert!(!EvalOptions { order: FrameOrder::Freeze, ..published }.is_published_protocol());
    }
}
