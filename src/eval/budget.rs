//! Sparsity at test time: edges and keep rate as trained or as asked for, or the highest keep rate that meets a time per
//! clip on this machine. Dense models, imported ones among them, are made sparse without training.

#[cfg(feature = "cli")]
use crate::config::parse_edges;
use crate::config::{EdgeSparsity, Family, NodeSparsity, Selection, Sparsity, check_keep_rate};
#[cfg(feature = "cli")]
use crate::limits::number;
use crate::model::{VideoDraws, VideoEncoder};
use crate::{Error, Result};
use burn::tensor::Tensor;
use std::time::Instant;
use svitt_ops::SvittBackend;

/// Keep rates that a time budget chooses from, highest first.
const RATES: [f64; 9] = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2];

/// Timed encodings per rate; the median counts, and one more goes first to warm up.
const REPEATS: usize = 3;

/// The sparsity a checkpoint is to run with, where it is not its own
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct Budget {
    /// Keep rate q_v in place of the checkpoint's; a model that prunes nothing is pruned after a quarter, a half and
    /// three quarters of its layers
    #[cfg_attr(feature = "cli", arg(long, value_name = "Q", value_parser = number(0.0, 1.0)))]
    pub keep: Option<f64>,
    /// Take the highest keep rate that encodes a clip within MS milliseconds
    #[cfg_attr(feature = "cli", arg(long, value_name = "MS", value_parser = number(0.0, 1e9)))]
    pub budget_ms: Option<f64>,
    /// Sparse edges in place of the checkpoint's: local blocks, random blocks and tokens per block, as 1,3,56; with
    /// `,top` behind them the blocks that each clip and head chooses in place of random ones, as 1,3,56,top
    #[cfg_attr(feature = "cli", arg(long, value_name = "KL,KR,G[,top]", value_parser = parse_edges))]
    pub edges: Option<EdgeSparsity>,
    /// class-attention, received, mean-query or random: what ranks patches
    #[cfg_attr(feature = "cli", arg(long = "rank", value_name = "NAME"))]
    pub selection: Option<Selection>,
}

impl Budget {
    /// `video` as asked for. A model that prunes nothing is pruned after a quarter, a half and three quarters of its
    /// layers, as the published ones are.
    ///
    /// # Errors
    /// A rate and a budget at once, a ranking of nothing, a rate outside (0, 1], edges that do not fit, or a budget that
    /// no rate meets.
    pub fn apply<B: SvittBackend>(&self, video: VideoEncoder<B>, device: &B::Device) -> Result<VideoEncoder<B>> {
        if *self == Self::default() {
            return Ok(video);
        }
        if self.keep.is_some() && self.budget_ms.is_some() {
            return Err(Error::setting("keep", "is given beside option `budget_ms`", "give one of them"));
        }
        let own = video.config().sparsity.clone();
        let (layers, edge) = (video.config().layers, self.edges.or(own.edge));
        let pruned = self.keep.is_some() || self.budget_ms.is_some();
        let node = own.node.or_else(|| pruned.then(|| NodeSparsity::by_class(1.0, &quarters(layers))));
        let Some(node) = node else {
            if self.selection.is_some() {
                let problem = "ranks the patches of a model that prunes none";
                return Err(Error::setting("rank", problem, "give option `keep` or option `budget_ms` with it"));
            }
            return video.with_sparsity(Sparsity { edge, node: None });
        };
        let classless = video.config().family() == Family::Umt;
        if classless && self.selection == Some(Selection::ClassAttention) {
            let problem = "is class-attention, and UMT has no class token";
            return Err(Error::setting("rank", problem, "use received, mean-query or random"));
        }
        let usual = match node.selection {
            Selection::ClassAttention if classless => Selection::Received,
            usual => usual,
        };
        let node = NodeSparsity { selection: self.selection.unwrap_or(usual), ..node };
        let video = video.with_sparsity(Sparsity { edge, node: Some(node.clone()) })?;
        let keep_rate = match (self.keep, self.budget_ms) {
            (Some(rate), _) => check_keep_rate("keep", rate).map(|()| rate)?,
            (None, Some(milliseconds)) => highest_within(&video, milliseconds, device)?,
            (None, None) => node.keep_rate,
        };
        video.with_sparsity(Sparsity { edge, node: Some(NodeSparsity { keep_rate, ..node }) })
    }
}

/// The layers after a quarter, a half and three quarters of `layers`: 3, 6 and 9 of 12.
fn quarters(layers: usize) -> Vec<usize> {
    let mut pruning: Vec<usize> = [1, 2, 3].map(|quarter| layers * quarter / 4).to_vec();
    pruning.dedup();
    pruning
}

