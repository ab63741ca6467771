//! `svitt pretrain`.

use super::{allocator, job, progress, signals, terminal};
use crate::Result;
use crate::run::{PretrainRequest, assist_pretraining, pretrain};

pub use crate::run::PretrainRequest as Args;

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    allocator::save_memory(true);
    job::run(|job| {
        let request = PretrainRequest { stop: signals::listen()?, job: job.clone(), ..args };
        match job.is_first() {
            true => lead(&PretrainRequest { events: progress::training(), ..request }),
            false => assist_pretraining(&request),
        }
    })
}

fn lead(request: &PretrainRequest) -> Result<()> {
    let (out, report) = pretrain(request)?;
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
