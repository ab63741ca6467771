//! Launches the CubeCL kernels: sizes, block lists, cube counts; the forward.

use super::cube_common::GeometryLaunch;
use super::cube_tiles::Tiles;
use super::{cube_forward, launch_tiles};
use crate::device::launch::{empty, input, output, runs_on, shared_memory, upload};
use crate::sparse::AttentionPlan;
use burn::tensor::{DType, TensorMetadata};
use burn_cubecl::CubeRuntime;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Buffers the kernel with the most of them takes.
const BUFFERS: u32 = 8;
/// Head widths up to which a query, its output and its gradient fit a unit's registers.
const WIDEST_HEAD: usize = 128;

/// One call on one device.
pub(super) struct KernelCall<'a, R: CubeRuntime> {
    pub(super) plan: &'a AttentionPlan,
    pub(super) qkv: CubeTensor<R>,
    /// `[H, R]`, f32.
    pub(super) table: CubeTensor<R>,
    /// `[1 | B, N]`, i32.
    pub(super) coords: CubeTensor<R>,
    /// `[2, list_rows, M, W]`: scored blocks, then those whose bias and values count.
    pub(super) lists: CubeTensor<R>,
    /// Lists of all query blocks: 1 that all samples and heads share, or B·H.
    pub(super) list_rows: usize,
    pub(super) batch: usize,
    /// D.
    pub(super) head_dim: usize,
    /// Elements that are loaded together; divides D.
    pub(super) vector: usize,
    /// Queries (or keys) of a cube.
    pub(super) units: usize,
    /// Rows of the other side in shared memory at a time.
    pub(super) tile: usize,
    /// Where tensor cores take the products of patch rows: their sizes.
    pub(super) tiles: Option<Tiles>,
}

impl<'a, R: CubeRuntime> KernelCall<'a, R> {
    /// Whether the device can run the kernels on `qkv` `[batch, S, 3C]`.
    pub(super) fn possible(qkv: &CubeTensor<R>, plan: &AttentionPlan) -> bool {
        let hardware = &qkv.client.properties().hardware;
        let [batch, _, width] = qkv.shape().dims();
        let head_dim = width / 3 / plan.heads;
        let fits = |cubes: usize, limit: u32| cubes <= limit as usize;
        runs_on(&[qkv])
            && head_dim <= WIDEST_HEAD
            && hardware.max_bindings >= BUFFERS
            && hardware.max_units_per_cube >= 64
            && shared_memory(&qkv.client) >= tile_bytes(1, head_dim)
            && fits(batch, hardware.max_cube_count.1.min(hardware.max_cube_count.2))
            && fits(plan.heads, hardware.max_cube_count.1)
    }

    /// `table` is `[H, R]` of f32, `coords` of i32. Where the graph leaves blocks to be chosen, see
    /// [`Self::with_chosen`].
    pub(super) fn new(
        qkv: CubeTensor<R>,
        table: CubeTensor<R>,
        coords: CubeTensor<R>,
        plan: &'a AttentionPlan,
    ) -> Self {
        let [batch, _, width] = qkv.shape().dims();
        let head_dim = width / 3 / plan.heads;
        let vector = [4, 2, 1].into_iter().find(|v| head_dim.is_multiple_of(*v)).unwrap_or(1);
        let memory = shared_memory(&qkv.client);
        let tile = [32, 16, 8, 4, 2, 1].into_iter().find(|&t| tile_bytes(t, head_dim) <= memory).unwrap_or(1);
        let graph = &plan.graph;
        let lists = match graph.chosen() {
            0 => upload(&qkv, &[graph.key_blocks(), graph.value_blocks()].concat()),
            _ => upload(&qkv, &[0]),
        };
        let units = if graph.block() <= 32 { 32 } else { 64 };
        let tiles = launch_tiles::tiles(&qkv, head_dim, units);
        Self { plan, qkv, table, coords, lists, list_rows: 1, batch, head_dim, vector, units, tile, tiles }
    }

    pub(super) fn geometry(&self) -> GeometryLaunch<R> {
        let graph = &self.plan.graph;
        GeometryLaunch::new(
            graph.tokens(),
            self.plan.heads,
            self.rows(),
            self.coords.shape().dims::<2>()[0],
            graph.block(),
            graph.blocks(),
            graph.width(),
            self.plan.centre as i32,
            (self.head_dim as f32).powf(-0.5),
            i32::MIN,
            self.list_rows,
        )
    }

    /// R.
    pub(super) fn rows(&self) -> usize {
        self.table.shape().dims::<2>()[1]
    }

