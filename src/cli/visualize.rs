//! `svitt visualize`: what a checkpoint keeps of a clip, as pictures and numbers.

use crate::backend::{BackendKind, BackendTask, dispatch};
use crate::cli::output;
use crate::data::Benchmark;
use crate::data::shapes::Gallery;
use crate::eval::{shapes_config, tokenizer};
use crate::model::Svitt;
use crate::text::Tokenizer;
use crate::visualize::{
    ClipComparison, FrameStrip, ModelVariant, analyze_clips, comparison_page, encode_text, load_clip, pruning_recall,
    recall_page, variants,
};
use crate::viz::{Canvas, Page, contact_sheet};
use crate::weights::{LoadedModel, given_or_newest, open_svitt};
use crate::{Error, Result};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use svitt_ops::{SvittBackend, TrainBackend};

/// Clips of the gallery that are drawn.
const EXAMPLES: usize = 4;

/// Draw what the model keeps of a video: a page, a contact sheet and the numbers
#[derive(clap::Args)]
pub struct Args {
    /// The video; none with --shapes
    #[arg(required_unless_present = "shapes", conflicts_with = "shapes")]
    video: Option<PathBuf>,
    /// Measure on the `shapes` gallery how much of the target survives pruning, against random pruning
    #[arg(long)]
    shapes: bool,
    /// A text; the clip is also pruned by it
    #[arg(long, allow_hyphen_values = true)]
    text: Option<String>,
    /// Checkpoint folder; the newest under ./runs by default
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// Where index.html, sheet.png and report.json go
    #[arg(long, value_name = "DIR", default_value = "visualize")]
    out: PathBuf,
    /// The patch whose block graph is drawn: frame, row and column from 1, such as 2,5,7
    #[arg(long, value_name = "T,Y,X")]
    patch: Option<String>,
    /// Share of the tokens the text keeps; the checkpoint's, or .1 where it has none
    #[arg(long, value_name = "RATE")]
    keep_by_text: Option<f64>,
    /// Clips of the gallery, with --shapes
    #[arg(long, value_name = "N", default_value_t = 288)]
    clips: usize,
    /// vocab.txt or tokenizer.json; the one beside the weights by default
    #[arg(long)]
    vocab: Option<PathBuf>,
    /// cuda, wgpu, wgpu-wgsl, flex or ndarray; the fastest of this build by default
    #[arg(long)]
    backend: Option<String>,
}

/// Everything that is written.
struct VisualizeOutput {
    page: Page,
    sheet: Canvas,
    report: Value,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let backend = BackendKind::choose(args.backend.as_deref())?;
    let (folder, out) = (given_or_newest(args.checkpoint.clone())?, args.out.clone());
    let VisualizeOutput { page, sheet, report } = dispatch(backend, Visualize(args, folder))??;
    std::fs::create_dir_all(&out).map_err(|e| Error::io(&out, &e))?;
    sheet.write_png(out.join("sheet.png"))?;
    page.write(out.join("index.html"))?;
    output::write_json(Some(&out.join("report.json")), &report)?;
    output::print(&format!(
        "{}\n{}\n",
        report["summary"].as_str().unwrap_or_default(),
        out.join("index.html").display()
    ))
}

struct Visualize(Args, PathBuf);

impl BackendTask for Visualize {
    type Output = Result<VisualizeOutput>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let Self(args, folder) = &self;
        let visualize = VisualizeRun::<B::InnerBackend>::open(args, folder, &device)?;
        match &args.video {
            Some(video) => visualize.one(args, video),
            None => visualize.gallery(args),
        }
    }
}

/// A checkpoint's dense and sparse model.
struct VisualizeRun<B: SvittBackend> {
    variants: [ModelVariant<B>; 2],
    opened: LoadedModel<Svitt<B>>,
    tokenizer: Option<Tokenizer>,
    folder: PathBuf,
    device: B::Device,
}

impl<B: SvittBackend> VisualizeRun<B> {
    fn open(args: &Args, folder: &Path, device: &B::Device) -> Result<Self> {
        let opened = open_svitt::<B>(folder, None, device)?;
        let variants = variants(&opened.model, &opened.config, args.keep_by_text)?;
        let benchmark = if args.shapes { Benchmark::Shapes } else { Benchmark::Msrvtt };
        let sha256 = opened.info.vocabulary.as_ref().map(|vocabulary| vocabulary.sha256.as_str());
        let size = opened.config.text.vocab_size;
        let wanted = args.shapes || args.text.is_some();
        let tokenizer =
            wanted.then(|| tokenizer(benchmark, folder, args.vocab.as_deref(), size, sha256)).transpose()?;
        Ok(Self { variants, opened, tokenizer, folder: folder.to_path_buf(), device: device.clone() })
    }

    fn ids(&self, text: &str) -> Vec<i64> {
        self.tokenizer.as_ref().map_or(Vec::new(), |tokenizer| encode_text(tokenizer, &self.opened.config, text))
    }

    fn checkpoint(&self) -> Value {
        json!({ "folder": self.folder.display().to_string(), "weights": self.opened.weights_sha256 })
    }

    fn one(&self, args: &Args, video: &Path) -> Result<VisualizeOutput> {
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
            "clip": numbers,
        });
        Ok(VisualizeOutput { page, sheet, report })
    }

    fn gallery(&self, args: &Args) -> Result<VisualizeOutput> {
        let config = &self.opened.config;
        let frames = config.video.frames;
        let gallery = Gallery::new(&shapes_config(config, frames), frames)?;
        let sparse = &self.variants[1];
        let measured = pruning_recall(sparse, &gallery, args.clips, &|text| self.ids(text), &self.device)?;
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
        let report = json!({ "summary": summary, "checkpoint": self.checkpoint(), "pruning_recall": measured });
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
            Err(Error::setting("--patch", problem, "give frame, row and column from 1, such as 1,2,3"))
        }
    }
}
