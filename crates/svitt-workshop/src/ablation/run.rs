//! What the command line says of a grid, and the loop over its seeds and tables.

use super::grid::{Grid, GridSettings};
use super::{AblationPlan, AblationSummary, LongPlan, TableSpec, long, paper};
use serde::Serialize;
use std::path::{Path, PathBuf};
use svitt::train::{StopSignal, TrainEvents};
use svitt::{Error, Result, files};
use svitt_ops::TrainBackend;

/// The file of a grid's folder that holds the plan of its last run.
const PLAN_FILE: &str = "plan.json";

/// Which grid is run.
#[derive(Clone, Serialize)]
#[serde(untagged)]
pub enum Plan {
    /// The paper's tables and figures on `shapes`.
    Paper(Box<AblationPlan>),
    /// Dense and sparse models at equal cost on `shapes-long`.
    Long(Box<LongPlan>),
}

/// What the command line says of a grid.
#[derive(Clone)]
pub struct AblationOptions {
    /// Models and sparsities.
    pub plan: Plan,
    /// Whether the plan was scaled down to see that it runs: results of another plan then stay as they are.
    pub quick: bool,
    /// Where everything is written, and looked for.
    pub out: PathBuf,
    /// Names of tables; all of them where it is empty.
    pub only: Vec<String>,
    /// Runs of headline cells; none: the plan's.
    pub seeds: Option<usize>,
    /// A dense checkpoint of the first clip length that takes the place of the one the paper's plan would train.
    pub dense: Option<PathBuf>,
    /// The backend's name, for the files.
    pub backend: String,
    /// How the run is told to stop.
    pub stop: StopSignal,
    /// Who is told how trainings go.
    pub events: TrainEvents,
}

impl Plan {
    /// The plan called `name`, `paper` or `long`, or the one in the file of that name; `quick` scales it down to a few
    /// seconds.
    ///
    /// # Errors
    /// A file that cannot be read, a key that does not exist, or settings that cannot work together.
    pub fn load(name: Option<&str>, quick: bool) -> Result<Self> {
        let long = |plan: LongPlan| Self::Long(Box::new(if quick { plan.quick() } else { plan }));
        let paper = |plan: AblationPlan| Self::Paper(Box::new(if quick { plan.quick() } else { plan }));
        match name {
            None | Some("paper") => AblationPlan::load(None).map(paper),
            Some("long") => LongPlan::load(None).map(long),
            Some(file) => {
                let path = Path::new(file);
                // Only a plan at equal cost has a budget.
                let text = svitt::input::read_text(path, 1 << 20)?;
                match toml::from_str::<toml::Table>(&text).is_ok_and(|table| table.contains_key("budget")) {
                    true => LongPlan::load(Some(path)).map(long),
                    false => AblationPlan::load(Some(path)).map(paper),
                }
            }
        }
    }
}

/// Runs every cell that is not there yet and returns the tables, which are also on disk.
///
/// # Errors
/// An unknown table, a full disk, losses that stay non-finite, an interruption (finished cells stay), and a folder with
/// results of another plan where this one is but scaled down.
pub fn ablate<B: TrainBackend>(options: &AblationOptions, device: &B::Device) -> Result<AblationSummary> {
    note_plan(options)?;
    let ran = match &options.plan {
        Plan::Paper(plan) => paper::ablate::<B>(plan, options, device),
        Plan::Long(plan) => long::ablate::<B>(plan, options, device),
    };
    ran.map_err(|error| match error {
        Error::Interrupted(_) => {
            let kept = format!("finished cells and the last training are kept in {}", options.out.display());
            Error::Interrupted(format!("{kept}; the same command goes on from there"))
        }
        other => other,
    })
}

/// Writes the plan into the folder of `options`.
fn note_plan(options: &AblationOptions) -> Result<()> {
    let (out, file) = (&options.out, options.out.join(PLAN_FILE));
    let unusable = |problem: serde_json::Error| Error::Fault(problem.to_string());
    let plan = serde_json::to_value(&options.plan).map_err(unusable)?;
    let before = std::fs::read_to_string(&file).ok().and_then(|text| serde_json::from_str(&text).ok());
    if options.quick && out.join("cells").is_dir() && before.as_ref() != Some(&plan) {
        let problem = "holds results of another plan, which a quick run would measure again";
        return Err(Error::file(out, problem, "name another folder with --out"));
    }
    std::fs::create_dir_all(out).map_err(|e| Error::io(out, &e))?;
    files::write_json(&file, &plan)
}

/// Those of `all` tables that `options` name.
///
/// # Errors
/// A name that none of them has.
pub fn wanted(options: &AblationOptions, all: Vec<TableSpec>) -> Result<Vec<TableSpec>> {
    if let Some(name) = options.only.iter().find(|name| all.iter().all(|table| table.key != *name)) {
        let known: Vec<&str> = all.iter().map(|table| table.key).collect();
        return Err(Error::setting("--only", format!("`{name}` is no table"), format!("use {}", known.join(", "))));
    }
    let named = |table: &TableSpec| options.only.is_empty() || options.only.iter().any(|name| name == table.key);
    Ok(all.into_iter().filter(named).collect())
}

/// Runs `tables` with `seeds` seeds, headline cells with all of them and the others with the first, and adds what is
/// found to `summary`, which is on disk after every table.
///
/// # Errors
/// As [`ablate`].
pub fn run_tables<B: TrainBackend>(
    options: &AblationOptions,
    settings: &GridSettings,
    tables: &[TableSpec],
    seeds: impl Iterator<Item = u64>,
    summary: &mut AblationSummary,
    device: &B::Device,
) -> Result<()> {
    for (place, seed) in seeds.enumerate() {
        let grid = Grid::<B>::new(options, settings, seed, device)?;
        for table in tables {
            for (label, cell) in table.rows.iter().filter(|(_, cell)| place == 0 || cell.headline) {
                summary.add(table, label, grid.cell(cell)?);
            }
            summary.write(&options.out)?;
        }
    }
    Ok(())
}
