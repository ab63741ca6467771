//! Training data of a run: the `shapes` benchmark, or annotations and a folder of videos.

use super::validation_set::ValidationSet;
use crate::config::{ModelConfig, PretrainPreset, Stage, StepsOrEpochs};
use crate::data::import::{AnnotationOptions, Columns, ImportPurpose, import};
use crate::data::loader::{BatchPart, Loader, LoaderOptions, TextCollate};
use crate::data::shapes::{ShapesConfig, ShapesDataset, ShapesPreset, ShapesSplit, vocab};
use crate::data::{ClipSettings, EpochDataset, Record, Unreadable, VideoDataset};
use crate::text::{Tokenizer, Vocabulary};
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use svitt_ops::rng::key;

/// Items that count as one pass over the endless `shapes` data.
const SHAPES_EPOCH: usize = 9_600;

/// Most entries of a vocabulary that is built from captions.
const WORDS: usize = 30_522;

/// The data of a run and the tokenizer that fits it.
#[derive(Clone, Debug)]
pub struct TrainingData {
    /// Captions to ids.
    pub tokenizer: Arc<Tokenizer>,
    kind: DataKind,
    text_tokens: usize,
    flip: bool,
    seed: u64,
}

#[derive(Clone, Debug)]
enum DataKind {
    Shapes(Box<ShapesConfig>),
    Videos { records: Vec<Record>, left_out: Vec<Unreadable>, media: PathBuf },
}

impl TrainingData {
    /// The `shapes` benchmark for `preset`, whose last stage sees whole clips.
    ///
    /// # Errors
    /// Stages that name no program lengths, or a model whose patches are not the benchmark's cells.
    pub fn shapes(preset: &PretrainPreset, seed: u64) -> Result<Self> {
        let config = shapes_config(preset);
        if let Some(stage) = preset.stages.iter().find(|stage| stage.segments.is_empty()) {
            let setting = format!("stages.{}.segments", stage.name);
            return Err(Error::setting(
                setting,
                "is missing",
                "name the program lengths, or give option `annotations`",
            ));
        }
        let tokenizer = Arc::new(Tokenizer::new(Vocabulary::from_tokens(words(), Path::new("shapes"))?)?);
        let kind = DataKind::Shapes(Box::new(config));
        Ok(Self { tokenizer, kind, text_tokens: preset.text_tokens, flip: false, seed })
    }

    /// The clips that `annotations` lists below `media`, its columns named as `columns` say; without `vocab`, a word
    /// list is made of the captions.
    ///
    /// # Errors
    /// Annotations or a vocabulary that cannot be read, or annotations without captions.
    pub fn videos(
        preset: &PretrainPreset,
        annotations: &Path,
        columns: &Columns,
        media: &Path,
        vocab: Option<&Path>,
        seed: u64,
    ) -> Result<Self> {
        let options = AnnotationOptions {
            purpose: ImportPurpose::Train,
            columns: columns.clone(),
            ..AnnotationOptions::default()
        };
        let imported = import(annotations, &options)?;
        imported.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        let (records, left_out) = (imported.records, imported.left_out);
        let tokenizer = match vocab {
            Some(path) => Tokenizer::read(path)?,
            None => Tokenizer::new(Vocabulary::from_captions(records.iter().flat_map(|r| &r.captions), WORDS))?,
        };
        warn_of_cut_captions(&tokenizer, &records, preset.text_tokens);
        let kind = DataKind::Videos { records, left_out, media: media.to_path_buf() };
        Ok(Self { tokenizer: Arc::new(tokenizer), kind, text_tokens: preset.text_tokens, flip: preset.flip, seed })
    }

    /// Records of the annotations; none for the endless `shapes`.
    pub fn records(&self) -> Option<usize> {
        match &self.kind {
            DataKind::Shapes(_) => None,
            DataKind::Videos { records, .. } => Some(records.len()),
        }
    }

    /// A digest of what the annotations say: a run is not continued on other records.
    pub fn digest(&self) -> Vec<u8> {
        match &self.kind {
            DataKind::Shapes(_) => Vec::new(),
            DataKind::Videos { records, .. } => {
                let mut hash = Sha256::new();
                records.iter().for_each(|record| hash.update(format!("{record:?}")));
                hash.finalize().to_vec()
            }
        }
    }

