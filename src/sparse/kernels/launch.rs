//! Launches the CubeCL kernels: sizes, block lists, cube counts.

use super::cube_common::GeometryLaunch;
use super::{cube_backward, cube_class, cube_forward, cube_table};
use crate::backend::launch::{empty, input, output, runs_on, shared_memory, upload};
use crate::sparse::AttentionPlan;
use burn::tensor::{DType, TensorMetadata};
use burn_cubecl::CubeRuntime;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Buffers the kernel with the most of them takes.
const BUFFERS: u32 = 8;
/// Head widths up to which a query, its output and its gradient fit a unit's registers.
const WIDEST_HEAD: usize = 128;
/// Chunks the histogram of the bias table is taken in: enough cubes for a small GPU.
const CHUNKS: usize = 32;

/// One call on one device.
pub(super) struct Call<'a, R: CubeRuntime> {
    plan: &'a AttentionPlan,
    qkv: CubeTensor<R>,
    /// `[H, R]`, f32.
    table: CubeTensor<R>,
    /// `[1 | B, N]`, i32.
    coords: CubeTensor<R>,
    /// `[2, M, W]`: scored blocks, then those whose bias and values count.
    lists: CubeTensor<R>,
    batch: usize,
    /// D.
    head_dim: usize,
    /// Elements that are loaded together; divides D.
    vector: usize,
    /// Queries (or keys) of a cube.
    units: usize,
    /// Rows of the other side in shared memory at a time.
    tile: usize,
}

impl<'a, R: CubeRuntime> Call<'a, R> {
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

