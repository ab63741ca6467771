//! `svitt profile`: what a model costs, counted.

mod report;

use crate::cli::output::{self, JsonArg};
use crate::config::{BlockChoice, Compat, ModelConfig, NamedModel, check_keep_rate};
use crate::limits::{self, count};
use crate::profile::{Convention, published};
use crate::{Error, Result, input};
use clap::ValueEnum;
use report::{ProfileReport, Row};
use std::path::{Path, PathBuf};

/// Count parameters, attention edges, FLOPs and activation memory
#[derive(clap::Args)]
pub struct Args {
    /// Frames per clip, one or more
    #[arg(long, value_delimiter = ',', default_value = "4,8,16", value_parser = count(1, limits::FRAMES))]
    frames: Vec<usize>,
    /// `true` counts what is computed, `paper` what the paper printed
    #[arg(long, default_value = "true")]
    convention: Convention,
    /// Modes to count, one or more
    #[arg(long = "mode", alias = "modes", value_delimiter = ',', default_value = "dense,edge,node,hybrid")]
    modes: Vec<Mode>,
    /// Sizes of the model
    #[arg(long, default_value = "base")]
    size: Size,
    /// svitt-base, singularity-base, umt-base or umt-large, in place of a size
    #[arg(long, value_name = "NAME", conflicts_with = "size")]
    model: Option<String>,
    /// Edge sparsity of the modes edge and hybrid, as K_l,K_r,G [default: 1,3 and four rows of patches: 1,3,56]
    #[arg(long, value_name = "KL,KR,G", value_delimiter = ',', num_args = 1)]
    edge: Vec<usize>,
    /// random or top: whether the K_r blocks are drawn, or chosen by each clip and head, which is counted
    #[arg(long, value_name = "NAME", default_value_t)]
    blocks: BlockChoice,
    /// q_v of the modes node and hybrid [default: the paper's for the number of frames]
    #[arg(long, value_name = "Q")]
    keep: Option<f64>,
    /// q_m of the mode hybrid
    #[arg(long, value_name = "Q", default_value_t = 0.1)]
    keep_cross: f64,
    /// Count the model of this config.json instead, as it is
    #[arg(long, value_name = "FILE", conflicts_with_all = ["frames", "modes", "size", "model", "edge", "blocks", "keep", "keep_cross"])]
    config: Option<PathBuf>,
    /// Print every layer
    #[arg(long)]
    layers: bool,
    #[command(flatten)]
    json: JsonArg,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Dense,
    Edge,
    Node,
    Hybrid,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Size {
    Base,
    Small,
    Tiny,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let rows = match &args.config {
        Some(path) => vec![Row::of(read_config(path)?, args.convention)?],
        None => args.rows()?,
    };
    let report = ProfileReport::new(args.convention, rows)?;
    output::print(&report.text(args.layers)?)?;
    args.json.write(&report.json()?)
}

impl Args {
    fn rows(&self) -> Result<Vec<Row>> {
        let pairs = self.frames.iter().flat_map(|&frames| self.modes.iter().map(move |&mode| (frames, mode)));
        pairs.map(|(frames, mode)| Row::of(self.model(frames, mode)?, self.convention)).collect()
    }

    /// The model of one row. At base size with nothing chosen, the rows of the paper's Table 2.
    fn model(&self, frames: usize, mode: Mode) -> Result<ModelConfig> {
        let base = match (self.size, &self.model) {
            (_, Some(name)) => name.parse::<NamedModel>()?.config(frames),
            (Size::Base, None) => ModelConfig::base(frames),
            (Size::Small, None) => ModelConfig::small(frames),
            (Size::Tiny, None) => ModelConfig::tiny(frames),
        };
        // The official rules, as in the tables; they differ where fewer blocks are left than K_l + K_r.
        let base = ModelConfig { compat: Compat::Official, ..base };
        let edge = match self.edge.as_slice() {
            [] => (1, 3, 4 * base.video.grid()),
            &[local, random, block] if local.max(random).max(block) < 1_000_000 => (local, random, block),
            _ => return Err(Error::setting("--edge", "takes three numbers", "write K_l,K_r,G, for example 1,3,56")),
        };
        let (sparse_edges, prunes) =
            (matches!(mode, Mode::Edge | Mode::Hybrid), matches!(mode, Mode::Node | Mode::Hybrid));
        let name = mode.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let keep = if prunes { self.keep.unwrap_or(published::keep_rate(&name, frames)) } else { 1.0 };
        let keep_cross = if mode == Mode::Hybrid { self.keep_cross } else { 1.0 };
        for (flag, rate) in [("--keep", keep), ("--keep-cross", keep_cross)] {
            check_keep_rate(flag, rate)?;
        }
        let mut model = published::sparse(base, sparse_edges.then_some(edge), keep, keep_cross);
        let edge = &mut model.video.sparsity.edge;
        *edge = edge.map(|edge| edge.with_blocks(self.blocks));
        Ok(model)
    }
}

/// Bytes of a config.json that is read: ours have 3 KB.
const LARGEST_CONFIG: u64 = 1 << 20;

/// The model's part of a config.json, or a file that is nothing else.
fn read_config(path: &Path) -> Result<ModelConfig> {
    let text = input::read_text(path, LARGEST_CONFIG)?;
    let fault = |e: serde_json::Error| Error::file(path, e.to_string(), "name the config.json of a checkpoint");
    let mut value: serde_json::Value = serde_json::from_str(&text).map_err(fault)?;
    let model = value.get_mut("model").map(serde_json::Value::take).unwrap_or(value);
    serde_json::from_value(model).map_err(fault)
}
