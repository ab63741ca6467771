//! Keep rate at test time: the configured one, a given rate, or the highest rate that meets a time per clip on this
//! machine.

use super::EvalOptions;
use crate::config::{NodeSparsity, Sparsity, check_keep_rate};
use crate::model::{VideoDraws, VideoEncoder};
use crate::{Error, Result};
use burn::tensor::Tensor;
use std::time::Instant;
use svitt_ops::SvittBackend;

/// Keep rates that a time budget chooses from, highest first.
const RATES: [f64; 9] = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2];

/// Timed encodings per rate; the median counts, and one more goes first to warm up.
const REPEATS: usize = 3;

/// `video` at the keep rate that `options` ask for.
///
/// # Errors
/// A rate or a budget for a model that prunes nothing, both at once, a rate outside (0, 1], or a budget that no rate
/// meets.
pub(super) fn at_budget<B: SvittBackend>(
    video: VideoEncoder<B>,
    options: &EvalOptions,
    device: &B::Device,
) -> Result<VideoEncoder<B>> {
    let (setting, wanted) = match (options.keep, options.budget_ms) {
        (None, None) => return Ok(video),
        (Some(_), Some(_)) => {
            return Err(Error::setting("--keep", "is given beside --budget-ms", "give one of them"));
        }
        (Some(keep), None) => ("--keep", keep),
        (None, Some(milliseconds)) => ("--budget-ms", milliseconds),
    };
    let sparsity = video.config().sparsity.clone();
    let Some(node) = &sparsity.node else {
        let problem = "the checkpoint's model prunes no tokens";
        return Err(Error::setting(setting, problem, "leave it out, or give a checkpoint trained with node sparsity"));
    };
    let rate = match options.keep {
        Some(rate) => check_keep_rate(setting, rate).map(|()| rate)?,
        None => highest_within(&video, wanted, device)?,
    };
    video.with_sparsity(Sparsity { node: Some(NodeSparsity { keep_rate: rate, ..node.clone() }), ..sparsity })
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
    Err(Error::setting("--budget-ms", problem, "raise it, or give a smaller model or shorter clips"))
}

/// The median time of encoding one clip at `rate`.
fn milliseconds<B: SvittBackend>(video: &VideoEncoder<B>, rate: f64, device: &B::Device) -> Result<f64> {
    let (frames, size) = (video.config().frames, video.config().image_size);
    let draws = VideoDraws { keep_rate: Some(rate), ..VideoDraws::evaluation(0) };
    let mut taken = Vec::with_capacity(REPEATS);
    for repeat in 0..=REPEATS {
        let clip = Tensor::<B, 5>::zeros([1, frames, 3, size, size], device);
        let since = Instant::now();
        let _pooled = video.forward(clip, &draws, None)?.pooled.into_data();
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
    use crate::data::Benchmark;
    use crate::model::Svitt;
    use crate::testing::{on_cpu_backends, small_sparse_config};

    fn video<B: SvittBackend>(config: &ModelConfig) -> VideoEncoder<B> {
        Svitt::new(config, 1, &Default::default()).unwrap().video
    }

    fn options() -> EvalOptions {
        EvalOptions::new(Benchmark::Shapes, "checkpoint".into())
    }

    fn keep_rates_and_time_budgets_are_applied<B: SvittBackend>() {
        let config = small_sparse_config(Compat::Corrected);
        let rate = |options: &EvalOptions| {
            at_budget(video::<B>(&config), options, &Default::default())
                .map(|video| video.config().sparsity.node.clone().unwrap().keep_rate)
        };
        assert_eq!(rate(&options()).unwrap(), config.video.sparsity.node.as_ref().unwrap().keep_rate);
        assert_eq!(rate(&EvalOptions { keep: Some(0.3), ..options() }).unwrap(), 0.3);
        assert_eq!(rate(&EvalOptions { budget_ms: Some(1e9), ..options() }).unwrap(), 1.0);
        let refused = |options: EvalOptions| rate(&options).unwrap_err().to_string();
        assert!(refused(EvalOptions { budget_ms: Some(1e-9), ..options() }).contains("the fastest took"));
        assert!(refused(EvalOptions { keep: Some(1.2), ..options() }).contains("(0, 1]"));
        assert!(refused(EvalOptions { keep: Some(0.5), budget_ms: Some(1.0), ..options() }).contains("one of them"));
    }

    fn a_model_without_pruning_has_no_budget<B: SvittBackend>() {
        let mut config = small_sparse_config(Compat::Corrected);
        config.video.sparsity.node = None;
        let options = EvalOptions { keep: Some(0.5), ..options() };
        let refused = at_budget(video::<B>(&config), &options, &Default::default()).unwrap_err().to_string();
        assert!(refused.contains("--keep") && refused.contains("prunes no tokens"), "{refused}");
    }

    on_cpu_backends!(keep_rates_and_time_budgets_are_applied, a_model_without_pruning_has_no_budget);
}
