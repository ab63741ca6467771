//! `svitt pretrain`.

use super::{allocator, progress, signals, terminal};
use crate::Result;
use crate::run::{PretrainRequest, pretrain};

pub use crate::run::PretrainRequest as Args;

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    allocator::save_memory(true);
    let request = PretrainRequest { stop: signals::listen()?, events: progress::training(), ..args };
    let (out, report) = pretrain(&request)?;
    terminal::end_bar();
    terminal::say(progress::stages_text(&report.stages));
    terminal::say(format_args!(
        "{:.0} s, {:.0} MB at most; see {}",
        report.seconds,
        report.peak_memory_mb,
        out.join("report.html").display()
    ));
    Ok(())
}
