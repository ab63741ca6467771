//! Processes that an MPI launcher (mpirun, srun) started. One thread owns MPI and makes every call, so that the library
//! needs no support for threads.

use super::process_group::ProcessGroup;
use crate::{Error, Result};
use mpi::datatype::{Partition, PartitionMut};
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Root};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bytes of one message of a broadcast; MPI counts in 32 bits.
const CHUNK: usize = 1 << 28;

/// How long an abort waits for the thread that makes MPI calls.
const PATIENCE: Duration = Duration::from_secs(10);

/// A call for the thread that owns MPI.
enum Call {
    AllGather(Vec<u8>, Vec<usize>),
    Exchange(Vec<Vec<u8>>, usize),
    Broadcast(Option<Vec<u8>>),
    Abort(i32),
    Finish,
}

/// What a process is told of the others when it joins.
type Place = (usize, usize, (usize, usize));

/// Where calls go, and where their answers come from.
type Line = (Sender<Call>, Receiver<Vec<Vec<u8>>>);

/// The processes of an MPI job.
#[derive(Debug)]
pub struct MpiProcesses {
    place: Place,
    /// A call and its answer are one exchange at a time.
    line: Mutex<Line>,
}

impl MpiProcesses {
    /// Joins the job that this process was started in.
    ///
    /// # Errors
    /// MPI cannot be initialised, or was before.
    pub fn join() -> Result<Self> {
        let unusable =
            |problem: &str| Error::setting("mpi", problem, "start one program per process, by mpirun or srun");
        let (calls, to_make) = channel();
        let (answer, answers) = channel();
        let (tell, told) = channel();
        let thread = std::thread::Builder::new().name("svitt-mpi".into()).spawn(move || {
            let Some(universe) = mpi::initialize() else { return };
            let world = universe.world();
            let machine = world.split_shared(world.rank());
            let on_machine = (machine.rank() as usize, machine.size() as usize);
            drop(machine);
            let _ = tell.send((world.rank() as usize, world.size() as usize, on_machine));
            serve(universe, &world, &to_make, &answer);
        });
        thread.map_err(|error| unusable(&error.to_string()))?;
        let place = told.recv().map_err(|_| unusable("cannot be initialised"))?;
        Ok(Self { place, line: Mutex::new((calls, answers)) })
    }

    fn call(&self, call: Call) -> Vec<Vec<u8>> {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        // The thread lives until the last call; an error of MPI ends the process.
        let _ = line.0.send(call);
        line.1.recv().unwrap_or_default()
    }
}

/// Makes the calls until the job ends.
fn serve(universe: Universe, world: &SimpleCommunicator, calls: &Receiver<Call>, answers: &Sender<Vec<Vec<u8>>>) {
    for call in calls {
        let answer = match call {
            Call::AllGather(own, lengths) => all_gather(world, &own, &lengths),
            Call::Exchange(parts, length) => exchange(world, &parts, length),
            Call::Broadcast(bytes) => vec![broadcast(world, bytes)],
            Call::Abort(code) => world.abort(code),
            Call::Finish => {
                world.barrier();
                drop(universe);
                let _ = answers.send(Vec::new());
                return;
            }
        };
        if answers.send(answer).is_err() {
            return;
        }
    }
}

/// Counts and offsets of parts of `lengths` bytes, one behind the other.
fn places(lengths: &[usize]) -> (Vec<i32>, Vec<i32>) {
    let offsets = lengths.iter().scan(0, |next, length| {
        let offset = *next;
        *next += length;
        Some(offset as i32)
    });
    (lengths.iter().map(|length| *length as i32).collect(), offsets.collect())
}

/// `bytes` in parts of `lengths`.
fn cut(bytes: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut parts = Vec::with_capacity(lengths.len());
    for length in lengths {
        let (part, after) = rest.split_at(*length);
        parts.push(part.to_vec());
        rest = after;
    }
    parts
}

fn all_gather(world: &SimpleCommunicator, own: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
    let mut received = vec![0u8; lengths.iter().sum()];
    let (counts, offsets) = places(lengths);
    world.all_gather_varcount_into(own, &mut PartitionMut::new(&mut received[..], counts, offsets));
    cut(&received, lengths)
}

fn exchange(world: &SimpleCommunicator, parts: &[Vec<u8>], length: usize) -> Vec<Vec<u8>> {
    let lengths: Vec<usize> = parts.iter().map(Vec::len).collect();
    let (sent, (counts, offsets)) = (parts.concat(), places(&lengths));
    let expected = vec![length; parts.len()];
    let mut received = vec![0u8; length * parts.len()];
    let (counts_in, offsets_in) = places(&expected);
    world.all_to_all_varcount_into(
        &Partition::new(&sent[..], counts, offsets),
        &mut PartitionMut::new(&mut received[..], counts_in, offsets_in),
    );
    cut(&received, &expected)
}

fn broadcast(world: &SimpleCommunicator, bytes: Option<Vec<u8>>) -> Vec<u8> {
    let first = world.process_at_rank(0);
    let mut bytes = bytes.unwrap_or_default();
    let mut length = bytes.len() as u64;
    first.broadcast_into(&mut length);
    bytes.resize(length as usize, 0);
    bytes.chunks_mut(CHUNK).for_each(|chunk| first.broadcast_into(chunk));
    bytes
}

impl ProcessGroup for MpiProcesses {
    fn rank(&self) -> usize {
        self.place.0
    }

    fn size(&self) -> usize {
        self.place.1
    }

    fn on_machine(&self) -> (usize, usize) {
        self.place.2
    }

    fn all_gather_sized(&self, own: Vec<u8>, lengths: &[usize]) -> Vec<Vec<u8>> {
        self.call(Call::AllGather(own, lengths.to_vec()))
    }

    fn exchange(&self, parts: Vec<Vec<u8>>, length: usize) -> Vec<Vec<u8>> {
        self.call(Call::Exchange(parts, length))
    }

    fn broadcast(&self, bytes: Option<Vec<u8>>) -> Vec<u8> {
        self.call(Call::Broadcast(bytes)).into_iter().next().unwrap_or_default()
    }

    fn abort(&self, code: i32) {
        // A thread that is inside a call never comes to this; the launcher ends a job whose process is gone, too.
        if let Ok(line) = self.line.try_lock() {
            let _ = line.0.send(Call::Abort(code));
        }
        std::thread::sleep(PATIENCE);
        std::process::exit(code);
    }

    fn finish(&self) {
        self.call(Call::Finish);
    }
}
