//! Records and videos of a benchmark: from files, or rendered.

use super::{EvalOptions, FileVideos, RenderedVideos, VideoSet};
use crate::config::ModelConfig;
use crate::data::import::{AnnotationOptions, ImportPurpose, import};
use crate::data::shapes::{Gallery, QaSet, ShapesConfig, ShapesPreset, ShapesSplit, answers};
use crate::data::{AnswerRule, Benchmark, BenchmarkTask, Record, Split, Unreadable, read_answers};
use crate::text::{Tokenizer, Vocabulary};
use crate::{Error, Result};
use burn_dataset::Dataset;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Where benchmarks' files are looked for.
pub const DATA_DIR: &str = "data";

/// Questions of `shapes-qa`: 20 rounds of the 96 that balance every kind exactly.
const QUESTIONS: usize = 1_920;

/// The seed of the questions that are scored.
const QUESTION_SEED: u64 = 2023;

/// Records and what is known of them.
#[derive(Clone, Debug, Default)]
pub struct BenchmarkData {
    /// The records.
    pub records: Vec<Record>,
    /// The folder of their videos; none for rendered ones.
    pub media: Option<PathBuf>,
    /// The file they came from.
    pub annotations: Option<PathBuf>,
    /// The split, as the report names it: `none` of a benchmark without splits, `unknown` where no name tells it.
    pub split: String,
    /// Version of the release, where there are several.
    pub version: Option<String>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// Records of the annotations that cannot be used.
    pub left_out: Vec<Unreadable>,
    /// The generator's settings, for generated benchmarks.
    pub shapes: Option<ShapesConfig>,
}

impl BenchmarkData {
    /// What `options` ask for, for a model of `model` that sees `frames` frames per video.
    ///
    /// # Errors
    /// Files that are not there, belong to another benchmark or cannot be scored.
    pub fn load(options: &EvalOptions, model: &ModelConfig, frames: usize) -> Result<Self> {
        match options.benchmark {
            generated if generated.is_generated() => Self::generated(generated, model, frames),
            _ => Self::files(options, Split::Test, ImportPurpose::Evaluate),
        }
    }

    /// The files of `split`: those given, or those in `data/`.
    ///
    /// # Errors
    /// As [`BenchmarkData::load`].
    pub fn files(options: &EvalOptions, split: Split, purpose: ImportPurpose) -> Result<Self> {
        let (annotations, media) = located(options, split)?;
        let asked = import_options(options, purpose);
        let imported = import(&annotations, &asked)?;
        let split = split_name(options.benchmark, imported.split);
        Ok(Self {
            records: imported.records,
            media: Some(media),
            annotations: Some(annotations),
            split,
            version: imported.version,
            warnings: imported.warnings,
            left_out: imported.left_out,
            shapes: None,
        })
    }

    /// The generated benchmark as `model` sees it: its patches are the generator's cells.
    ///
    /// # Errors
    /// A model whose clips or patches the generator cannot make.
    pub fn generated(benchmark: Benchmark, model: &ModelConfig, frames: usize) -> Result<Self> {
        let config = shapes_config(benchmark, model, frames);
        let records = match benchmark.task() {
            BenchmarkTask::Retrieval | BenchmarkTask::Choice => Gallery::new(&config, frames)?.records("rendered"),
            BenchmarkTask::QuestionAnswering => {
                let set = question_set(&config, frames)?;
                (0..set.len()).map(|index| set.record(index)).collect()
            }
        };
        let mut warnings = Vec::new();
        if benchmark == Benchmark::ShapesQa && frames < config.frames {
            let whole = config.frames;
            warnings.push(format!("the model sees {frames} of {whole} frames: not every question can be answered"));
        }
        Ok(Self { records, split: "test".into(), warnings, shapes: Some(config), ..Self::default() })
    }

    /// The videos of `records` (one per distinct video), `frames` frames each.
    ///
    /// # Errors
    /// A folder that cannot be read; missing videos, unless `allow_missing`.
    pub fn videos(
        &self,
        benchmark: Benchmark,
        records: &[Record],
        frames: usize,
        size: usize,
        allow_missing: bool,
    ) -> Result<Box<dyn VideoSet>> {
        if let Some(config) = &self.shapes {
            return rendered(benchmark, config, frames, records.len());
        }
        let media = self.media.as_deref().unwrap_or(Path::new(""));
        let open = if benchmark.task() == BenchmarkTask::Choice { FileVideos::symmetric } else { FileVideos::new };
        let videos = open(records.to_vec(), media, frames, size)?;
        let missing = videos.missing()?;
        if let Some(first) = missing.first() {
            let files = records.iter().map(|record| &record.media).collect::<HashSet<_>>().len();
            let problem = format!("{} of {files} videos are not there, first {first}", missing.len());
            if missing.len() == files || !allow_missing {
                let rest =
                    if missing.len() == files { "" } else { ", or count them as misses with option `allow_missing`" };
                return Err(Error::file(media, problem, format!("put them there{rest}")));
            }
            log::warn!("{}: {problem}; they are counted as misses", media.display());
        }
        Ok(Box::new(videos))
    }

