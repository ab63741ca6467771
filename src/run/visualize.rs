//! What a checkpoint keeps of a clip, as pictures and numbers, by the name of a backend.

use super::ModelRequest;
use crate::backend::{BackendTask, dispatch};
use crate::data::Benchmark;
use crate::data::shapes::Gallery;
use crate::eval::{Budget, shapes_config, tokenizer};
#[cfg(feature = "cli")]
use crate::limits::{self, count, number};
use crate::model::Svitt;
use crate::text::Tokenizer;
use crate::visualize::{
    ClipComparison, FrameStrip, ModelVariant, analyze_clips, comparison_page, encode_text, load_clip, pruning_recall,
    recall_page, variants,
};
use crate::viz::{Canvas, Page, contact_sheet};
use crate::weights::{LoadedModel, open_svitt};
use crate::{Error, Result};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use svitt_ops::{SvittBackend, TrainBackend};

/// Clips of the gallery that are drawn.
const EXAMPLES: usize = 4;

/// Draw what the model keeps of a video: a page, a contact sheet and the numbers
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct VisualizeRequest {
    /// The video; none with --shapes
    #[cfg_attr(feature = "cli", arg(required_unless_present = "shapes", conflicts_with = "shapes"))]
    pub video: Option<PathBuf>,
    /// Measure on the `shapes` gallery how much of the target survives pruning, against random pruning
    #[cfg_attr(feature = "cli", arg(long))]
    pub shapes: bool,
    /// A text; the clip is also pruned by it
    #[cfg_attr(feature = "cli", arg(long, allow_hyphen_values = true))]
    pub text: Option<String>,
    /// The checkpoint.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub model: ModelRequest,
    /// Sparsity of the sparse model, in place of the checkpoint's or the paper's.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub budget: Budget,
    /// The patch whose block graph is drawn: frame, row and column from 1, such as 2,5,7
    #[cfg_attr(feature = "cli", arg(long, value_name = "T,Y,X"))]
    pub patch: Option<String>,
    /// Share of the tokens the text keeps; the checkpoint's, or .1 where it has none
    #[cfg_attr(feature = "cli", arg(long, value_name = "RATE", value_parser = number(0.0, 1.0)))]
    pub keep_by_text: Option<f64>,
    /// Clips of the gallery, with --shapes; 288 by default
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", value_parser = count(1, limits::ITEMS)))]
    pub clips: Option<usize>,
}

/// Clips of the gallery where no number is given.
const GALLERY: usize = 288;

/// Everything there is to write.
pub struct VisualizeOutput {
    /// The page, pictures inside.
    pub page: Page,
    /// All pictures on one sheet.
    pub sheet: Canvas,
    /// The numbers; `summary` is a line for people.
    pub report: Value,
}

/// Runs a checkpoint on one video, or on the `shapes` gallery, and draws what is left of the clips.
///
/// # Errors
/// A backend or checkpoint that is not there, a video that cannot be read, a patch or a rate that is none.
pub fn visualize(request: &VisualizeRequest) -> Result<VisualizeOutput> {
    let (backend, folder) = (request.model.backend()?, request.model.folder()?);
    dispatch(backend, VisualizeTask { request, folder: &folder })?
}

struct VisualizeTask<'a> {
    request: &'a VisualizeRequest,
    folder: &'a Path,
}

impl BackendTask for VisualizeTask<'_> {
    type Output = Result<VisualizeOutput>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let Self { request, folder } = self;
        let run = VisualizeRun::<B::InnerBackend>::open(request, folder, &device)?;
        match &request.video {
            Some(video) => run.one(request, video),
            None => run.gallery(request),
        }
    }
}

/// A checkpoint's dense and sparse model.
struct VisualizeRun<B: SvittBackend> {
    variants: [ModelVariant<B>; 2],
    opened: LoadedModel<Svitt<B>>,
    tokenizer: Option<Tokenizer>,
    folder: PathBuf,
    arithmetic: String,
    device: B::Device,
}

impl<B: SvittBackend> VisualizeRun<B> {
    fn open(args: &VisualizeRequest, folder: &Path, device: &B::Device) -> Result<Self> {
        let (precision, arithmetic) = args.model.arithmetic::<B>(device)?;
        let mut opened = open_svitt::<B>(folder, None, device)?;
        opened.model = opened.model.with_precision(precision);
        let asked = (args.budget != Budget::default()).then(|| {
            args.budget.apply(opened.model.video.clone(), device).map(|video| video.config().sparsity.clone())
        });
        let variants = variants(&opened.model, &opened.config, asked.transpose()?, args.keep_by_text)?;
        let benchmark = if args.shapes { Benchmark::Shapes } else { Benchmark::Msrvtt };
        let sha256 = opened.info.vocabulary.as_ref().map(|vocabulary| vocabulary.sha256.as_str());
        let size = opened.config.text.vocab_size;
        let wanted = args.shapes || args.text.is_some();
        let tokenizer =
            wanted.then(|| tokenizer(benchmark, folder, args.model.vocab.as_deref(), size, sha256)).transpose()?;
        Ok(Self { variants, opened, tokenizer, folder: folder.to_path_buf(), arithmetic, device: device.clone() })
    }

