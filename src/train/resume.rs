//! Where a run begins: at the newest checkpoint of its folder, or afresh.

use super::{AdamWState, Checkpoints, RunState};
use crate::{Error, Result, digest};
use burn::module::Module;
use burn::tensor::backend::Backend;
use sha2::{Digest, Sha256};
use std::path::Path;

/// A digest of all that a resumed run must share with the run it continues.
#[derive(Default)]
pub(super) struct Fingerprint(Sha256);

impl Fingerprint {
    /// With `part`.
    pub fn with(self, part: impl AsRef<[u8]>) -> Self {
        Self(self.0.chain_update(part))
    }

    /// 16 hexadecimal digits.
    pub fn text(self) -> String {
        digest::short(self.0)
    }
}

/// What a run begins with.
pub(super) struct Beginning<B: Backend, M> {
    /// Where it stands.
    pub state: RunState,
    /// Its weights.
    pub model: M,
    /// The optimizer, if the run stopped inside a stage.
    pub moments: Option<AdamWState<B>>,
}

/// What is looked for.
pub(super) struct ResumeOptions<'a> {
    /// The folder of the run.
    pub out: &'a Path,
    /// Whether `--resume` was given.
    pub resume: bool,
    /// [`Fingerprint`] of the run.
    pub fingerprint: String,
    /// Seed of the run.
    pub seed: u64,
    /// Processes, and devices of each.
    pub layout: [usize; 2],
}

/// Loads the newest checkpoint if the run is to be resumed and there is one. `model` makes the weights to begin with,
/// or those of the given state's shapes, which the checkpoint's take the place of.
///
/// # Errors
/// A damaged checkpoint, one of another run, or what `model` returns.
pub(super) fn resume_or_start<B: Backend, M: Module<B>>(
    options: ResumeOptions<'_>,
    device: &B::Device,
    model: impl FnOnce(Option<&RunState>) -> Result<M>,
) -> Result<Beginning<B, M>> {
    let ResumeOptions { out, resume, fingerprint, seed, layout } = options;
    let found = if resume { Checkpoints::of(out).newest()? } else { None };
    let Some((state, saved)) = found else {
        if resume {
            log::info!("nothing was saved in {}: starting afresh", out.display());
        }
        let state = RunState { fingerprint, seed, layout: Some(layout), ..RunState::default() };
        return Ok(Beginning { state, model: model(None)?, moments: None });
    };
    if let Some(before) = state.layout.filter(|before| *before != layout) {
        let named = |[processes, devices]: [usize; 2]| format!("{processes} process(es) with {devices} device(s) each");
        let problem = format!(
            "the run in {} was made by {}, and this is {}: batches and sums would be others",
            out.display(),
            named(before),
            named(layout)
        );
        return Err(Error::setting("resume", problem, "start as many processes and devices as the run began with"));
    }
    if state.fingerprint != fingerprint {
        let problem = format!(
            "the run in {} was made with other stages, settings, data, seed, first weights or number of devices",
            out.display()
        );
        let remedy = "repeat the command it was started with, or give another option `out`";
        return Err(Error::setting("resume", problem, remedy));
    }
    log::info!("resuming after step {} of the run", state.global_step);
    let model = saved.model(model(Some(&state))?, device)?;
    let moments = saved.optimizer(&model, &state, device)?;
    Ok(Beginning { state, model, moments })
}
