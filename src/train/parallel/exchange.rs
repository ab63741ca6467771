//! Means of vectors between processes: each sums one part in rank order, in f32, and shares it.

use super::process_group::ProcessGroup;
use std::ops::Range;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Error;
use half::bf16;

/// Numbers of one message, so that what a process holds stays far below the 2 GiB that MPI counts to.
const LARGEST: usize = 1 << 25;

/// What gradients travel as between processes; they are summed in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExchangeFormat {
    /// As they are.
    #[default]
    F32,
    /// Rounded to 8 significant bits: half the bytes.
    Bf16,
}

impl FromStr for ExchangeFormat {
    type Err = Error;

    fn from_str(name: &str) -> crate::Result<Self> {
        match name {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(Error::setting("exchange", format!("`{name}` is no format"), "use f32 or bf16")),
        }
    }
}

impl ExchangeFormat {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Bytes of a number.
    pub fn width(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    /// `values` as bytes.
    pub fn encode(self, values: &[f32]) -> Vec<u8> {
        let mut bytes = vec![0; values.len() * self.width()];
        let places = bytes.chunks_exact_mut(self.width()).zip(values);
        match self {
            Self::F32 => places.for_each(|(place, value)| place.copy_from_slice(&value.to_le_bytes())),
            Self::Bf16 => {
                places.for_each(|(place, value)| place.copy_from_slice(&bf16::from_f32(*value).to_le_bytes()))
            }
        }
        bytes
    }

    /// The values of `bytes`.
    pub fn decode(self, bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
        bytes.chunks_exact(self.width()).map(move |b| match self {
            Self::F32 => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            Self::Bf16 => bf16::from_le_bytes([b[0], b[1]]).to_f32(),
        })
    }
}

/// Bytes that this process sent to others, and time spent on it.
#[derive(Debug, Default)]
pub struct Traffic {
    bytes: AtomicU64,
    nanoseconds: AtomicU64,
    waited: AtomicU64,
}

impl Traffic {
    /// Counts `bytes` sent in `time`, for which the training thread waited.
    pub fn add(&self, bytes: usize, time: Duration) {
        self.add_hidden(bytes, time);
        self.add_wait(time);
    }

    /// Counts `bytes` sent in `time` beside the training thread.
    pub fn add_hidden(&self, bytes: usize, time: Duration) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.nanoseconds.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Counts `time` that the training thread waited for other processes.
    pub fn add_wait(&self, time: Duration) {
        self.waited.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Bytes sent, seconds of exchange, seconds waited for it: since the last call.
    pub fn take(&self) -> (u64, f64, f64) {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        (take(&self.bytes), take(&self.nanoseconds) as f64 / 1e9, take(&self.waited) as f64 / 1e9)
    }
}

/// The mean of the processes' `values`, which are equally many: the same bits for all of them.
pub fn mean(group: &dyn ProcessGroup, format: ExchangeFormat, traffic: &Traffic, values: &[f32]) -> Vec<f32> {
    values.chunks(LARGEST).flat_map(|chunk| mean_of_chunk(group, format, traffic, chunk)).collect()
}

fn mean_of_chunk(group: &dyn ProcessGroup, format: ExchangeFormat, traffic: &Traffic, values: &[f32]) -> Vec<f32> {
    let (started, size) = (Instant::now(), group.size());
    let each = values.len().div_ceil(size);
    let range =
        |rank: usize| -> Range<usize> { (rank * each).min(values.len())..((rank + 1) * each).min(values.len()) };
    let parts = (0..size).map(|rank| format.encode(&values[range(rank)])).collect();
    let own = range(group.rank()).len();
    let received = group.exchange(parts, own * format.width());
    let mut sum: Vec<f32> = format.decode(&received[0]).collect();
    for other in &received[1..] {
        sum.iter_mut().zip(format.decode(other)).for_each(|(sum, value)| *sum += value);
    }
    sum.iter_mut().for_each(|sum| *sum /= size as f32);
    let lengths: Vec<usize> = (0..size).map(|rank| range(rank).len() * format.width()).collect();
    // The own part too is read back, so that it is rounded as the others see it.
    let means = group.all_gather_sized(format.encode(&sum), &lengths);
    let sent = (values.len() - own + own * (size - 1)) * format.width();
    traffic.add_hidden(sent, started.elapsed());
    means.iter().flat_map(|part| format.decode(part)).collect()
}
