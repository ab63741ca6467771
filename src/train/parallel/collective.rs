//! Means and gathered rows over workers: on the host for any backend, among the devices where they can.

use super::group::{Communicator, WorkerStopped};
use super::process_collective::ProcessCollective;
use burn::tensor::{Tensor, TensorData, TensorPrimitive, backend::Backend};
use std::fmt::Debug;
use std::sync::Arc;
use svitt_ops::device::CollectiveOps;

/// Collective operations of the workers; every worker calls the same methods in the same order with tensors of the same
/// sizes.
pub trait Collective<B: Backend>: Debug + Send + Sync {
    /// Each of `tensors` replaced by its mean over the workers: the same bits for all of them.
    ///
    /// # Errors
    /// Another worker has stopped.
    fn mean(&self, tensors: Vec<Tensor<B, 1>>) -> Result<Vec<Tensor<B, 1>>, WorkerStopped>;

    /// The rows of all workers, by rank: `[rows, width]` to `[workers · rows, width]`.
    ///
    /// # Errors
    /// Another worker has stopped.
    fn gather(&self, rows: Tensor<B, 2>) -> Result<Tensor<B, 2>, WorkerStopped>;
}

/// The fastest there is for workers of which this process has those on `devices`, and `member` the one of its rank
/// there.
pub fn collective_for<B: CollectiveOps>(member: &Communicator, devices: &[B::Device]) -> Arc<dyn Collective<B>> {
    let local: Arc<dyn Collective<B>> = match B::COLLECTIVE {
        true => Arc::new(DeviceCollective { member: member.clone(), devices: devices.to_vec() }),
        false => Arc::new(HostCollective { member: member.clone() }),
    };
    match member.job().size() {
        1 => local,
        _ => Arc::new(ProcessCollective { member: member.clone(), local }),
    }
}

/// The workers of one process through host memory: each averages one part of the numbers, in rank order, and shares it. Works between any
/// devices; on CPU backends it costs no transfer.
#[derive(Clone, Debug)]
pub struct HostCollective {
    /// The worker's place.
    pub member: Communicator,
}

impl HostCollective {
    /// The mean of the workers' numbers.
    fn average(&self, own: Vec<f32>) -> Result<Vec<f32>, WorkerStopped> {
        let (workers, all) = (self.member.local_workers(), own.len());
        let part = all.div_ceil(workers);
        let range = (self.member.local_rank() * part).min(all)..((self.member.local_rank() + 1) * part).min(all);
        let everyone = self.member.local_gather(own)?;
        let mut sum = everyone[0][range.clone()].to_vec();
        for other in &everyone[1..] {
            sum.iter_mut().zip(&other[range.clone()]).for_each(|(sum, x)| *sum += x);
        }
        sum.iter_mut().for_each(|sum| *sum /= workers as f32);
        drop(everyone);
        Ok(self.member.local_gather(sum)?.iter().flat_map(|part| part.iter().copied()).collect())
    }
}

/// The values of `tensor`, read back.
pub(super) fn host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().into_vec().unwrap_or_default()
}

impl<B: Backend> Collective<B> for HostCollective {
    fn mean(&self, tensors: Vec<Tensor<B, 1>>) -> Result<Vec<Tensor<B, 1>>, WorkerStopped> {
        let places: Vec<_> = tensors.iter().map(|tensor| (tensor.dims()[0], tensor.device())).collect();
        let mean = self.average(tensors.into_iter().flat_map(host).collect())?;
        let mut rest = mean.as_slice();
        Ok(places
            .into_iter()
            .map(|(length, device)| {
                let (values, after) = rest.split_at(length);
                rest = after;
                Tensor::from_data(TensorData::new(values.to_vec(), [length]), &device)
            })
            .collect())
    }

    fn gather(&self, rows: Tensor<B, 2>) -> Result<Tensor<B, 2>, WorkerStopped> {
        let ([count, width], device) = (rows.dims(), rows.device());
        let everyone = self.member.local_gather(host(rows))?;
        let values: Vec<f32> = everyone.iter().flat_map(|rows| rows.iter().copied()).collect();
        Ok(Tensor::from_data(TensorData::new(values, [self.member.local_workers() * count, width]), &device))
    }
}

/// Directly among the devices of one process (NCCL on CUDA). Workers synchronise on the host before every group of collectives: a
/// collective that one device never joins blocks the others for ever, and after that barrier nothing can fail before
/// all have joined.
#[derive(Clone, Debug)]
pub struct DeviceCollective<B: Backend> {
    /// The worker's place.
    pub member: Communicator,
    /// The devices of all workers, by rank.
    pub devices: Vec<B::Device>,
}

impl<B: CollectiveOps> DeviceCollective<B> {
    fn sum<const D: usize>(&self, tensor: Tensor<B, D>) -> Tensor<B, D> {
        let sum = B::sum_over_devices(tensor.into_primitive().tensor(), &self.devices);
        Tensor::from_primitive(TensorPrimitive::Float(sum))
    }

    fn finish(&self) {
        B::finish_collectives(&self.devices[self.member.local_rank()]);
    }
}

impl<B: CollectiveOps> Collective<B> for DeviceCollective<B> {
    fn mean(&self, tensors: Vec<Tensor<B, 1>>) -> Result<Vec<Tensor<B, 1>>, WorkerStopped> {
        self.member.local_gather(())?;
        let sums: Vec<_> = tensors.into_iter().map(|tensor| self.sum(tensor)).collect();
        self.finish();
        Ok(sums.into_iter().map(|sum| sum.div_scalar(self.member.local_workers() as f64)).collect())
    }

    /// There is no gathering among Burn's collectives: zeros everywhere else, and a sum, which adding zeros leaves
    /// exact.
    fn gather(&self, rows: Tensor<B, 2>) -> Result<Tensor<B, 2>, WorkerStopped> {
        let ([count, width], device) = (rows.dims(), rows.device());
        let (before, after) =
            (self.member.local_rank() * count, (self.member.local_workers() - self.member.local_rank() - 1) * count);
        let zeros = |rows: usize| Tensor::<B, 2>::zeros([rows, width], &device);
        let parts = [zeros(before), rows, zeros(after)].into_iter().filter(|part| part.dims()[0] > 0).collect();
        let padded = Tensor::cat(parts, 0);
        self.member.local_gather(())?;
        let sum = self.sum(padded);
        self.finish();
        Ok(sum)
    }
}