    pub(super) fn dims(&self) -> usize {
        self.head_dim / self.vector
    }

    /// Runs of queries, or keys, of all blocks.
    pub(super) fn runs(&self) -> usize {
        self.plan.graph.blocks() * self.plan.graph.block().div_ceil(self.units)
    }

    /// A cube per run, head and sample.
    pub(super) fn cubes(&self) -> CubeCount {
        CubeCount::Static(self.runs() as u32, self.plan.heads as u32, self.batch as u32)
    }

    pub(super) fn cube_dim(&self) -> CubeDim {
        CubeDim::new_1d(self.units as u32)
    }

    /// Units of the kernels whose units add up whole rows: as many as fit their rows into shared memory.
    pub(super) fn class_units(&self) -> usize {
        let bytes = |units: &usize| units * (self.head_dim + 2) * size_of::<f32>();
        [64, 32, 16, 8].into_iter().find(|units| bytes(units) <= shared_memory(&self.qkv.client)).unwrap_or(4)
    }

    pub(super) fn class_cubes(&self) -> CubeCount {
        CubeCount::Static(self.plan.heads as u32, self.batch as u32, 1)
    }

    /// The output `[batch, S, C]` and the log-sum-exp `[batch, heads, S]`.
    pub(super) fn forward(&self) -> (CubeTensor<R>, CubeTensor<R>) {
        let (heads, s) = (self.plan.heads, self.plan.graph.tokens() + 1);
        let out = empty(&self.qkv, [self.batch, s, heads * self.head_dim], self.qkv.dtype);
        let lse = empty(&self.qkv, [self.batch, heads, s], DType::F32);
        match self.tiles {
            Some(tiles) => self.patch_rows_by_tiles(&out, &lse, tiles),
            None => self.patch_rows(&out, &lse),
        }
        let units = self.class_units();
        // SAFETY: units go through the existing tokens only.
        unsafe {
            cube_forward::class_row::launch_unchecked::<R>(
                &self.qkv.client,
                self.class_cubes(),
                CubeDim::new_1d(units as u32),
                self.vector,
                input(&self.qkv),
                input(&self.table),
                output(&out),
                output(&lse),
                self.geometry(),
                self.dims(),
                units,
                self.qkv.dtype.into(),
            );
        }
        (out, lse)
    }

    /// Writes the patch rows of `out` and of the log-sum-exp.
    fn patch_rows(&self, out: &CubeTensor<R>, lse: &CubeTensor<R>) {
        // SAFETY: `check_shapes` has compared all sizes; runs past a block's end stop, rows past the last token are
        // not read, table rows are clamped, and block lists name existing blocks.
        unsafe {
            cube_forward::patch_rows::launch_unchecked::<R>(
                &self.qkv.client,
                self.cubes(),
                self.cube_dim(),
                self.vector,
                input(&self.qkv),
                input(&self.table),
                input(&self.coords),
                input(&self.lists),
                output(out),
                output(lse),
                self.geometry(),
                self.plan.graph.padding_attended(),
                self.dims(),
                self.units,
                self.tile,
                self.qkv.dtype.into(),
            );
        }
    }

    /// The class token's attention to every patch, averaged over heads: `[batch, tokens]`.
    pub(super) fn class_scores(&self) -> CubeTensor<R> {
        let tokens = self.plan.graph.tokens();
        let lse = empty(&self.qkv, [self.batch, self.plan.heads], DType::F32);
        let scores = empty(&self.qkv, [self.batch, tokens], DType::F32);
        // SAFETY: units past the last token stop.
        unsafe {
            cube_forward::class_lse::launch_unchecked::<R>(
                &self.qkv.client,
                self.class_cubes(),
                CubeDim::new_1d(64),
                self.vector,
                input(&self.qkv),
                input(&self.table),
                output(&lse),
                self.geometry(),
                self.dims(),
                64,
                self.qkv.dtype.into(),
            );
            cube_forward::class_scores::launch_unchecked::<R>(
                &self.qkv.client,
                CubeCount::Static(tokens.div_ceil(64) as u32, self.batch as u32, 1),
                CubeDim::new_1d(64),
                self.vector,
                input(&self.qkv),
                input(&self.table),
                input(&lse),
                output(&scores),
                self.geometry(),
                self.dims(),
                self.qkv.dtype.into(),
            );
        }
        scores
    }
}

/// Shared memory of `tile` rows of two operands, their coordinates and two sums each.
pub(super) fn tile_bytes(tile: usize, head_dim: usize) -> usize {
    tile * (2 * head_dim + 3) * size_of::<f32>()
}
