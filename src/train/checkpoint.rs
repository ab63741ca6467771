//! Step-level checkpoints: written beside the last one, flushed to the disk, then renamed into place, so that a kill
//! at any moment and a full disk leave the last good one as it was.

use super::metrics_log::LossValues;
use super::snapshot;
use super::{AdamWState, SkippedSteps, StageReport};
use crate::data::Unreadable;
use crate::{Error, Result, checksums, files};
use burn::module::Module;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
const UNFINISHED: &str = "unfinished";

/// Where a run stands. Every draw is a function of the seed, the stage and the step ([`svitt_ops::rng`]), so these
/// numbers are the whole state of all random sources; the sampler's position is the number of batches taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// A fingerprint of preset, data and seed: a checkpoint continues only the run it belongs to.
    pub fingerprint: String,
    /// Seed of the run.
    pub seed: u64,
    /// Processes of the run, and devices of each; none in checkpoints from before there were several.
    #[serde(default)]
    pub layout: Option<[usize; 2]>,
    /// The stage that is being trained, counted from 0; the number of stages when all are done.
    pub stage: usize,
    /// Optimizer steps of that stage already taken.
    pub step: usize,
    /// Optimizer steps of the whole run already taken.
    pub global_step: usize,
    /// Batches of the stage already taken from the loader.
    pub batches: usize,
    /// Seconds the stage has trained for.
    pub seconds: f64,
    /// Seconds the whole run has taken.
    pub run_seconds: f64,
    /// Losses of the last logged step.
    #[serde(default)]
    pub losses: LossValues,
    /// Steps that were skipped for a non-finite loss, in this stage.
    pub skipped: SkippedSteps,
    /// Videos that could not be read so far.
    #[serde(default)]
    pub unreadable: Vec<Unreadable>,
    /// Reports of the stages that are done.
    pub finished: Vec<StageReport>,
}

/// The folder that holds a run's checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// The checkpoints of the run in `out`.
    pub fn of(out: &Path) -> Self {
        Self { folder: out.join("checkpoint") }
    }

    /// Saves `model` and, in the middle of a stage, its optimizer, as the newest checkpoint, and only then removes the
    /// older ones.
    ///
    /// # Errors
    /// The disk is full or the folder cannot be written; the checkpoints that were there are still there.
    pub fn save<B: Backend, M: Module<B>>(
        &self,
        state: &RunState,
        model: &M,
        optimizer: Option<&AdamWState<B>>,
    ) -> Result<()> {
        let unfinished = self.folder.join(UNFINISHED);
        let written = self.write(&unfinished, state, model, optimizer);
        if written.is_err() {
            // A half-written folder uses the disk space that is missing; if removing fails, the next save tries again.
            let _ = fs::remove_dir_all(&unfinished);
        }
        written?;
        for (global_step, old) in self.list() {
            if global_step < state.global_step || old != self.checkpoint_path(state) {
                fs::remove_dir_all(&old).map_err(|e| Error::io(&old, &e))?;
            }
        }
        Ok(())
    }

    fn write<B: Backend, M: Module<B>>(
        &self,
        unfinished: &Path,
        state: &RunState,
        model: &M,
        optimizer: Option<&AdamWState<B>>,
    ) -> Result<()> {
        if unfinished.exists() {
            fs::remove_dir_all(unfinished).map_err(|e| Error::io(unfinished, &e))?;
        }
        // Only these two: a run's folder that was deleted meanwhile is not made anew without what was in it.
        for folder in [&self.folder, unfinished] {
            match fs::create_dir(folder) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    let problem = "was deleted while the run wrote to it: what it had saved is lost";
                    return Err(Error::file(self.run(), problem, "start the run again, and leave its folder alone"));
                }
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(Error::io(folder, &e)),
                _ => {}
            }
        }
        snapshot::write(&unfinished.join(MODEL), &snapshot::tensors(model))?;
        if let Some(optimizer) = optimizer {
            snapshot::write(&unfinished.join(OPTIMIZER), &snapshot::optimizer_tensors(model, optimizer))?;
        }
        files::write_json(&unfinished.join(STATE), state)?;
        let names: &[&str] = if optimizer.is_some() { &[MODEL, OPTIMIZER, STATE] } else { &[MODEL, STATE] };
        checksums::write(unfinished, names)?;
        let checkpoint_path = self.checkpoint_path(state);
        if checkpoint_path.exists() {
            fs::remove_dir_all(&checkpoint_path).map_err(|e| Error::io(&checkpoint_path, &e))?;
        }
        fs::rename(unfinished, &checkpoint_path).map_err(|e| Error::io(&checkpoint_path, &e))?;
        files::sync_folder(&self.folder);
        Ok(())
    }

    /// The newest checkpoint that is whole, or none; those that are not are passed over with a warning.
    ///
    /// # Errors
    /// There are checkpoints, and all of them are damaged.
    pub fn newest(&self) -> Result<Option<(RunState, SavedTensors)>> {
        let mut damaged = None;
        for (_, folder) in self.list().into_iter().rev() {
            if !(folder.join(STATE).is_file() && folder.join(MODEL).is_file()) {
                log::warn!("{}: is no complete checkpoint and is passed over", folder.display());
                continue;
            }
            match read_state(&folder) {
                Ok(state) => return Ok(Some((state, SavedTensors { folder }))),
                Err(error) => {
                    log::warn!("{}: is damaged and is passed over", folder.display());
                    damaged.get_or_insert(error);
                }
            }
        }
        damaged.map_or(Ok(None), Err)
    }

    /// Removes all checkpoints: the run is done and its weights are elsewhere.
    ///
    /// # Errors
    /// The folder cannot be removed.
    pub fn clear(&self) -> Result<()> {
        match self.folder.exists() {
            true => fs::remove_dir_all(&self.folder).map_err(|e| Error::io(&self.folder, &e)),
            false => Ok(()),
        }
    }

    /// The folder of the run.
    fn run(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }

    /// Stage and step in the name, so that the newest sorts last and a stage's end differs from the next one's start.
    fn checkpoint_path(&self, state: &RunState) -> PathBuf {
        self.folder.join(format!("step-{:09}-{:03}", state.global_step, state.stage))
    }

    fn list(&self) -> Vec<(usize, PathBuf)> {
        let step = |path: &Path| {
            let name = path.file_name()?.to_str()?.strip_prefix("step-")?;
            name.split('-').next()?.parse().ok()
        };
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut found: Vec<(usize, PathBuf)> = entries.filter_map(|path| Some((step(&path)?, path))).collect();
        found.sort();
        found
    }
}