fn highest_within<B: SvittBackend>(video: &VideoEncoder<B>, budget_ms: f64, device: &B::Device) -> Result<f64> {
    let mut fastest = f64::INFINITY;
    for rate in RATES {
        let taken = milliseconds(video, rate, device)?;
        if taken <= budget_ms {
            log::info!("keep rate {rate}: {taken:.1} ms per clip");
            return Ok(rate);
        }
        fastest = fastest.min(taken);
    }
    let problem = format!("no keep rate encodes a clip in {budget_ms} ms; the fastest took {fastest:.1} ms");
    Err(Error::setting("budget_ms", problem, "raise it, or give a smaller model or shorter clips"))
}

/// The median time of encoding one clip at `rate`.
fn milliseconds<B: SvittBackend>(video: &VideoEncoder<B>, rate: f64, device: &B::Device) -> Result<f64> {
    let (frames, size) = (video.config().frames, video.config().image_size);
    let draws = VideoDraws { keep_rate: Some(rate), ..VideoDraws::evaluation(0) };
    let mut taken = Vec::with_capacity(REPEATS);
    for repeat in 0..=REPEATS {
        let clip = Tensor::<B, 5>::zeros([1, frames, 3, size, size], device);
        let since = Instant::now();
        let output = video.forward(clip, &draws, None)?;
        let _pooled = video.pool(output.hidden, output.frames).into_data();
        if repeat > 0 {
            taken.push(since.elapsed().as_secs_f64() * 1e3);
        }
    }
    taken.sort_by(f64::total_cmp);
    Ok(taken[REPEATS / 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Compat, ModelConfig};
    use crate::model::Svitt;
    use crate::testing::{on_cpu_backends, small_sparse_config};

    fn video<B: SvittBackend>(config: &ModelConfig) -> VideoEncoder<B> {
        Svitt::new(config, 1, &Default::default()).unwrap().video
    }

    fn keep_rates_are_obeyed_and_budgets_met<B: SvittBackend>() {
        let config = small_sparse_config(Compat::Corrected);
        let rate = |budget: Budget| {
            let video = budget.apply(video::<B>(&config), &Default::default())?;
            Ok::<_, Error>(video.config().sparsity.node.clone().unwrap().keep_rate)
        };
        let none = Budget::default();
        assert_eq!(rate(none).unwrap(), config.video.sparsity.node.as_ref().unwrap().keep_rate);
        assert_eq!(rate(Budget { keep: Some(0.3), ..none }).unwrap(), 0.3);
        assert_eq!(rate(Budget { budget_ms: Some(1e9), ..none }).unwrap(), 1.0);
        let refused = |budget: Budget| rate(budget).unwrap_err().to_string();
        assert!(refused(Budget { budget_ms: Some(1e-9), ..none }).contains("the fastest took"));
        assert!(refused(Budget { keep: Some(1.2), ..none }).contains("(0, 1]"));
        assert!(refused(Budget { keep: Some(0.5), budget_ms: Some(1.0), ..none }).contains("one of them"));
    }

    fn dense_models_are_made_sparse<B: SvittBackend>() {
        let mut config = small_sparse_config(Compat::Corrected);
        config.video.sparsity = Sparsity::default();
        let apply = |budget: Budget| {
            budget.apply(video::<B>(&config), &Default::default()).map(|video| video.config().sparsity.clone())
        };
        let edges = EdgeSparsity::new(1, 2, 5);
        let rank = Some(Selection::MeanQuery);
        let both = apply(Budget { keep: Some(0.4), edges: Some(edges), selection: rank, budget_ms: None }).unwrap();
        let node = NodeSparsity { keep_rate: 0.4, layers: vec![0, 1], selection: Selection::MeanQuery };
        assert_eq!(both, Sparsity { edge: Some(edges), node: Some(node) });
        let edges_alone = apply(Budget { edges: Some(edges), ..Budget::default() }).unwrap();
        assert_eq!(edges_alone, Sparsity { edge: Some(edges), node: None });
        let refused = apply(Budget { selection: rank, ..Budget::default() }).unwrap_err().to_string();
        assert!(refused.contains("setting `rank`"), "{refused}");
        let edges = Some(EdgeSparsity { block: 100, ..edges });
        assert!(apply(Budget { edges, ..Budget::default() }).unwrap_err().to_string().contains("edge.block"));
    }

    on_cpu_backends!(keep_rates_are_obeyed_and_budgets_met, dense_models_are_made_sparse);
}
