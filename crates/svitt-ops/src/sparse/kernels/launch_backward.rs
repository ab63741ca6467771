//! Launches the CubeCL kernels of the backward.

use super::launch::{KernelCall, tile_bytes};
use super::{cube_backward, cube_class, cube_table};
use crate::device::launch::{empty, input, output, shared_memory, zeros};
use burn::tensor::DType;
use burn_cubecl::CubeRuntime;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Chunks the histogram of the bias table is taken in: enough cubes for a small GPU.
const CHUNKS: usize = 32;

impl<R: CubeRuntime> KernelCall<'_, R> {
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
        match self.tiles {
            Some(tiles) if !self.plan.graph.is_mirrored() => {
                self.key_value_gradients_by_tiles(grad, &rows, &d_qkv, tiles);
            }
            _ => {
                self.key_gradients(grad, &rows, &d_qkv, false);
                self.key_gradients(grad, &rows, &d_qkv, true);
            }
        }
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
        let d_table = zeros(&self.qkv, shape, dtype);
        if let Some(tiles) = self.tiles {
            self.query_gradients_by_tiles(grad, rows, d_qkv, &d_table, atomics, tiles);
            return d_table;
        }
        // SAFETY: as in `patch_rows`.
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
        let transposed = self.transposed(of_values);
        // SAFETY: as in `patch_rows`.
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
        // SAFETY: as in `patch_rows`; bins past the last row are not written.
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
