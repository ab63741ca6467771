//! `svitt eval ablations`: the paper's ablations on `shapes`, and its claim at equal cost on `shapes-long`.

use crate::ablation::{AblationOptions, AblationSummary, Plan, ablate};
use std::path::PathBuf;
use svitt::backend::{BackendKind, BackendTask, dispatch};
use svitt::cli::output;
use svitt::{Error, Result};
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
    /// Tables to run, by name: table1, table2, table3, late-fusion, budgets, selection, fig4a, fig4b, fig5a, fig5b; of
    /// the plan long tuning, equal-operations, equal-seconds, remedies
    #[arg(long, value_name = "TABLE", value_delimiter = ',')]
    only: Vec<String>,
    /// Runs of every headline cell; the plan's number by default
    #[arg(long, value_name = "N", value_parser = svitt::limits::count(1, 10_000))]
    seeds: Option<usize>,
    /// paper, long, or a .toml file of models and sparsities; paper by default
    #[arg(long, value_name = "NAME|FILE")]
    plan: Option<String>,
    /// The same plan scaled down to seconds, to see that it runs
    #[arg(long)]
    quick: bool,
    /// A dense checkpoint that is sparsified at test time, in place of the one the plan would train
    #[arg(long, value_name = "DIR")]
    dense: Option<PathBuf>,
    /// The grid's folder, runs/ablations unless given, with -long and -quick for these plans; cells that are there are
    /// not run again
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

/// Where a plan's grid is kept unless it is said.
fn folder(plan: &Plan, quick: bool) -> &'static str {
    match (plan, quick) {
        (Plan::Paper(_), false) => "runs/ablations",
        (Plan::Paper(_), true) => "runs/ablations-quick",
        (Plan::Long(_), false) => "runs/ablations-long",
        (Plan::Long(_), true) => "runs/ablations-long-quick",
    }
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    svitt::cli::job::require_one_process()?;
    let plan = Plan::load(args.plan.as_deref(), args.quick)?;
    if let (Plan::Long(_), Some(dense)) = (&plan, &args.dense) {
        let problem = "this plan sparsifies no given model";
        return Err(Error::setting("--dense", format!("{}: {problem}", dense.display()), "leave it out"));
    }
    let (backend, json) = (BackendKind::choose(args.backend.as_deref())?, args.json);
    let options = AblationOptions {
        out: args.out.unwrap_or_else(|| PathBuf::from(folder(&plan, args.quick))),
        plan,
        quick: args.quick,
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
