//! `svitt search speed`: a search, measured.

use crate::Result;
use crate::cli::output::{JsonArg, print};
use crate::index::VectorPrecision;
use crate::limits::{self, count};
use crate::search::{SearchSpeed, measure_search};

/// Arguments of `speed`.
#[derive(clap::Args)]
pub struct SpeedArgs {
    /// Clips in the index, a vector each
    #[arg(long, visible_alias = "vectors", default_value_t = 10_000, value_parser = count(1, limits::ITEMS))]
    clips: usize,
    /// Numbers of a vector
    #[arg(long, visible_alias = "dims", default_value_t = 256, value_parser = count(1, MOST_NUMBERS))]
    dim: usize,
    /// What vectors are stored in: f32, f16 or int8
    #[arg(long, default_value_t = VectorPrecision::F32)]
    precision: VectorPrecision,
    #[command(flatten)]
    json: JsonArg,
}

/// Numbers of all vectors that are searched in a measurement: 4 GB.
const MOST_NUMBERS: usize = 1_000_000_000;

/// What was measured, on three lines.
fn described(speed: &SearchSpeed) -> String {
    let SearchSpeed { clips, dim, precision, open_ms, search_ms, sum_ms, vectors_mb, recall, threads, .. } = speed;
    let memory = speed.memory_mb.map_or(String::new(), |memory| format!(", {memory:.0} MB of memory besides"));
    let ratio = search_ms / sum_ms.max(f64::MIN_POSITIVE);
    format!(
        "{clips} clips of {dim} numbers ({precision}): {search_ms:.2} ms a search on {threads} cores, {open_ms:.0} ms to \
         open the index\n\
         {vectors_mb:.1} MB of vectors{memory}; adding up their bytes takes {sum_ms:.2} ms, a search {ratio:.2} times \
         that\n\
         {recall:.1} % of the ten best are found\n"
    )
}

/// Runs `speed`.
pub fn speed(args: &SpeedArgs) -> Result<()> {
    limits::check("--clips × --dim", args.clips.saturating_mul(args.dim), 1, MOST_NUMBERS)?;
    let folder = tempfile::Builder::new().prefix("svitt-search-speed-").tempdir();
    let folder = folder.map_err(|e| crate::Error::io(std::env::temp_dir(), &e))?;
    let speed = measure_search(folder.path(), args.clips, args.dim, args.precision)?;
    print(&described(&speed))?;
    args.json.write(&speed)
}
