//! Data parallel training: one worker per device, each with a replica of the model and its share of every batch.
//!
//! Workers are threads of one process, or of several that an MPI launcher started ([`Job`]). Once per optimizer step they average gradients and losses ([`Collective`]) and
//! take the same step, so replicas stay equal bit for bit without being compared. Worker 0 also logs, saves and handles
//! Ctrl-C. There is no synchronisation inside a backward pass: Burn's autodiff holds a lock over all graphs of the
//! process there, and a worker waiting under it would deadlock.
//!
//! Burn's own data parallel strategy is not used: it cannot resume inside an epoch, steps the schedule once per worker,
//! and its feature `distributed` takes training away from every backend without collectives, the CPU's included. Of
//! that feature only the sum over CUDA devices is used ([`svitt_ops::device::CollectiveOps`]).

mod collective;
mod exchange;
mod global_batch;
mod gradients;
mod group;
mod job;
#[cfg(feature = "mpi")]
mod mpi;
mod process_collective;
mod process_group;
#[cfg(test)]
mod process_tests;
mod replica;
#[cfg(test)]
mod tests;
mod wire;
mod worker;

pub use collective::{Collective, DeviceCollective, HostCollective, collective_for};
pub use exchange::{ExchangeFormat, Traffic};
pub use global_batch::GlobalBatch;
pub use gradients::{flatten, present};
pub use group::{Communicator, WorkerGroup, WorkerStopped};
pub use job::Job;
#[cfg(feature = "mpi")]
pub use mpi::MpiProcesses;
pub use process_collective::ProcessCollective;
pub use process_group::{ProcessGroup, SingleProcess};
pub use wire::Wire;
pub(super) use worker::{ThroughputMeter, Worker, WorkerStart, run_worker};
