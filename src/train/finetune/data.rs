//! Training data and validation of a fine-tuning run.

use super::clip_questions::TokenizedQuestions;
use super::preset::FinetunePreset;
use super::validation::{ValidationKind, ValidationTask};
use crate::config::{ModelConfig, Precision, StepsOrEpochs};
use crate::data::import::{Columns, ImportPurpose};
use crate::data::shapes::{QaSet, ShapesDataset, ShapesSplit};
use crate::data::{
    Benchmark, BenchmarkTask, ClipSettings, EpochDataset, Item, ItemResult, Record, Split, VideoDataset, hold_out,
};
use crate::eval::{BenchmarkData, Candidates, EvalOptions, QuestionSet, RenderedVideos, RetrievalSet, shapes_config};
use crate::model::Objective;
use crate::progress::ProgressSink;
use crate::text::Tokenizer;
use crate::train::parallel::Job;
use crate::train::{StepConfig, StopSignal, TrainEvents};
use crate::{Error, Result};
use burn_dataset::Dataset;
use std::borrow::Borrow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use svitt_ops::rng::key;

/// Seed of the validation questions and clips of the generated benchmarks.
const VALIDATION_SEED: u64 = 2024;

/// Options of a fine-tuning run.
#[derive(Clone)]
pub struct FinetuneOptions {
    /// What is learned.
    pub benchmark: Benchmark,
    /// The checkpoint it starts from.
    pub checkpoint: PathBuf,
    /// The settings.
    pub preset: FinetunePreset,
    /// Training annotations; none: those in `data/`.
    pub annotations: Option<PathBuf>,
    /// The folder of videos.
    pub media: Option<PathBuf>,
    /// Validation annotations; none: the validation split beside the training file, or a part held out.
    pub validation: Option<PathBuf>,
    /// A vocabulary; none: the one beside the weights.
    pub vocab: Option<PathBuf>,
    /// The list that answers are chosen from; none: derived from the training answers.
    pub answers: Option<PathBuf>,
    /// Names of columns of the annotations.
    pub columns: Columns,
    /// Where everything is written.
    pub out: PathBuf,
    /// Continue what is there.
    pub resume: bool,
    /// Optimizer steps, at most.
    pub max_steps: Option<usize>,
    /// Seed of everything random.
    pub seed: u64,
    /// The backend's name, for the report.
    pub backend: String,
    /// What the model computes in; weights and optimizer are f32 in either case.
    pub precision: Precision,
    /// What its products are computed in, for the report.
    pub arithmetic: String,
    /// Write an event file for TensorBoard, too.
    pub tensorboard: bool,
    /// The job that this process is one of.
    pub job: Job,
    /// How the run is told to stop.
    pub stop: StopSignal,
    /// Who is told how it goes.
    pub events: TrainEvents,
    /// Who is told how far a validation is.
    pub progress: ProgressSink,
}

/// Data, losses and validation of a run.
pub struct FinetuneData {
    /// Training clips.
    pub dataset: Arc<dyn EpochDataset>,
    /// Losses and answers.
    pub step_config: StepConfig,
    /// Texts to ids.
    pub tokenizer: Arc<Tokenizer>,
    /// Tokens of a text.
    pub text_tokens: usize,
    /// The list that answers are chosen from; empty for retrieval.
    pub answers: Vec<String>,
    /// The validation.
    pub validation_task: ValidationTask,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

impl FinetuneData {
    /// The data of `options` for a model of `config`.
    ///
    /// # Errors
    /// Files that are not there or cannot be learned from, a test split given for validation.
    pub fn gather(options: &FinetuneOptions, config: &ModelConfig, tokenizer: Arc<Tokenizer>) -> Result<Self> {
        let context = DataBuilder { options, config, tokenizer };
        match options.benchmark {
            Benchmark::Shapes | Benchmark::ShapesLong => context.shapes(),
            Benchmark::ShapesQa => context.shapes_qa(),
            _ => context.files(),
        }
    }
}

struct DataBuilder<'a> {
    options: &'a FinetuneOptions,
    config: &'a ModelConfig,
    tokenizer: Arc<Tokenizer>,
}