    fn ids(&self, text: &str) -> Vec<i64> {
        self.tokenizer.as_ref().map_or(Vec::new(), |tokenizer| encode_text(tokenizer, &self.opened.config, text))
    }

    fn checkpoint(&self) -> Value {
        json!({ "folder": self.folder.display().to_string(), "weights": self.opened.weights_sha256 })
    }

    fn one(&self, args: &VisualizeRequest, video: &Path) -> Result<VisualizeOutput> {
        let config = &self.opened.config;
        let patch = args.patch.as_deref().map(|patch| parse_patch(patch, config)).transpose()?;
        let clip = load_clip(video, config)?;
        let texts: Vec<Vec<i64>> = args.text.iter().map(|text| self.ids(text)).collect();
        let [dense, sparse] = &self.variants;
        let see = |variant| analyze_clips(variant, clip.pixels.clone(), &texts, 0, &self.device);
        let analyses = [see(dense)?, see(sparse)?];
        let frame_strip = FrameStrip::new(&clip.pixels, &config.video);
        let shown = ClipComparison::new(&frame_strip, &self.variants, [&analyses[0][0], &analyses[1][0]], patch);
        let note = format!(
            "{}, frames {:?}, checkpoint {}{}",
            video.display(),
            clip.indices,
            self.folder.display(),
            args.text.as_ref().map_or(String::new(), |text| format!(", text “{text}”"))
        );
        let (page, sheet, numbers) = comparison_page("What the model keeps", &note, &shown)?;
        let report = json!({
            "summary": shown.saved(),
            "video": crate::search::printable(video),
            "frames": clip.indices,
            "text": args.text,
            "checkpoint": self.checkpoint(),
            "arithmetic": self.arithmetic,
            "clip": numbers,
        });
        Ok(VisualizeOutput { page, sheet, report })
    }

    fn gallery(&self, args: &VisualizeRequest) -> Result<VisualizeOutput> {
        let config = &self.opened.config;
        let frames = config.video.frames;
        let gallery = Gallery::new(&shapes_config(Benchmark::Shapes, config, frames), frames)?;
        let sparse = &self.variants[1];
        let measured =
            pruning_recall(sparse, &gallery, args.clips.unwrap_or(GALLERY), &|text| self.ids(text), &self.device)?;
        let mut examples = Vec::new();
        let step = (gallery.entries().len() / EXAMPLES).max(1);
        for index in (0..gallery.entries().len()).step_by(step).take(EXAMPLES) {
            let (pixels, caption) = (gallery.clip(index).normalised(), &gallery.entries()[index].caption);
            let frame_strip = FrameStrip::new(&pixels, &config.video);
            let seen = analyze_clips(sparse, pixels, &[self.ids(caption)], 0, &self.device)?.remove(0);
            examples.push((caption.clone(), frame_strip, seen, gallery.target_patches(index)));
        }
        let page = recall_page("What pruning leaves of the target", &measured, &examples)?;
        let cells: Vec<(String, Canvas)> = examples
            .iter()
            .flat_map(|(caption, frame_strip, analysis, target)| {
                let whole = (caption.clone(), frame_strip.outlined(frame_strip.plain(), target));
                let stages = analysis.stages.iter().map(|stage| {
                    let label = format!("layer {}: {} left", stage.layer + 1, stage.count());
                    (label, frame_strip.outlined(frame_strip.alive(&stage.alive), target))
                });
                std::iter::once(whole).chain(stages)
            })
            .collect();
        let sheet = contact_sheet(&cells, 1 + examples.first().map_or(0, |(_, _, analysis, _)| analysis.stages.len()));
        let describe = |stage: &crate::visualize::StageRecall| {
            format!("{:.1} % of the target alive ({:.1} % by lot)", 100.0 * stage.recall, 100.0 * stage.random)
        };
        let summary = measured.stages.iter().map(describe).collect::<Vec<_>>().join(", then ");
        let report = json!({
            "summary": summary,
            "checkpoint": self.checkpoint(),
            "arithmetic": self.arithmetic,
            "pruning_recall": measured,
        });
        Ok(VisualizeOutput { page, sheet, report })
    }
}

/// `T,Y,X` counted from 1.
fn parse_patch(text: &str, config: &crate::config::ModelConfig) -> Result<[usize; 3]> {
    let (frames, grid) = (config.video.frames, config.video.grid());
    let numbers: Vec<usize> = text.split(',').filter_map(|part| part.trim().parse().ok()).collect();
    match numbers[..] {
        [t, y, x] if (1..=frames).contains(&t) && (1..=grid).contains(&y) && (1..=grid).contains(&x) => {
            Ok([t - 1, y - 1, x - 1])
        }
        _ => {
            let problem = format!("`{text}` is no patch of {frames} frames of {grid} × {grid}");
            Err(Error::setting("patch", problem, "give frame, row and column from 1, such as 1,2,3"))
        }
    }
}
