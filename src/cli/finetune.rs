//! `svitt finetune`: a pretrained checkpoint learns a benchmark.

use super::benchmark::refuse_without_files;
use super::output::JsonArg;
use super::{allocator, job, output, progress, signals};
use crate::Result;
use crate::data::Split;
use crate::run::{FinetuneRequest, assist_finetuning, finetune};
use crate::train::FinetuneReport;

/// Fine-tune a pretrained checkpoint for retrieval or question answering
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    request: FinetuneRequest,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    allocator::save_memory(true);
    let Args { request, json } = args;
    request.benchmark.require_trainable()?;
    refuse_without_files(request.benchmark, Split::Train, request.annotations.as_deref())?;
    json.check()?;
    job::run(|job| {
        let request = FinetuneRequest { stop: signals::listen()?, job: job.clone(), ..request };
        if !job.is_first() {
            return assist_finetuning(&request);
        }
        let request = FinetuneRequest { events: progress::training(), progress: progress::shown(), ..request };
        let report = finetune(&request)?;
        output::print(&summary(&report))?;
        json.write(&report)
    })
}

fn summary(report: &FinetuneReport) -> String {
    let FinetuneReport { best, best_checkpoint, criterion, benchmark, seconds, .. } = report;
    format!(
        "best validation ({criterion}): {:.2} after step {}, in {best_checkpoint}; mirrored: {}; {seconds:.0} s\n\
         now run: cargo xtask eval {benchmark} --checkpoint {best_checkpoint}\n",
        best.score, best.step, report.flips
    )
}