impl DataBuilder<'_> {
    fn frames(&self) -> usize {
        self.config.video.frames
    }

    fn text_tokens(&self) -> usize {
        self.options.benchmark.protocol().max_text.min(self.config.text.max_positions)
    }

    fn ids<'t>(&self, texts: impl Iterator<Item = &'t String>) -> Vec<Vec<i64>> {
        texts.map(|text| self.tokenizer.encode(text, self.text_tokens()).tokens().to_vec()).collect()
    }

    /// Items of one pass over endless generated data.
    fn items(&self) -> usize {
        let stage = &self.options.preset.stage;
        let passes = match stage.length {
            StepsOrEpochs::Steps(steps) => steps,
            StepsOrEpochs::Epochs(_) => 100,
        };
        passes * stage.batch * stage.accumulate * self.options.job.size()
    }

    fn shapes(self) -> Result<FinetuneData> {
        let config = shapes_config(self.options.benchmark, self.config, self.frames());
        let frames = self.frames();
        let dataset = ShapesDataset::new(&config, ShapesSplit::Train, frames, self.items(), self.options.seed)?;
        let count = self.options.preset.validation_limit.unwrap_or(192);
        let held = ShapesDataset::new(&config, ShapesSplit::Val, frames, count, VALIDATION_SEED)?;
        let items: Vec<(String, u64)> = (0..count).map(|i| (held.clip(i).1, held.triple(i).0.identity())).collect();
        let pairs = (0..count).flat_map(|text| (0..count).map(move |video| (text, video)));
        let ranked = RetrievalSet {
            videos: (0..count).map(|i| Record { media: format!("shapes/val/{i}"), ..Record::default() }).collect(),
            texts: items.iter().map(|(caption, _)| caption.clone()).collect(),
            pairs: pairs.filter(|&(text, video)| items[text].1 == items[video].1).collect(),
        };
        let render = Box::new(move |index| held.clip(index).0.normalised());
        let validation_task = ValidationTask {
            texts: self.ids(ranked.texts.iter()),
            kind: ValidationKind::Retrieval(ranked),
            videos: Box::new(RenderedVideos { count, prefix: "shapes/val", render }),
            frames,
            k: self.options.preset.rerank_k,
            source: "the generator's validation worlds".into(),
            progress: self.options.progress.clone(),
        };
        Ok(self.build(Arc::new(dataset), retrieval_recipe(), Vec::new(), validation_task, Vec::new()))
    }

    fn shapes_qa(self) -> Result<FinetuneData> {
        let config = shapes_config(self.options.benchmark, self.config, self.frames());
        let frames = self.frames();
        let training = QaSet::new(&config, ShapesSplit::Train, frames, self.items(), self.options.seed)?;
        let count = self.options.preset.validation_limit.unwrap_or(480);
        let held = QaSet::new(&config, ShapesSplit::Val, frames, count, VALIDATION_SEED)?;
        let records: Vec<Record> = (0..count).map(|index| held.record(index)).collect();
        let answers: Vec<String> = crate::data::shapes::answers().into_iter().map(str::to_owned).collect();
        let each = self.options.preset.questions_per_clip;
        let step_config = self.question_recipe((0..training.len()).map(|index| training.records(index, each)));
        let render = Box::new(move |index| held.item(index).frames);
        let videos = Box::new(RenderedVideos { count, prefix: "shapes-qa/val", render });
        let validation_task =
            self.question_validation(&records, videos, answers.clone(), "the generator's validation worlds".into());
        Ok(self.build(Arc::new(QaDataset(training)), step_config, answers, validation_task, Vec::new()))
    }

    fn files(self) -> Result<FinetuneData> {
        let options = self.options;
        let train =
            BenchmarkData::files(&self.eval_options(options.annotations.clone()), Split::Train, ImportPurpose::Train)?;
        let mut warnings = train.warnings.clone();
        let left_out = train.left_out.clone();
        let media = train.media.clone().unwrap_or_default();
        let (mut records, validation, source) = self.validation(train)?;
        let size = self.config.video.image_size;
        let protocol = options.benchmark.protocol();
        if protocol.task == BenchmarkTask::Retrieval {
            records = records.iter().flat_map(|record| one_per_caption(record, protocol.paragraph)).collect();
        }
        let mut clips = ClipSettings::train(self.frames(), size, options.preset.flip, key(options.seed, &[0]));
        clips.identity_by_caption = protocol.identity_by_caption;
        let mut dataset = VideoDataset::new(records, &media, clips)?.with_left_out(left_out);
        warnings.extend(dataset.left_out().iter().map(|left| format!("{}: {}; left out", left.media, left.reason)));
        let material = BenchmarkData { media: Some(media), records: validation, ..BenchmarkData::default() };
        let limit = options.preset.validation_limit;
        let videos = |records: &[Record]| material.videos(options.benchmark, records, self.frames(), size, true);
        if protocol.task == BenchmarkTask::Retrieval {
            let ranked = RetrievalSet::new(&material.records, protocol.paragraph, limit);
            let validation_task = ValidationTask {
                texts: self.ids(ranked.texts.iter()),
                videos: videos(&ranked.videos)?,
                kind: ValidationKind::Retrieval(ranked),
                frames: self.frames(),
                k: options.preset.rerank_k,
                source,
                progress: options.progress.clone(),
            };
            return Ok(self.build(Arc::new(dataset), retrieval_recipe(), Vec::new(), validation_task, warnings));
        }
        let answers = match &options.answers {
            Some(path) => crate::data::read_answers(path)?,
            None => crate::data::AnswerRule::of(options.benchmark).derive(dataset.records()),
        };
        let others = dataset.group(options.preset.questions_per_clip);
        let asked = dataset.records().iter().zip(&others).map(|(first, others)| std::iter::once(first).chain(others));
        let step_config = self.question_recipe(asked);
        let asked = QuestionSet::new(&material.records, limit);
        let videos = videos(&asked.videos)?;
        let validation_task = self.question_validation(&material.records, videos, answers.clone(), source);
        Ok(self.build(Arc::new(dataset), step_config, answers, validation_task, warnings))
    }

    /// Training and validation records: the validation file given, the validation split beside the training file, or a
    /// held-out part of the training videos.
    fn validation(&self, train: BenchmarkData) -> Result<(Vec<Record>, Vec<Record>, String)> {
        let (options, preset) = (self.options, &self.options.preset);
        let folder = train.annotations.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let names = options.benchmark.files().validation;
        let beside = || names.iter().map(|name| folder.join(name)).find(|path| path.is_file());
        let Some(path) = options.validation.clone().or_else(beside) else {
            let share = if preset.hold_out > 0.0 { preset.hold_out } else { 0.05 };
            let (learned, held) = hold_out(train.records, share, options.seed);
            if held.is_empty() {
                let problem = "is missing, and the training file is too small to hold a part of it out";
                return Err(Error::setting("validation", problem, "give the file of the validation split"));
            }
            let source = format!("{:.0} % of the training videos, held out with seed {}", 100.0 * share, options.seed);
            return Ok((learned, held, source));
        };
        if Split::from_name(&path) == Some(Split::Test) {
            let problem = "is a test split by its name, and choosing weights on it would spoil the score";
            return Err(Error::file(path, problem, "give the validation split, or leave option `validation` out"));
        }
        let held =
            EvalOptions { media: train.media.clone(), allow_missing: true, ..self.eval_options(Some(path.clone())) };
        let held = BenchmarkData::files(&held, Split::Validation, ImportPurpose::Evaluate)?;
        Ok((train.records, held.records, path.display().to_string()))
    }

    fn eval_options(&self, annotations: Option<PathBuf>) -> EvalOptions {
        EvalOptions {
            annotations,
            media: self.options.media.clone(),
            seed: self.options.seed,
            columns: self.options.columns.clone(),
            ..EvalOptions::new(self.options.benchmark, self.options.checkpoint.clone())
        }
    }

    fn question_recipe(
        &self,
        clips: impl IntoIterator<Item = impl IntoIterator<Item = impl Borrow<Record>>>,
    ) -> StepConfig {
        let tokens = [self.text_tokens(), self.options.benchmark.protocol().max_answer];
        let clip_questions = TokenizedQuestions::new(clips, &self.tokenizer, tokens);
        StepConfig { clip_questions: Arc::new(clip_questions), ..StepConfig::default() }
    }

    fn question_validation(
        &self,
        records: &[Record],
        videos: Box<dyn crate::eval::VideoSet>,
        answers: Vec<String>,
        source: String,
    ) -> ValidationTask {
        let asked = QuestionSet::new(records, self.options.preset.validation_limit);
        let candidates = Candidates::new(answers, &self.tokenizer, self.options.benchmark.protocol().max_answer);
        ValidationTask {
            texts: self.ids(asked.questions.iter().map(|question| &question.text)),
            kind: ValidationKind::Answers(asked, candidates),
            videos,
            frames: self.frames(),
            k: self.options.preset.rerank_k,
            source,
            progress: self.options.progress.clone(),
        }
    }

    fn build(
        self,
        dataset: Arc<dyn EpochDataset>,
        step_config: StepConfig,
        answers: Vec<String>,
        validation_task: ValidationTask,
        warnings: Vec<String>,
    ) -> FinetuneData {
        let text_tokens = self.text_tokens();
        FinetuneData {
            dataset,
            step_config,
            tokenizer: self.tokenizer,
            text_tokens,
            answers,
            validation_task,
            warnings,
        }
    }
}

/// Contrastive and matching loss, no masked words (docs/model.md, "Total loss").
fn retrieval_recipe() -> StepConfig {
    let objective = Objective { mlm: 0.0, ..Objective::default() };
    StepConfig { objective, ..StepConfig::default() }
}

/// A record per caption, so that an epoch sees every caption; or one with all of them as a paragraph.
fn one_per_caption(record: &Record, paragraph: bool) -> Vec<Record> {
    let with = |captions: Vec<String>| Record { captions, ..record.clone() };
    match paragraph {
        true => vec![with(vec![record.captions.join(" ")])],
        false => record.captions.iter().map(|caption| with(vec![caption.clone()])).collect(),
    }
}

/// Generated questions as training items: the caption is the question.
struct QaDataset(QaSet);

impl Dataset<ItemResult> for QaDataset {
    fn get(&self, index: usize) -> Option<ItemResult> {
        let item = self.0.get(index)?;
        let media = format!("shapes-qa/{index}");
        Some(Ok(Item { frames: item.frames, caption: item.question, identity: index as u64, index, media }))
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl EpochDataset for QaDataset {}