/// The state in a checkpoint's folder, all of whose files are as they were written.
fn read_state(folder: &Path) -> Result<RunState> {
    let remedy = "start afresh without option `resume`";
    checksums::verify(folder, remedy)?;
    files::read_json(&folder.join(STATE), remedy)
}

/// The tensors of one checkpoint on disk.
#[derive(Clone, Debug)]
pub struct SavedTensors {
    folder: PathBuf,
}

impl SavedTensors {
    /// `model` with the saved weights.
    ///
    /// # Errors
    /// The file is damaged or of another model.
    pub fn model<B: Backend, M: Module<B>>(&self, model: M, device: &B::Device) -> Result<M> {
        snapshot::restore(model, &self.folder.join(MODEL), device)
    }

    /// The saved optimizer of `model`, or none where the checkpoint stands between two stages.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn optimizer<B: Backend, M: Module<B>>(
        &self,
        model: &M,
        state: &RunState,
        device: &B::Device,
    ) -> Result<Option<AdamWState<B>>> {
        let file = self.folder.join(OPTIMIZER);
        if !file.exists() {
            return Ok(None);
        }
        snapshot::read_optimizer(model, &file, (state.step, state.skipped), device).map(Some)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::train::{AdamW, AdamWSettings, toy_model::ToyModel};
    use burn::backend::Autodiff;
    use burn::module::AutodiffModule;
    use burn::optim::{GradientsParams, Optimizer};

    type B = Autodiff<burn_flex::Flex>;

    fn state(step: usize) -> RunState {
        RunState { global_step: step, step, batches: 3 * step, seed: 11, ..RunState::default() }
    }

    fn toy(value: f32) -> ToyModel<B> {
        ToyModel::new(&[value; 20], &Default::default())
    }

    #[test]
    fn weights_and_moments_round_trip_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(folder.path());
        let device = Default::default();
        let mut optimizer = AdamW::<B>::new(AdamWSettings::default(), &device);
        let one_step = |optimizer: &mut AdamW<B>, toy: ToyModel<B>| {
            let grads = GradientsParams::from_grads(toy.linear_loss(&[0.3; 20]).backward(), &toy);
            optimizer.step(0.01, toy, grads)
        };
        let model = one_step(&mut optimizer, toy(0.7));
        checkpoints.save(&state(5), &model.valid(), Some(&optimizer.state())).unwrap();
        let straight = one_step(&mut optimizer, model);

        let (found, saved) = checkpoints.newest().unwrap().unwrap();
        assert_eq!(found, state(5));
        let model = saved.model::<B, _>(toy(0.0), &device).unwrap();
        let moments = saved.optimizer(&model.valid(), &found, &device).unwrap().unwrap();
        let mut resumed = AdamW::<B>::resume(AdamWSettings::default(), moments);
        assert_eq!(one_step(&mut resumed, model).weights(), straight.weights());
        assert_eq!(resumed.state().nonfinite.steps, 6);
    }

    #[test]
    fn the_newest_is_loaded_and_older_ones_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(folder.path());
        assert!(checkpoints.newest().unwrap().is_none());
        for step in [9, 10, 100] {
            checkpoints.save(&state(step), &toy(step as f32).valid(), None).unwrap();
        }
        assert_eq!(checkpoints.newest().unwrap().unwrap().0.step, 100);
        assert_eq!(fs::read_dir(folder.path().join("checkpoint")).unwrap().count(), 1);
        checkpoints.clear().unwrap();
        assert!(checkpoints.newest().unwrap().is_none());
    }

    /// A kill in the middle of a save leaves an unfinished folder; a failing save removes it. Both leave the last one.
    #[test]
    fn an_interrupted_or_failing_save_leaves_the_last_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(folder.path());
        checkpoints.save(&state(7), &toy(1.0).valid(), None).unwrap();
        let unfinished = folder.path().join("checkpoint/unfinished");
        fs::create_dir(&unfinished).unwrap();
        fs::write(unfinished.join(MODEL), b"half").unwrap();
        assert_eq!(checkpoints.newest().unwrap().unwrap().0.step, 7);

        // The target of the rename cannot be replaced: a file stands where the folder must go.
        fs::write(folder.path().join("checkpoint/step-000000008-000"), b"in the way").unwrap();
        assert!(checkpoints.save(&state(8), &toy(2.0).valid(), None).is_err());
        fs::remove_file(folder.path().join("checkpoint/step-000000008-000")).unwrap();
        assert!(!unfinished.exists());
        let (found, saved) = checkpoints.newest().unwrap().unwrap();
        assert_eq!(found.step, 7);
        assert_eq!(saved.model::<B, _>(toy(0.0), &Default::default()).unwrap().weights(), [1.0; 20]);
    }

    #[test]
    fn an_empty_folder_hides_no_checkpoint_and_a_deleted_run_is_not_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        fs::create_dir(&run).unwrap();
        let checkpoints = Checkpoints::of(&run);
        checkpoints.save(&state(7), &toy(1.0).valid(), None).unwrap();
        fs::create_dir(run.join("checkpoint/step-999999999-001")).unwrap();
        assert_eq!(checkpoints.newest().unwrap().unwrap().0.step, 7);
        fs::remove_dir_all(&run).unwrap();
        let message = checkpoints.save(&state(8), &toy(1.0).valid(), None).unwrap_err().to_string();
        assert!(message.contains("was deleted while the run wrote to it") && !run.exists(), "{message}");
    }

    #[test]
    fn a_flipped_bit_is_not_resumed_from() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(folder.path());
        checkpoints.save(&state(7), &toy(1.0).valid(), None).unwrap();
        for name in [MODEL, STATE] {
            let file = folder.path().join("checkpoint/step-000000007-000").join(name);
            let whole = fs::read(&file).unwrap();
            let mut bytes = whole.clone();
            let last = bytes.len() - 3;
            bytes[last] ^= 1;
            fs::write(&file, bytes).unwrap();
            let message = checkpoints.newest().unwrap_err().to_string();
            assert!(
                message.contains(name) && message.contains("damaged") && message.contains("option `resume`"),
                "{message}"
            );
            fs::write(&file, whole).unwrap();
        }
        assert_eq!(checkpoints.newest().unwrap().unwrap().0.step, 7);
        // A cut copy that calls itself newer: the whole one is gone on from.
        let (whole, newer) =
            (folder.path().join("checkpoint/step-000000007-000"), folder.path().join("checkpoint/step-000000008-000"));
        fs::create_dir(&newer).unwrap();
        for entry in fs::read_dir(&whole).unwrap().flatten() {
            fs::copy(entry.path(), newer.join(entry.file_name())).unwrap();
        }
        fs::File::options().write(true).open(newer.join(MODEL)).unwrap().set_len(20).unwrap();
        assert_eq!(checkpoints.newest().unwrap().unwrap().0.step, 7);
    }

    #[test]
    fn a_checkpoint_of_another_model_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.safetensors");
        let mut tensors = snapshot::tensors(&toy(1.0));
        tensors[1].1.shape = [2, 2].into();
        snapshot::write(&file, &tensors).unwrap();
        let message = snapshot::restore::<B, _>(toy(1.0), &file, &Default::default()).unwrap_err().to_string();
        assert!(message.contains("`bias` is [2, 2] there and [4] here"), "{message}");
    }
}
