//! The paper's tables and figures on `shapes`.

use super::grid::{GivenModel, GridSettings};
use super::run::{AblationOptions, run_tables, wanted};
use super::{AblationPlan, AblationSummary, figures, tables};
use std::path::Path;
use svitt::config::ModelConfig;
use svitt::train::TrainingData;
use svitt::weights::Checkpoint;
use svitt::{Error, Result};
use svitt_ops::TrainBackend;

/// Runs every cell of `plan` that is not there yet.
///
/// # Errors
/// As [`super::ablate`].
pub fn ablate<B: TrainBackend>(
    plan: &AblationPlan,
    options: &AblationOptions,
    device: &B::Device,
) -> Result<AblationSummary> {
    let wanted = wanted(options, tables(plan))?;
    let seeds = options.seeds.unwrap_or(plan.seeds).max(1) as u64;
    let words = TrainingData::shapes(&plan.preset, 0)?.tokenizer.vocab_size();
    let (base, given) = match &options.dense {
        None => (plan.base(words), None),
        Some(folder) => {
            let (base, weights_sha256) = given(folder, plan)?;
            (base, Some(GivenModel { training: plan.dense(), folder, weights_sha256 }))
        }
    };
    let trainings = plan.trainings(&base)?;
    let settings = GridSettings { preset: &plan.preset, base, trainings, given };
    let mut summary = AblationSummary::default();
    run_tables::<B>(options, &settings, &wanted, 0..seeds, &mut summary, device)?;
    figures::write(&summary, &options.out)?;
    Ok(summary)
}

/// Sizes of the dense checkpoint in `folder`, and the hash of its weights.
fn given(folder: &Path, plan: &AblationPlan) -> Result<(ModelConfig, String)> {
    let Checkpoint { info, weights_sha256, .. } = Checkpoint::open(folder)?;
    let (video, frames) = (&info.model.video, plan.lengths()[0]);
    let expected = plan.base(1).video;
    let fits = (video.frames, video.sparsity.mode()) == (frames, "dense")
        && [video.image_size, video.patch_size] == [expected.image_size, expected.patch_size];
    if !fits {
        let problem = format!("is {} with {} frames of {} px", video.sparsity.mode(), video.frames, video.image_size);
        let remedy = format!("give a dense one with {frames} frames of {} px", expected.image_size);
        return Err(Error::file(folder, problem, remedy));
    }
    Ok((info.model, weights_sha256))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::super::ablate;
    use super::super::run::Plan;
    use super::*;
    use svitt::train::{StopSignal, TrainEvents};

    type B = burn::backend::Autodiff<burn_flex::Flex>;

    /// The embedded plan, scaled down.
    fn options(out: &Path) -> AblationOptions {
        let plan = Plan::load(None, true).unwrap();
        let only = vec!["fig5b".to_owned()];
        let stop = StopSignal::default();
        AblationOptions {
            plan,
            quick: true,
            out: out.into(),
            only,
            seeds: Some(1),
            dense: None,
            backend: "flex".into(),
            stop,
            events: TrainEvents::default(),
        }
    }

    #[test]
    fn cells_that_are_there_are_not_run_again_and_a_dense_model_can_be_given() {
        let folder = tempfile::tempdir().unwrap();
        let (out, device) = (folder.path().join("a"), Default::default());
        let first = ablate::<B>(&options(&out), &device).unwrap();
        assert_eq!((first.tables.len(), first.tables[0].rows.len()), (1, 5));
        let changed = |cell: &str| std::fs::metadata(out.join("cells").join(cell)).unwrap().modified().unwrap();
        let before = changed("dense-5+cross-0.1-s0.json");
        std::fs::remove_file(out.join("cells/dense-5+cross-0.5-s0.json")).unwrap();
        let r1 = |summary: &AblationSummary| summary.tables[0].rows.iter().map(|row| row.r1.mean).collect::<Vec<_>>();
        assert_eq!(r1(&ablate::<B>(&options(&out), &device).unwrap()), r1(&first), "the missing cell gives the same");
        assert_eq!(changed("dense-5+cross-0.1-s0.json"), before);
        let given = AblationOptions { dense: Some(out.join("models/dense-5-s0")), ..options(&folder.path().join("b")) };
        let again = ablate::<B>(&given, &device).unwrap();
        assert_eq!(r1(&again), r1(&first));
        assert!(!given.out.join("models/start-s0").exists(), "nothing is trained for it");
        std::fs::write(out.join("plan.json"), "{}").unwrap();
        let refused = ablate::<B>(&options(&out), &device).unwrap_err().to_string();
        assert!(refused.contains("another plan") && refused.contains("--out"), "{refused}");
        let unknown = AblationOptions { only: vec!["table9".into()], ..given };
        assert!(ablate::<B>(&unknown, &device).unwrap_err().to_string().contains("table1"));
    }
}
