//! Means and gathered rows over the workers of several processes: inside a process as its devices can, between
//! processes from host memory to host memory.

use super::collective::{Collective, host};
use super::exchange;
use super::group::{Communicator, WorkerStopped};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

/// Numbers of a bucket: 16 MiB of f32.
const BUCKET: usize = 1 << 22;

/// The workers of a process among themselves, and their first one with those of the other processes.
#[derive(Clone, Debug)]
pub struct ProcessCollective<B: Backend> {
    /// The worker's place.
    pub member: Communicator,
    /// Among the workers of this process.
    pub local: Arc<dyn Collective<B>>,
}

impl<B: Backend> ProcessCollective<B> {
    /// The means of `buckets` over processes, for the first worker of each. A bucket is exchanged while the next one is
    /// copied from the device, and the one before is copied back by `finished`.
    fn exchanged<T>(&self, buckets: Vec<Tensor<B, 1>>, mut finished: impl FnMut(Vec<f32>) -> T) -> Vec<T> {
        let job = self.member.job();
        let mut means = Vec::with_capacity(buckets.len());
        std::thread::scope(|scope| {
            let (send, copied) = mpsc::channel::<Vec<f32>>();
            let (done, arrived) = mpsc::channel();
            scope.spawn(move || {
                for bucket in copied {
                    let mean = exchange::mean(&**job.group(), job.format(), job.traffic(), &bucket);
                    if done.send(mean).is_err() {
                        return;
                    }
                }
            });
            for bucket in buckets {
                // The thread ends after this side only.
                let _ = send.send(host(bucket));
                means.extend(arrived.try_iter().map(&mut finished));
            }
            drop(send);
            let mut waiting = Instant::now();
            while let Ok(mean) = arrived.recv() {
                job.traffic().add_wait(waiting.elapsed());
                means.push(finished(mean));
                waiting = Instant::now();
            }
        });
        means
    }
}

impl<B: Backend> Collective<B> for ProcessCollective<B> {
    fn mean(&self, tensors: Vec<Tensor<B, 1>>) -> Result<Vec<Tensor<B, 1>>, WorkerStopped> {
        let tensors = if self.member.local_workers() == 1 { tensors } else { self.local.mean(tensors)? };
        let Some(device) = tensors.first().map(Tensor::device) else { return Ok(tensors) };
        let (buckets, mut lengths) = bucketed(tensors);
        if self.member.local_workers() == 1 {
            let mut lengths = lengths.into_iter();
            let finished = |mean: Vec<f32>| upload(&mean, &lengths.next().unwrap_or_default(), &device);
            return Ok(self.exchanged(buckets, finished).concat());
        }
        let means = (self.member.local_rank() == 0).then(|| self.exchanged(buckets, Arc::new));
        let shared = self.member.local_gather(means)?;
        let means = shared.iter().find_map(|means| means.as_ref().as_ref());
        Ok(means.into_iter().flatten().zip(lengths.drain(..)).flat_map(|(m, l)| upload(m, &l, &device)).collect())
    }

    fn gather(&self, rows: Tensor<B, 2>) -> Result<Tensor<B, 2>, WorkerStopped> {
        let ([count, width], device) = (rows.dims(), rows.device());
        let everyone = self.member.all_gather(host(rows))?;
        let values: Vec<f32> = everyone.iter().flat_map(|rows| rows.iter().copied()).collect();
        Ok(Tensor::from_data(TensorData::new(values, [self.member.workers() * count, width]), &device))
    }
}

/// `tensors` side by side in buckets, and the lengths of those in each.
fn bucketed<B: Backend>(tensors: Vec<Tensor<B, 1>>) -> (Vec<Tensor<B, 1>>, Vec<Vec<usize>>) {
    let mut groups: Vec<Vec<Tensor<B, 1>>> = Vec::new();
    let mut filled = BUCKET;
    for tensor in tensors {
        let length = tensor.dims()[0];
        if filled + length > BUCKET {
            groups.push(Vec::new());
            filled = 0;
        }
        filled += length;
        groups.iter_mut().last().into_iter().for_each(|group| group.push(tensor.clone()));
    }
    let lengths = groups.iter().map(|group| group.iter().map(|tensor| tensor.dims()[0]).collect()).collect();
    (groups.into_iter().map(|group| Tensor::cat(group, 0)).collect(), lengths)
}

/// `values` as vectors of `lengths` on `device`.
fn upload<B: Backend>(values: &[f32], lengths: &[usize], device: &B::Device) -> Vec<Tensor<B, 1>> {
    let mut rest = values;
    let mut vector = |length: &usize| {
        let (own, after) = rest.split_at(*length);
        rest = after;
        Tensor::from_data(TensorData::new(own.to_vec(), [*length]), device)
    };
    lengths.iter().map(&mut vector).collect()
}
