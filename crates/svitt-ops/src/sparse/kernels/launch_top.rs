//! Launches the kernels of the choice of blocks and of the lists it makes.

use super::cube_top;
use super::launch::KernelCall;
use crate::device::launch::{empty, input, output, upload};
use crate::sparse::BlockGraph;
use burn::tensor::DType;
use burn_cubecl::CubeRuntime;
use burn_cubecl::tensor::CubeTensor;
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;

const UNITS: usize = 64;

impl<R: CubeRuntime> KernelCall<'_, R> {
    /// The blocks that the graph leaves to be chosen, `[batch, heads, M, chosen]` of integers of `dtype`.
    pub(super) fn top_blocks(&self, dtype: DType) -> CubeTensor<R> {
        let (graph, heads) = (&self.plan.graph, self.plan.heads);
        let blocks = graph.blocks();
        let means = empty(&self.qkv, [2, self.batch, heads, blocks * self.head_dim], DType::F32);
        let ranks = empty(&self.qkv, [self.batch, heads, blocks, blocks], DType::U32);
        let chosen = empty(&self.qkv, [self.batch, heads, blocks, graph.chosen()], dtype);
        let cubes = |x: usize| CubeCount::Static(x as u32, heads as u32, self.batch as u32);
        // SAFETY: blocks hold existing tokens only; units past the last block stop, and as many ranks are above 0 as
        // there are candidates, which are more than the chosen.
        unsafe {
            cube_top::block_means::launch_unchecked::<R>(
                &self.qkv.client,
                cubes(blocks),
                CubeDim::new_1d(UNITS as u32),
                self.vector,
                input(&self.qkv),
                output(&means),
                self.geometry(),
                self.batch,
                self.dims(),
                UNITS,
                self.qkv.dtype.into(),
            );
            cube_top::choose_blocks::launch_unchecked::<R>(
                &self.qkv.client,
                cubes(blocks.div_ceil(UNITS)),
                CubeDim::new_1d(UNITS as u32),
                self.vector,
                input(&means),
                output(&ranks),
                output(&chosen),
                self.geometry(),
                self.batch,
                graph.local(),
                graph.chosen(),
                self.dims(),
                dtype.into(),
            );
        }
        chosen
    }

    /// Puts the blocks `chosen` `[batch, heads, M, chosen]` behind the listed ones, in every sample and head.
    pub(super) fn with_chosen(mut self, chosen: &CubeTensor<R>) -> Self {
        let graph = &self.plan.graph;
        self.list_rows = self.batch * self.plan.heads;
        let shape = [2, self.list_rows, graph.blocks(), graph.width()];
        let (lists, length) = (empty(&self.qkv, shape, DType::U32), shape.iter().product());
        let listed = match graph.listed() {
            // no buffer is empty
            0 => upload(&self.qkv, &[0]),
            _ => upload(&self.qkv, &[graph.key_blocks(), graph.value_blocks()].concat()),
        };
        let units = CubeDim::new(&self.qkv.client, length);
        // SAFETY: units past the last place do nothing.
        unsafe {
            cube_top::join_lists::launch_unchecked::<R>(
                &self.qkv.client,
                calculate_cube_count_elemwise(&self.qkv.client, length, units),
                units,
                input(&listed),
                input(chosen),
                output(&lists),
                self.geometry(),
                graph.listed(),
                length,
                chosen.dtype.into(),
            );
        }
        self.lists = lists;
        self
    }

    /// For every list of keys, or with `of_values` of values: `[M + 1]` offsets, then for every block the places (query
    /// block · W + slot) that name it.
    pub(super) fn transposed(&self, of_values: bool) -> CubeTensor<R> {
        let graph = &self.plan.graph;
        if graph.chosen() == 0 {
            let list = if of_values { graph.value_blocks() } else { graph.key_blocks() };
            return upload(&self.qkv, &transposed_on_host(graph, list));
        }
        let (blocks, places) = (graph.blocks(), graph.blocks() * graph.width());
        let transposed = empty(&self.qkv, [self.list_rows, blocks + 1 + places], DType::U32);
        let (length, first) = (self.list_rows * blocks, if of_values { self.list_rows * places } else { 0 });
        let units = CubeDim::new(&self.qkv.client, length);
        // SAFETY: units past the last block do nothing; a place belongs to one block.
        unsafe {
            cube_top::transpose_lists::launch_unchecked::<R>(
                &self.qkv.client,
                calculate_cube_count_elemwise(&self.qkv.client, length, units),
                units,
                input(&self.lists),
                output(&transposed),
                self.geometry(),
                first,
                length,
            );
        }
        transposed
    }
}

/// The transpose of a list that all samples and heads share.
fn transposed_on_host(graph: &BlockGraph, list: &[u32]) -> Vec<u32> {
    let lists = graph.transposed(list);
    let mut offsets = vec![0u32];
    offsets.extend(lists.iter().scan(0, |end, places| {
        *end += places.len() as u32;
        Some(*end)
    }));
    let width = graph.width() as u32;
    offsets.extend(lists.into_iter().flatten().map(|(block, slot)| block * width + slot));
    offsets
}
