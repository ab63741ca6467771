//! On the default wgpu device.

use super::train;
use crate::testing::run_alone;
use std::sync::atomic::{AtomicUsize, Ordering};

type B = burn::backend::Autodiff<burn_wgpu::Wgpu>;

#[test]
fn a_model_is_that_of_the_reference() {
    super::a_model_is_that_of_the_reference::<B>();
}

#[test]
fn a_short_run_is_that_of_the_reference() {
    super::a_short_run_is_that_of_the_reference::<B>();
}

/// Buffers mapped for reading: wgpu announces each to the log.
static READS: AtomicUsize = AtomicUsize::new(0);

struct CountReads;

impl log::Log for CountReads {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.target().starts_with("wgpu_core::device::global")
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) && record.args().to_string().starts_with("Buffer::map_async") {
            READS.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn flush(&self) {}
}

/// Lines are logged at every tenth step of a stage and where a run stops. Runs that stop after 12 and after 19 of the
/// 40 steps of the second stage therefore read the same: losses, weights and moments at the end, and nothing in the
/// seven more steps.
#[test]
fn nothing_is_read_back_between_log_lines() {
    // other tests of this process may read back
    if !run_alone("train::gpu_tests::wgpu::nothing_is_read_back_between_log_lines") {
        return;
    }
    log::set_logger(&CountReads).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let reads = |steps: usize| {
        let before = READS.load(Ordering::SeqCst);
        train::<B>(6 + steps);
        READS.load(Ordering::SeqCst) - before
    };
    let (few, many) = (reads(12), reads(19));
    assert!(few > 10, "nothing was counted");
    assert_eq!(few, many, "seven more steps read back");
}