    /// Whether this is the `shapes` benchmark.
    pub fn is_shapes(&self) -> bool {
        matches!(self.kind, DataKind::Shapes(_))
    }

    /// Tokens of a text.
    pub fn text_tokens(&self) -> usize {
        self.text_tokens
    }

    /// Words that can only be read off the clip: always masked on `shapes`, as direct supervision of temporal order.
    pub fn keywords(&self) -> Vec<i64> {
        match self.kind {
            DataKind::Shapes(_) => vocab::direction_ids().map(|id| id as i64).to_vec(),
            DataKind::Videos { .. } => Vec::new(),
        }
    }

    /// The training batches of stage number `stage` for `workers` workers: each batch is theirs together, and holds
    /// the stage's for every one of them. Of every batch `part` is read, which this process's workers have.
    ///
    /// # Errors
    /// Clips that cannot be used at all or are fewer than workers, or settings that do not fit together.
    pub fn loader(
        &self,
        stage: usize,
        settings: &Stage,
        model: &ModelConfig,
        workers: usize,
        part: BatchPart,
    ) -> Result<Loader> {
        let (frames, size) = (settings.frames, model.video.image_size);
        let seed = key(self.seed, &[stage as u64]);
        let dataset: Arc<dyn EpochDataset> = match &self.kind {
            DataKind::Shapes(config) => {
                let items = match settings.length {
                    StepsOrEpochs::Steps(steps) => steps * settings.batch * workers * settings.accumulate,
                    StepsOrEpochs::Epochs(_) => SHAPES_EPOCH,
                };
                let config = ShapesConfig { segments: settings.segments.clone(), ..(**config).clone() };
                let data = ShapesDataset::new(&config, ShapesSplit::Train, frames, items, seed)?;
                Arc::new(data.with_clips_per_object(settings.clips_per_object))
            }
            DataKind::Videos { records, left_out, media } => {
                let clips = ClipSettings::train(frames, size, self.flip, seed);
                Arc::new(VideoDataset::new(records.clone(), media, clips)?.with_left_out(left_out.clone()))
            }
        };
        dataset.left_out().iter().for_each(|left| log::warn!("{}: {}; left out", left.media, left.reason));
        let collate = TextCollate::new(self.tokenizer.clone(), self.text_tokens, frames, size);
        // A small data set shrinks the batch, to one that workers can share equally.
        let clips = dataset.len();
        if (1..workers).contains(&clips) {
            let problem = format!("{workers} workers cannot share {clips} clip(s)");
            return Err(Error::setting("devices", problem, format!("use option `devices` {clips}")));
        }
        let each = settings.batch.min((clips / workers).max(1));
        let row = if self.is_shapes() { settings.clips_per_object } else { 1 };
        let options = LoaderOptions::train(each * workers, seed).with_rows(row).with_part(part);
        Loader::new(dataset, Arc::new(collate), options)
    }

    /// What stages of `frames` frames are measured on.
    ///
    /// # Errors
    /// As [`TrainingData::loader`].
    pub fn validation(&self, frames: usize, size: usize) -> Result<ValidationSet> {
        match &self.kind {
            DataKind::Shapes(config) => ValidationSet::shapes(config, frames),
            DataKind::Videos { records, media, .. } => {
                let clips = VideoDataset::new(records.clone(), media, ClipSettings::evaluate(frames, size))?;
                Ok(ValidationSet::videos(&clips, frames, size))
            }
        }
    }
}

/// The generator's settings for `preset`: its patches are the cells. Clips of a named variant are as long as it says
/// or as the longest stage, and its gallery is its own; those of the default one follow the stages.
fn shapes_config(preset: &PretrainPreset) -> ShapesConfig {
    let mut config = ShapesConfig::preset(preset.shapes.unwrap_or(ShapesPreset::Default));
    let model = preset.model.model(1, 64);
    (config.px, config.patch) = (model.video.image_size, model.video.patch_size);
    let longest = preset.stages.iter().map(|stage| stage.frames).max();
    config.gallery_programs = preset.gallery_programs.or(config.gallery_programs);
    if preset.shapes.is_some() {
        config.frames = config.frames.max(longest.unwrap_or(1));
        return config;
    }
    config.frames = longest.unwrap_or(config.frames);
    let mut segments: Vec<usize> = preset.stages.iter().flat_map(|stage| stage.segments.iter().copied()).collect();
    segments.sort_unstable();
    segments.dedup();
    config.gallery_segments = segments;
    config
}

