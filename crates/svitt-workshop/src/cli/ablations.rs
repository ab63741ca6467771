//! `svitt eval ablations`: the paper's ablations on `shapes`.

use crate::ablation::{AblationOptions, AblationPlan, AblationSummary, ablate};
use std::path::PathBuf;
use svitt::Result;
use svitt::backend::{BackendKind, BackendTask, dispatch};
use svitt::cli::output;
use svitt_ops::TrainBackend;

/// Evaluate the paper's ablations on shapes, as one resumable grid
#[derive(clap::Args)]
pub struct Args {
    /// `ablations`; other benchmarks are commands of `svitt eval`
    #[arg(value_parser = ["ablations"])]
    benchmark: String,
    /// cuda, wgpu, wgpu-wgsl, flex or ndarray; the fastest of this build by default
    #[arg(long)]
    backend: Option<String>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Tables to run, by name: table1, table2, table3, late-fusion, budgets, selection, fig4a, fig4b, fig5a, fig5b
    #[arg(long, value_name = "TABLE", value_delimiter = ',')]
    only: Vec<String>,
    /// Runs of every headline cell; the plan's number by default
    #[arg(long, value_name = "N", value_parser = svitt::limits::count(1, 10_000))]
    seeds: Option<usize>,
    /// A .toml file of models and sparsities; the built-in plan by default
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// A dense checkpoint that is sparsified at test time, in place of the one the plan would train
    #[arg(long, value_name = "DIR")]
    dense: Option<PathBuf>,
    /// The grid's folder; cells that are there are not run again
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

struct Ablate(AblationOptions);

impl BackendTask for Ablate {
    type Output = Result<AblationSummary>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        ablate::<B>(&self.0, &device)
    }
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    svitt::cli::job::require_one_process()?;
    let (backend, json) = (BackendKind::choose(args.backend.as_deref())?, args.json);
    let options = AblationOptions {
        plan: AblationPlan::load(args.plan.as_deref())?,
        out: args.out.unwrap_or_else(|| PathBuf::from("runs/ablations")),
        only: args.only,
        seeds: args.seeds,
        dense: args.dense,
        backend: backend.name().into(),
        stop: svitt::cli::signals::listen()?,
        events: svitt::cli::progress::training(),
    };
    let out = options.out.display().to_string();
    let summary = dispatch(backend, Ablate(options))??;
    output::print(&format!("{}tables, results and picture: {out}\n", summary.markdown()))?;
    output::write_json(json.as_deref(), &summary)
}
