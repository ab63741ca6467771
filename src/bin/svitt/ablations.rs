//! `svitt eval ablations`: the paper's ablations on `shapes`.

use crate::output;
use std::path::PathBuf;
use svitt::ablation::{AblationOptions, Plan, Summary, ablate};
use svitt::backend::{BackendKind, Task, TrainBackend, dispatch};
use svitt::train::StopSignal;
use svitt::{Error, Result};

/// The benchmark's name on the command line.
pub const NAME: &str = "ablations";

/// Flags of `eval ablations` alone.
#[derive(clap::Args)]
// The flags it joins are called `Args` too, and clap wants its groups' names apart.
#[group(skip)]
#[command(next_help_heading = "Flags of `eval ablations`")]
pub struct Args {
    /// Tables to run, by name: table1, table2, table3, late-fusion, budgets, selection, fig4a, fig4b, fig5a, fig5b
    #[arg(long, value_name = "TABLE", value_delimiter = ',')]
    only: Vec<String>,
    /// Runs of every headline cell; the plan's number by default
    #[arg(long, value_name = "N")]
    seeds: Option<usize>,
    /// A .toml file of models and sparsities; data/presets/ablations.toml by default
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// A dense checkpoint that is sparsified at test time, in place of the one the plan would train
    #[arg(long, value_name = "DIR")]
    dense: Option<PathBuf>,
    /// The grid's folder; cells that are there are not run again
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Args {
    /// Refuses flags that another benchmark would silently ignore.
    pub fn refuse(&self, benchmark: &str) -> Result<()> {
        let given = [
            ("--only", !self.only.is_empty()),
            ("--seeds", self.seeds.is_some()),
            ("--plan", self.plan.is_some()),
            ("--dense", self.dense.is_some()),
            ("--out", self.out.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((flag, _)) => Err(Error::setting(flag, format!("means nothing to {benchmark}"), "leave it out")),
        }
    }
}

struct Ablate(AblationOptions);

impl Task for Ablate {
    type Output = Result<Summary>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        ablate::<B>(&self.0, &device)
    }
}

/// Runs the command.
pub fn run(args: Args, backend: Option<&str>, json: Option<PathBuf>) -> Result<()> {
    let backend = BackendKind::choose(backend)?;
    let options = AblationOptions {
        plan: Plan::load(args.plan.as_deref())?,
        out: args.out.unwrap_or_else(|| PathBuf::from("runs/ablations")),
        only: args.only,
        seeds: args.seeds,
        dense: args.dense,
        backend: backend.name().into(),
        stop: StopSignal::listen()?,
    };
    let out = options.out.display().to_string();
    let summary = dispatch(backend, Ablate(options))??;
    output::print(&format!("{}tables, results and picture: {out}\n", summary.markdown()))?;
    output::write_json(json.as_deref(), &summary)
}