/// Captions whose length is looked at before a run: a second's work.
const LOOKED_AT: usize = 20_000;

/// Warns how many captions are longer than the text limit and will be cut, as published.
fn warn_of_cut_captions(tokenizer: &Tokenizer, records: &[Record], text_tokens: usize) {
    let long = |caption: &String| tokenizer.encode(caption, text_tokens).too_long;
    let all = records.iter().flat_map(|record| record.captions.iter().map(move |caption| (record, caption)));
    let mut cut = all.take(LOOKED_AT).filter(|(_, caption)| long(caption));
    if let Some((first, _)) = cut.next() {
        let (count, media) = (1 + cut.count(), &first.media);
        log::warn!(
            "{count} of the first {LOOKED_AT} captions, such as that of `{media}`, are longer than {text_tokens} tokens and are cut; \
             shorten them or raise `text_tokens` in the preset"
        );
    }
}

/// The fixed words of the benchmark, by id.
fn words() -> Vec<String> {
    vocab::vocab_txt().lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Benchmark, InspectOptions, Split as DataSplit, inspect};
    use crate::eval::{BenchmarkData, EvalOptions};

    /// The records of `path` as fine-tuning (`Train`) and evaluation read them.
    fn benchmark_records(path: &Path, columns: &Columns, purpose: ImportPurpose) -> Vec<Record> {
        let mut options = EvalOptions::new(Benchmark::Msrvtt, PathBuf::new());
        options.columns = columns.clone();
        options.annotations = Some(path.to_path_buf());
        options.media = path.parent().map(Path::to_path_buf);
        BenchmarkData::files(&options, DataSplit::Test, purpose).unwrap().records
    }

    #[test]
    fn every_command_reads_one_manifest_in_one_way() {
        let list = r#"[{"video": "a.mp4", "caption": "x", "score": 5.1}, {"video": "b.mp4", "caption": "y, z"}]"#;
        let lines = list.replace("}, {", "}\n{").replace(['[', ']'], "");
        let named = |from: &str, to: &str| list.replace(&format!("\"{from}\""), &format!("\"{to}\""));
        let table = |part: &str, quote: &str| {
            let header = ["Video", "Caption", "Start", "End"].join(part);
            let rows = [["a.mp4", "x", "1", "2.5"], ["b.mp4", &format!("{quote}y, z{quote}"), "", ""]];
            format!("{header}\n{}\n{}\n", rows[0].join(part), rows[1].join(part))
        };
        let contents = [
            list.to_owned(),
            lines,
            named("video", "video_path"),
            named("caption", "captions"),
            named("caption", "text").replace("\"video\"", "\"path\""),
            list.replace("\"x\"", "[\"x\"]").replace("5.1", "NaN"),
            list.replace("5.1", "{\"deep\": [1]}"),
            list.replace("\"score\": 5.1", "\"start_time\": 1, \"end_time\": 2.5"),
            table(",", "\""),
            table(";", ""),
            table("\t", ""),
            table("|", ""),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.txt");
        let (preset, columns) = (PretrainPreset::load("tiny-video").unwrap(), Columns::default());
        for content in contents {
            std::fs::write(&path, &content).unwrap();
            let evaluated = benchmark_records(&path, &columns, ImportPurpose::Evaluate);
            let texts: Vec<_> = evaluated.iter().map(|r| (r.media.as_str(), r.captions.join("|"))).collect();
            assert_eq!(texts, [("a.mp4", "x".to_owned()), ("b.mp4", "y, z".to_owned())], "{content}");
            let spans = content.to_lowercase().contains("start");
            assert_eq!(
                (evaluated[0].start, evaluated[0].end),
                if spans { (Some(1.0), Some(2.5)) } else { (None, None) }
            );
            assert_eq!(benchmark_records(&path, &columns, ImportPurpose::Train), evaluated, "{content}");
            let source = TrainingData::videos(&preset, &path, &columns, folder.path(), None, 0).unwrap();
            let DataKind::Videos { records, left_out, .. } = &source.kind else { panic!("videos") };
            assert_eq!((records, left_out.len()), (&evaluated, 0), "{content}");
            let report = inspect(&path, &InspectOptions::default()).unwrap();
            assert_eq!((report.records, report.captions, report.unusable), (2, 2, 0), "{content}");
        }
    }
}