    /// The list that answers are chosen from, and where it came from: the file given, the one beside the weights, or
    /// the training answers in `data/` or beside the annotations.
    ///
    /// # Errors
    /// There is none of these, or it cannot be read.
    pub fn answer_list(&self, options: &EvalOptions) -> Result<(Vec<String>, String)> {
        if options.benchmark == Benchmark::ShapesQa {
            return Ok((answers().into_iter().map(str::to_owned).collect(), "the generator's".into()));
        }
        let beside = options.checkpoint.join(ANSWERS_FILE);
        if let Some(path) = options.answers.clone().or_else(|| beside.is_file().then_some(beside)) {
            return Ok((read_answers(&path)?, path.display().to_string()));
        }
        let names = options.benchmark.files().train;
        let folder = self.annotations.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let Some(train) = names.iter().map(|name| folder.join(name)).find(|path| path.is_file()) else {
            let problem = "is missing, and there are no training answers to derive it from";
            let remedy = format!("give a JSON list, or put {} beside the annotations", names.first().unwrap_or(&""));
            return Err(Error::setting("answers", problem, remedy));
        };
        let asked = import_options(options, ImportPurpose::Train);
        let rule = AnswerRule::of(options.benchmark);
        let list = rule.derive(&import(&train, &asked)?.records);
        let most = rule.max_answers.map_or(String::new(), |most| format!(", the {most} most frequent"));
        Ok((list, format!("{} (answers given {} times or more{most})", train.display(), rule.min_count)))
    }
}

/// The generator's settings of `benchmark` for a model of `model` that sees `frames` frames per clip: its patches are
/// the generator's cells.
pub fn shapes_config(benchmark: Benchmark, model: &ModelConfig, frames: usize) -> ShapesConfig {
    let preset = if benchmark == Benchmark::ShapesLong { ShapesPreset::LongClips } else { ShapesPreset::Default };
    let mut config = ShapesConfig::preset(preset);
    (config.px, config.patch) = (model.video.image_size, model.video.patch_size);
    config.frames = config.frames.max(frames);
    config
}

/// The answer list that is saved beside weights.
pub const ANSWERS_FILE: &str = "answers.json";

/// The questions of `shapes-qa` that are scored.
///
/// # Errors
/// Settings that do not fit together.
pub fn question_set(config: &ShapesConfig, frames: usize) -> Result<QaSet> {
    QaSet::new(config, ShapesSplit::Test, frames, QUESTIONS, QUESTION_SEED)
}

fn rendered(benchmark: Benchmark, config: &ShapesConfig, frames: usize, count: usize) -> Result<Box<dyn VideoSet>> {
    Ok(match benchmark.task() {
        BenchmarkTask::Retrieval | BenchmarkTask::Choice => {
            let gallery = Gallery::new(config, frames)?;
            let render = Box::new(move |index| gallery.clip(index).normalised());
            Box::new(RenderedVideos { count, prefix: "shapes", render })
        }
        BenchmarkTask::QuestionAnswering => {
            let set = question_set(config, frames)?;
            let render = Box::new(move |index| set.item(index).frames);
            Box::new(RenderedVideos { count, prefix: "shapes-qa", render })
        }
    })
}

/// What is known of the split of a file of `benchmark`, in a word.
fn split_name(benchmark: Benchmark, of_file: Option<Split>) -> String {
    match (of_file, benchmark) {
        (Some(split), _) => split.to_string(),
        (None, Benchmark::Vitatecs | Benchmark::Tempcompass | Benchmark::Vilma) => "none".into(),
        (None, _) => "unknown".into(),
    }
}

/// How the annotations of `options` are read for `purpose`.
fn import_options(options: &EvalOptions, purpose: ImportPurpose) -> AnnotationOptions {
    AnnotationOptions {
        benchmark: Some(options.benchmark),
        purpose,
        seed: options.seed,
        columns: options.columns.clone(),
        allow_missing: options.allow_missing,
    }
}

fn located(options: &EvalOptions, split: Split) -> Result<(PathBuf, PathBuf)> {
    let found = options.benchmark.files().locate(Path::new(DATA_DIR), split);
    match (&options.annotations, &options.media, found) {
        (Some(annotations), Some(media), _) => Ok((annotations.clone(), media.clone())),
        (Some(annotations), None, _) if annotations.to_string_lossy().contains(".tar") => {
            Ok((annotations.clone(), annotations.parent().unwrap_or(Path::new("")).to_path_buf()))
        }
        (Some(_), None, _) => Err(Error::setting("media", "is missing", "give the folder of the annotations' videos")),
        (None, media, Some(found)) => Ok((found.annotations, media.clone().unwrap_or(found.media))),
        (None, ..) => {
            let folder = Path::new(DATA_DIR).join(options.benchmark.files().folder);
            Err(Error::file(
                folder,
                "the benchmark's files are not there",
                "give option `annotations` and option `media`, or obtain them",
            ))
        }
    }
}

/// The tokenizer of the checkpoint in `folder`, or the one in `vocab`, or for a generated benchmark the generator's
/// words; checked against the model's vocabulary of `size` entries with hash `sha256`.
///
/// # Errors
/// None of these is there, or it is not the one the model was trained with.
pub fn tokenizer(
    benchmark: Benchmark,
    folder: &Path,
    vocab: Option<&Path>,
    size: usize,
    sha256: Option<&str>,
) -> Result<Tokenizer> {
    let common = Path::new(DATA_DIR).join("vocab.txt");
    let tokenizer = match (vocab, Tokenizer::read(folder)) {
        (Some(path), _) => Tokenizer::read(path)?,
        (None, Ok(tokenizer)) => tokenizer,
        (None, Err(_)) if benchmark.is_generated() => shapes_tokenizer()?,
        (None, Err(_)) if common.is_file() => Tokenizer::read(&common)?,
        (None, Err(error)) => return Err(error),
    };
    tokenizer.check(size, sha256)?;
    Ok(tokenizer)
}

/// The fixed words of the generator.
///
/// # Errors
/// None.
pub fn shapes_tokenizer() -> Result<Tokenizer> {
    let words = crate::data::shapes::vocab::vocab_txt().lines().map(str::to_owned).collect();
    Tokenizer::new(Vocabulary::from_tokens(words, Path::new("shapes"))?)
}
