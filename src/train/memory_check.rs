//! Checks that all stages fit into memory before the first one starts.

use super::PretrainOptions;
use crate::config::ModelConfig;
use crate::profile::{Convention, Profile, available_memory_mb};
use crate::{Error, Result};

/// Parameters, gradients and AdamW's two moments.
const COPIES: f64 = 4.0;
const MB: f64 = 1024.0 * 1024.0;

/// Refuses stages whose video activations alone, on `workers` workers that share the memory, exceed what the system
/// would give. On GPUs, whose memory cannot be asked for, the first step decides.
///
/// # Errors
/// Names the stage, and a batch to try where one would fit.
pub(super) fn check(options: &PretrainOptions, base: &ModelConfig, workers: usize) -> Result<()> {
    let Some(free) = free_on_host(&options.backend) else { return Ok(()) };
    options.preset.stages.iter().try_for_each(|stage| {
        let batch = options.training_data.records().map_or(stage.batch, |records| stage.batch.min(records));
        fits(&stage.name, batch, &stage.model(base), free / workers as f64)
    })
}

/// The same for the only stage of a fine-tuning of `model`, in batches of `batch` clips.
pub(super) fn check_stage(backend: &str, name: &str, batch: usize, model: &ModelConfig) -> Result<()> {
    free_on_host(backend).map_or(Ok(()), |free| fits(name, batch, model, free))
}

/// The memory that is free, MB, where `backend` computes in it.
fn free_on_host(backend: &str) -> Option<f64> {
    available_memory_mb().filter(|_| ["flex", "ndarray"].contains(&backend))
}

fn fits(name: &str, batch: usize, model: &ModelConfig, free: f64) -> Result<()> {
    let profile = Profile::of(model, Convention::True)?;
    let memory = profile.memory();
    let fixed = COPIES * 4.0 * profile.parameters.total as f64 / MB;
    let pixels = 4 * 3 * model.video.frames * model.video.image_size.pow(2);
    let clip = (memory.linear + memory.statistics + pixels as u64) as f64 / MB;
    let needed = fixed + clip * batch as f64;
    if needed <= free {
        return Ok(());
    }
    let frames = model.video.frames;
    let problem = format!("{batch} clips of {frames} frames need more than {needed:.0} MB, and {free:.0} MB are free");
    let remedy = match ((free - fixed) / clip).max(0.0) as usize {
        0 => "use fewer frames, smaller frames or a smaller model".to_owned(),
        fitting => format!("try {} and raise `accumulate`", (fitting / 2).max(1)),
    };
    Err(Error::setting(format!("stages.{name}.batch"), problem, remedy))
}

/// The error for a stage that ran out of device memory.
pub(super) fn exhausted(backend: &str, stage: &str, batch: usize, said: &str) -> Error {
    let remedy = match batch / 2 {
        0 => "use fewer frames, smaller frames or a smaller model".to_owned(),
        half => format!("try `batch = {half}` with `accumulate = 2` in that stage"),
    };
    Error::backend(backend, format!("stage `{stage}` with batches of {batch} exhausts its memory ({said})"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PretrainPreset;

    #[test]
    fn a_batch_that_fits_is_proposed() {
        let preset = PretrainPreset::load("paper-webvid").unwrap();
        let base = preset.model.model(1, 30_522);
        let last = preset.stages.last().unwrap();
        let model = last.model(&base);
        let refuse = |batch, free| fits(&last.name, batch, &model, free).unwrap_err().to_string();
        let message = refuse(32, 20_000.0);
        let proposed: usize = message.split("try ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(message.contains("stages.") && (1..32).contains(&proposed), "{message}");
        fits(&last.name, proposed, &model, 20_000.0).unwrap();
        assert!(refuse(1, 100.0).contains("smaller model"));
        assert!(exhausted("cuda", "8-frames", 32, "OOM").to_string().contains("`batch = 16`"));
    }
}