    /// `table` is `[H, R]` of f32, `coords` of i32.
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
        let lists = upload(&qkv, &[graph.key_blocks(), graph.value_blocks()].concat());
        let units = if graph.block() <= 32 { 32 } else { 64 };
        Self { plan, qkv, table, coords, lists, batch, head_dim, vector, units, tile }
    }

    fn geometry(&self) -> GeometryLaunch<R> {
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
        )
    }

    /// R.
    fn rows(&self) -> usize {
        self.table.shape().dims::<2>()[1]
    }

    fn dims(&self) -> usize {
        self.head_dim / self.vector
    }

    /// Runs of queries, or keys, of all blocks.
    fn runs(&self) -> usize {
        self.plan.graph.blocks() * self.plan.graph.block().div_ceil(self.units)
    }

    /// A cube per run, head and sample.
    fn cubes(&self) -> CubeCount {
        CubeCount::Static(self.runs() as u32, self.plan.heads as u32, self.batch as u32)
    }

    fn cube_dim(&self) -> CubeDim {
        CubeDim::new_1d(self.units as u32)
    }

    /// Units of the kernels whose units add up whole rows: as many as fit their rows into shared memory.
    fn class_units(&self) -> usize {
        let bytes = |units: &usize| units * (self.head_dim + 2) * size_of::<f32>();
        [64, 32, 16, 8].into_iter().find(|units| bytes(units) <= shared_memory(&self.qkv.client)).unwrap_or(4)
    }

    fn class_cubes(&self) -> CubeCount {
        CubeCount::Static(self.plan.heads as u32, self.batch as u32, 1)
    }

    /// The output `[batch, S, C]` and the log-sum-exp `[batch, heads, S]`.
    pub(super) fn forward(&self) -> (CubeTensor<R>, CubeTensor<R>) {
        let (heads, s) = (self.plan.heads, self.plan.graph.tokens() + 1);
        let out = empty(&self.qkv, [self.batch, s, heads * self.head_dim], self.qkv.dtype);
        let lse = empty(&self.qkv, [self.batch, heads, s], DType::F32);
        let units = self.class_units();
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
                output(&out),
                output(&lse),
                self.geometry(),
                self.plan.graph.padding_attended(),
                self.dims(),
                self.units,
                self.tile,
                self.qkv.dtype.into(),
            );
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

    /// The gradients of `qkv`, of the table's patch-to-patch rows (`[chunks, heads, R]`, to be added up), and per row
    /// `[batch, heads, S, 3]` what belongs to the special rows.
    pub(super) fn backward(
        &self,
        out: &CubeTensor<R>,
        lse: &CubeTensor<R>,
        grad: &CubeTensor<R>,
        atomics: bool,
    ) -> [CubeTensor<R>; 3] {
        let (heads, s) = (self.plan.heads, self.plan.graph.tokens() + 1);
        let rows = empty(&self.qkv, [self.batch, heads, s, cube_backward::ROW], DType::F32);
        let d_qkv = empty(&self.qkv, [self.batch, s, 3 * heads * self.head_dim], self.qkv.dtype);
        // SAFETY: units past the last token stop.
        unsafe {
            cube_backward::row_sums::launch_unchecked::<R>(
                &self.qkv.client,
                CubeCount::Static(s.div_ceil(64) as u32, heads as u32, self.batch as u32),
                CubeDim::new_1d(64),
                self.vector,
                input(out),
                input(grad),
                input(lse),
                output(&rows),
                self.geometry(),
                self.dims(),
                self.qkv.dtype.into(),
            );
        }
        let d_table = self.query_gradients(grad, &rows, &d_qkv, atomics);
        self.key_gradients(grad, &rows, &d_qkv, false);
        self.key_gradients(grad, &rows, &d_qkv, true);
        self.class_gradients(grad, &rows, &d_qkv);
        let d_table = if atomics { d_table } else { self.histogram(grad, &rows) };
        [d_qkv, d_table, rows]
    }

    /// Writes the patch queries' part of `d_qkv`; with `atomics` the table's gradient `[1, heads, R]` is returned.
    fn query_gradients(
        &self,
        grad: &CubeTensor<R>,
        rows: &CubeTensor<R>,
        d_qkv: &CubeTensor<R>,
        atomics: bool,
    ) -> CubeTensor<R> {
        let (shape, dtype) =
            if atomics { ([1, self.plan.heads, self.rows()], DType::F32) } else { ([1, 1, 1], DType::U32) };
        let d_table = burn_cubecl::ops::numeric::zeros_client(
            self.qkv.client.clone(),
            self.qkv.device.clone(),
            shape.into(),
            dtype,
        );
        // SAFETY: as in `forward`.
        unsafe {
            cube_backward::query_gradients::launch_unchecked::<R>(
                &self.qkv.client,
                self.cubes(),
                self.cube_dim(),
                self.vector,
                input(&self.qkv),
                input(&self.table),
                input(&self.coords),
                input(&self.lists),
                input(grad),
                output(rows),
                output(d_qkv),
                output(&d_table),
                self.geometry(),
                atomics,
                self.plan.graph.padding_attended(),
                self.dims(),
                self.units,
                self.tile,
                [self.qkv.dtype.into(), dtype.into()],
            );
        }
        d_table
    }

    /// Writes the patch keys' part of `d_qkv`, or the patch values'.
    fn key_gradients(&self, grad: &CubeTensor<R>, rows: &CubeTensor<R>, d_qkv: &CubeTensor<R>, of_values: bool) {
        let graph = &self.plan.graph;
        let transposed = upload(
            &self.qkv,
            &transposed(self.plan, if of_values { graph.value_blocks() } else { graph.key_blocks() }),
        );
        // SAFETY: as in `forward`.
        unsafe {
            cube_backward::key_gradients::launch_unchecked::<R>(
                &self.qkv.client,
                self.cubes(),
                self.cube_dim(),
                self.vector,
                input(&self.qkv),
                input(&self.table),
                input(&self.coords),
                input(&self.lists),
                input(&transposed),
                input(grad),
                input(rows),
                output(d_qkv),
                self.geometry(),
                of_values,
                self.dims(),
                self.units,
                self.tile,
                self.qkv.dtype.into(),
            );
        }
    }

    /// Writes the class token's part of `d_qkv`.
    fn class_gradients(&self, grad: &CubeTensor<R>, rows: &CubeTensor<R>, d_qkv: &CubeTensor<R>) {
        let units = self.class_units();
        // SAFETY: units go through the existing tokens only.
        unsafe {
            cube_class::class_query_gradient::launch_unchecked::<R>(
                &self.qkv.client,
                self.class_cubes(),
                CubeDim::new_1d(units as u32),
                self.vector,
                input(&self.qkv),
                input(&self.table),
                input(grad),
                output(rows),
                output(d_qkv),
                self.geometry(),
                self.dims(),
                units,
                self.qkv.dtype.into(),
            );
            cube_class::class_key_gradients::launch_unchecked::<R>(
                &self.qkv.client,
                self.class_cubes(),
                CubeDim::new_1d(units as u32),
                self.vector,
                input(&self.qkv),
                input(&self.table),
                input(grad),
                input(rows),
                output(d_qkv),
                self.geometry(),
                self.dims(),
                units,
                self.qkv.dtype.into(),
            );
        }
    }

    /// The table's gradient without atomics, `[chunks, heads, R]`.
    fn histogram(&self, grad: &CubeTensor<R>, rows: &CubeTensor<R>) -> CubeTensor<R> {
        let tile = self.tile.min(8);
        let scores = 2 * tile * self.units * size_of::<f32>();
        let free = shared_memory(&self.qkv.client).saturating_sub(tile_bytes(tile, self.head_dim) + scores);
        let bins = (free / size_of::<f32>()).min(self.rows()).max(self.units);
        let chunks = (self.runs() * self.batch).min(CHUNKS);
        let partial = empty(&self.qkv, [chunks, self.plan.heads, self.rows()], DType::F32);
        // SAFETY: as in `forward`; bins past the last row are not written.
        unsafe {
            cube_table::table_histogram::launch_unchecked::<R>(
                &self.qkv.client,
                CubeCount::Static(self.rows().div_ceil(bins) as u32, self.plan.heads as u32, chunks as u32),
                self.cube_dim(),
                self.vector,
                input(&self.qkv),
                input(&self.table),
                input(&self.coords),
                input(&self.lists),
                input(grad),
                input(rows),
                output(&partial),
                self.geometry(),
                self.batch,
                self.dims(),
                self.units,
                tile,
                bins,
                self.qkv.dtype.into(),
            );
        }
        partial
    }
}

/// Shared memory of `tile` rows of two operands, their coordinates and two sums each.
fn tile_bytes(tile: usize, head_dim: usize) -> usize {
    tile * (2 * head_dim + 3) * size_of::<f32>()
}

/// `[M + 1]` offsets, then for every block of `list` the places (query block · W + slot) that name it.
fn transposed(plan: &AttentionPlan, list: &[u32]) -> Vec<u32> {
    let lists = plan.graph.transposed(list);
    let mut offsets = vec![0u32];
    offsets.extend(lists.iter().scan(0, |end, places| {
        *end += places.len() as u32;
        Some(*end)
    }));
    let width = plan.graph.width() as u32;
    offsets.extend(lists.into_iter().flatten().map(|(block, slot)| block * width + slot));
    offsets
}
