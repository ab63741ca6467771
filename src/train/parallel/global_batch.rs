//! The contrastive loss over the batches of all workers (`--global-negatives`).

use super::collective::Collective;
use super::group::{Communicator, WorkerStopped};
use crate::data::class_of;
use crate::model::FeatureGather;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Int, Tensor, TensorData};
use std::collections::HashMap;
use std::sync::Arc;
use svitt_ops::device::MatmulOps;

/// One worker's access to the features of all workers.
///
/// Every worker computes the whole loss L from the same features, those of the others being constants. The gradient of
/// L that reaches a worker's own features is then already complete, and nothing has to be exchanged in the backward
/// pass; only its share must not shrink when gradients are averaged, so it is multiplied by the number of workers.
#[derive(Debug)]
pub struct GlobalBatch<B: AutodiffBackend> {
    reduce: Arc<dyn Collective<B::InnerBackend>>,
    member: Communicator,
    identity: Vec<i64>,
}

impl<B: AutodiffBackend> GlobalBatch<B> {
    /// The batches of all workers, of which this one has the pairs of identities `keys`.
    ///
    /// # Errors
    /// Another worker has stopped.
    pub fn meet(
        reduce: &Arc<dyn Collective<B::InnerBackend>>,
        member: &Communicator,
        keys: &[u64],
    ) -> Result<Self, WorkerStopped> {
        let everyone = member.all_gather(keys.to_vec())?;
        // Small numbers, because integers of a device may have 32 bits.
        let mut classes = HashMap::new();
        let keys = everyone.iter().flat_map(|keys| keys.iter().copied());
        let identity = keys.map(|key| class_of(&mut classes, key)).collect();
        Ok(Self { reduce: reduce.clone(), member: member.clone(), identity })
    }
}

impl<B: AutodiffBackend + MatmulOps> FeatureGather<B> for GlobalBatch<B> {
    fn features(&self, own: Tensor<B, 2>) -> Tensor<B, 2> {
        let (rows, rank, workers) = (own.dims()[0], self.member.rank(), self.member.workers());
        let values = own.clone().inner();
        // If a worker has stopped, the end of this step notices and discards it.
        let all =
            self.reduce.gather(values.clone()).unwrap_or_else(|WorkerStopped| values.clone().repeat_dim(0, workers));
        let constant = Tensor::<B, 2>::from_inner(values);
        let own = constant.clone() + (own - constant).mul_scalar(workers as f64);
        let others = |rows: std::ops::Range<usize>| Tensor::from_inner(all.clone().slice([rows]));
        let mut parts = vec![own];
        if rank > 0 {
            parts.insert(0, others(0..rank * rows));
        }
        if rank + 1 < workers {
            parts.push(others((rank + 1) * rows..workers * rows));
        }
        Tensor::cat(parts, 0)
    }

    fn identity(&self, device: &B::Device) -> Tensor<B, 1, Int> {
        Tensor::from_data(TensorData::new(self.identity.clone(), [self.identity.len()]), device)
    }
}
