//! The processes of a job: what they can exchange. Where there is one process, nothing is sent.

use std::fmt::Debug;

/// Collective operations of processes, which all of them call in the same order. A process that has died ends the job,
/// so that none of these fails.
pub trait ProcessGroup: Debug + Send + Sync {
    /// Number of this process, from 0.
    fn rank(&self) -> usize;

    /// Processes in the job.
    fn size(&self) -> usize;

    /// Number of this process among those on its machine, and how many these are.
    fn on_machine(&self) -> (usize, usize);

    /// What every process gave, by rank; process r gives `lengths[r]` bytes.
    fn all_gather_sized(&self, own: Vec<u8>, lengths: &[usize]) -> Vec<Vec<u8>>;

    /// Gives part r to process r, and returns the parts for this one, by rank of their givers: `length` bytes each.
    fn exchange(&self, parts: Vec<Vec<u8>>, length: usize) -> Vec<Vec<u8>>;

    /// What process 0 gave; the others give nothing.
    fn broadcast(&self, bytes: Option<Vec<u8>>) -> Vec<u8>;

    /// Ends all processes of the job at once, with exit code `code`.
    fn abort(&self, code: i32);

    /// Leaves the job when all others do; the last call.
    fn finish(&self);
}

/// One process on its own.
#[derive(Debug)]
pub struct SingleProcess;

impl ProcessGroup for SingleProcess {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn on_machine(&self) -> (usize, usize) {
        (0, 1)
    }

    fn all_gather_sized(&self, own: Vec<u8>, _lengths: &[usize]) -> Vec<Vec<u8>> {
        vec![own]
    }

    fn exchange(&self, parts: Vec<Vec<u8>>, _length: usize) -> Vec<Vec<u8>> {
        parts
    }

    fn broadcast(&self, bytes: Option<Vec<u8>>) -> Vec<u8> {
        bytes.unwrap_or_default()
    }

    fn abort(&self, _code: i32) {}

    fn finish(&self) {}
}
