//! The blocks of keys, or of values, that query blocks see, as tensors: lists shared by all samples and heads, or with
//! the chosen blocks of each. For the portable implementation.

use super::BlockGraph;
use super::gathered::MASKED;
use burn::tensor::{Bool, IndexingUpdateOp, Int, Tensor, TensorData, backend::Backend};

/// Block numbers, W per query block.
#[derive(Clone)]
pub(super) enum BlockList<B: Backend> {
    /// `[M·W]`, the same in all samples and heads, and on the host.
    Shared(Tensor<B, 1, Int>, Vec<u32>),
    /// `[B, H, M, W]`.
    Own(Tensor<B, 4, Int>),
}

impl<B: Backend> BlockList<B> {
    /// The blocks `listed` `[M, listed]` by `graph`, followed in every sample and head by `chosen` `[B, H, M, chosen]`.
    pub(super) fn new(
        listed: &[u32],
        chosen: Option<&Tensor<B, 4, Int>>,
        graph: &BlockGraph,
        device: &B::Device,
    ) -> Self {
        let list: Vec<i64> = listed.iter().map(|&b| i64::from(b)).collect();
        let length = list.len();
        let Some(chosen) = chosen else {
            return Self::Shared(Tensor::from_data(TensorData::new(list, [length]), device), listed.to_vec());
        };
        if length == 0 {
            return Self::Own(chosen.clone());
        }
        let ([batch, heads, blocks, _], columns) = (chosen.dims(), graph.listed());
        let listed = Tensor::<B, 4, Int>::from_data(TensorData::new(list, [1, 1, blocks, columns]), device);
        Self::Own(Tensor::cat(vec![listed.expand([batch, heads, blocks, columns]), chosen.clone()], 3))
    }

    /// Numbers of the blocks among those of all samples and heads, `[B·H·M·W]`.
    fn among_all(list: &Tensor<B, 4, Int>) -> Tensor<B, 1, Int> {
        let [batch, heads, blocks, width] = list.dims();
        let first = Tensor::<B, 1, Int>::arange(0..(batch * heads) as i64, &list.device()) * blocks as i64;
        let first = first.reshape([batch, heads, 1, 1]).expand([batch, heads, blocks, width]);
        (list.clone() + first).reshape([batch * heads * blocks * width])
    }

    /// The blocks beside each other: `[B, H, M, X]` to `[B, H, M·W, X]`.
    pub(super) fn gather(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let [batch, heads, blocks, size] = x.dims();
        match self {
            Self::Shared(list, _) => x.select(2, list.clone()),
            Self::Own(list) => {
                let rows = x.reshape([batch * heads * blocks, size]).select(0, Self::among_all(list));
                rows.reshape([batch as i64, heads as i64, -1, size as i64])
            }
        }
    }

    /// The adjoint of [`Self::gather`]: sums `[B, H, M·W, X]` onto `[B, H, M, X]`.
    pub(super) fn scatter(&self, x: Tensor<B, 4>, blocks: usize) -> Tensor<B, 4> {
        let ([batch, heads, entries, size], device) = (x.dims(), x.device());
        match self {
            Self::Shared(list, _) => {
                let zeros = Tensor::zeros([batch, heads, blocks, size], &device);
                zeros.select_assign(2, list.clone(), x, IndexingUpdateOp::Add)
            }
            Self::Own(list) => {
                let zeros = Tensor::zeros([batch * heads * blocks, size], &device);
                let x = x.reshape([batch * heads * entries, size]);
                let sum = zeros.select_assign(0, Self::among_all(list), x, IndexingUpdateOp::Add);
                sum.reshape([batch, heads, blocks, size])
            }
        }
    }

    /// Coordinates `[1 | B, M, G]` of the tokens of the blocks: `[1 | B, 1 | H, M, 1, W·G]`.
    pub(super) fn coords(&self, coords: Tensor<B, 3, Int>) -> Tensor<B, 5, Int> {
        let [samples, blocks, size] = coords.dims();
        match self {
            Self::Shared(list, _) => {
                let keys = list.dims()[0] / blocks * size;
                coords.select(1, list.clone()).reshape([samples, 1, blocks, 1, keys])
            }
            Self::Own(list) => {
                let [batch, heads, _, width] = list.dims();
                let coords = coords.reshape([samples, 1, blocks, size]).expand([batch, heads, blocks, size]);
                let coords = coords.reshape([batch * heads * blocks, size]).select(0, Self::among_all(list));
                coords.reshape([batch, heads, blocks, 1, width * size])
            }
        }
    }

    /// Which places are padding, `[1 | B, 1 | H, M, 1, W·G]`.
    pub(super) fn padded(&self, graph: &BlockGraph, device: &B::Device) -> Tensor<B, 5, Bool> {
        let (blocks, size, width) = (graph.blocks(), graph.block(), graph.width());
        let real = size - graph.padding();
        match self {
            Self::Shared(_, list) => {
                let padded = |&b: &u32| (0..size).map(move |j| b as usize + 1 == blocks && j >= real);
                let flags: Vec<bool> = list.iter().flat_map(padded).collect();
                Tensor::from_data(TensorData::new(flags, [1, 1, blocks, 1, width * size]), device)
            }
            Self::Own(list) => {
                let [batch, heads, ..] = list.dims();
                let last = list.clone().equal_elem(blocks as i64 - 1).int().reshape([batch, heads, blocks, width, 1]);
                let tail: Vec<i64> = (0..size).map(|j| i64::from(j >= real)).collect();
                let tail = Tensor::<B, 5, Int>::from_data(TensorData::new(tail, [1, 1, 1, 1, size]), device);
                (last * tail).greater_elem(0).reshape([batch, heads, blocks, 1, width * size])
            }
        }
    }

    /// What is added to scores so that padding is not seen, `[1 | B, 1 | H, M, 1, W·G]`; none where nothing need be.
    pub(super) fn mask(&self, graph: &BlockGraph, device: &B::Device) -> Option<Tensor<B, 5>> {
        let hidden = graph.padding() > 0 && !graph.padding_attended();
        hidden.then(|| self.padded(graph, device).float().mul_scalar(MASKED))
    }
}
