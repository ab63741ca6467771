//! Launches the kernels on tensor cores, where the device has them for the call's element type.

use super::cube_tiles::{ALIGNED, ROWS, SCORES, SIDE, TILE, Tiles, WEIGHTS};
use super::launch::KernelCall;
use super::{cube_tiles_backward, cube_tiles_forward};
use crate::device::launch::{input, output};
use burn::tensor::DType;
use burn_cubecl::CubeRuntime;
use burn_cubecl::tensor::CubeTensor;
use cubecl::features::{MmaConfig, Plane};
use cubecl::ir::{ElemType, FloatKind};

/// Head widths whose sums of two gradients fit a unit's registers.
const WIDEST_HEAD: usize = 64;

/// Tile sizes for `qkv` with `units` rows per cube; none if the device has no 16-bit matrix units or its planes do not
/// have the size the kernels assume.
pub(super) fn tiles<R: CubeRuntime>(qkv: &CubeTensor<R>, head_dim: usize, units: usize) -> Option<Tiles> {
    let properties = qkv.client.properties();
    let hardware = &properties.hardware;
    let short = matches!(qkv.dtype, DType::F16 | DType::BF16);
    let config = MmaConfig {
        a_type: qkv.dtype.into(),
        b_type: qkv.dtype.into(),
        cd_type: ElemType::Float(FloatKind::F32).into(),
        m: SIDE as u32,
        n: SIDE as u32,
        k: SIDE as u32,
    };
    // a load's width in 16-bit elements
    let vector = (hardware.load_width as usize / 16).min(8).min(hardware.max_vector_size);
    let planes = hardware.plane_size_min == ROWS as u32 && hardware.plane_size_max == ROWS as u32;
    let together = properties.features.plane.contains(Plane::Ops) && properties.features.plane.contains(Plane::Sync);
    let tiles = Tiles { head_dim, vector, units };
    (short
        && properties.features.matmul.cmma.contains(&config)
        && planes
        && together
        && vector.is_power_of_two()
        && head_dim.is_multiple_of(SIDE)
        && head_dim <= WIDEST_HEAD
        && bytes(tiles) <= hardware.max_shared_memory_size)
        .then_some(tiles)
}

/// Shared memory of the kernel that takes most: two operands of the run, two of a tile, two tiles of scores and one of
/// weights.
fn bytes(tiles: Tiles) -> usize {
    let operands = 2 * (tiles.units + TILE) * (tiles.head_dim + 8) * 2;
    let scores = tiles.units * (2 * SCORES * size_of::<f32>() + WEIGHTS * 2);
    operands + scores + 3 * TILE * size_of::<f32>() + 8 * ALIGNED
}

impl<R: CubeRuntime> KernelCall<'_, R> {
    /// Writes the patch rows of `out` and of the log-sum-exp.
    pub(super) fn patch_rows_by_tiles(&self, out: &CubeTensor<R>, lse: &CubeTensor<R>, tiles: Tiles) {
        // SAFETY: as in `patch_rows`; rows of tiles past a block's end are 0.
        unsafe {
            cube_tiles_forward::patch_rows_by_tiles::launch_unchecked::<R>(
                &self.qkv.client,
                self.cubes(),
                self.cube_dim(),
                tiles.vector,
                input(&self.qkv),
                input(&self.table),
                input(&self.coords),
                input(&self.lists),
                output(out),
                output(lse),
                self.geometry(),
                self.plan.graph.padding_attended(),
                tiles,
                self.qkv.dtype.into(),
            );
        }
    }

    /// Writes the patch queries' part of `d_qkv`, the third values of `rows`, and with `atomics` `d_table`.
    pub(super) fn query_gradients_by_tiles(
        &self,
        grad: &CubeTensor<R>,
        rows: &CubeTensor<R>,
        d_qkv: &CubeTensor<R>,
        d_table: &CubeTensor<R>,
        atomics: bool,
        tiles: Tiles,
    ) {
        // SAFETY: as in `patch_rows_by_tiles`.
        unsafe {
            cube_tiles_backward::query_gradients_by_tiles::launch_unchecked::<R>(
                &self.qkv.client,
                self.cubes(),
                self.cube_dim(),
                tiles.vector,
                input(&self.qkv),
                input(&self.table),
                input(&self.coords),
                input(&self.lists),
                input(grad),
                output(rows),
                output(d_qkv),
                output(d_table),
                self.geometry(),
                atomics,
                self.plan.graph.padding_attended(),
                tiles,
                [self.qkv.dtype.into(), d_table.dtype.into()],
            );
        }
    }

    /// Writes the patch keys' and values' parts of `d_qkv`. The graph is not mirrored.
    pub(super) fn key_value_gradients_by_tiles(
        &self,
        grad: &CubeTensor<R>,
        rows: &CubeTensor<R>,
        d_qkv: &CubeTensor<R>,
        tiles: Tiles,
    ) {
        let transposed = self.transposed(false);
        // SAFETY: as in `patch_rows_by_tiles`.
        unsafe {
            cube_tiles_backward::key_value_gradients_by_tiles::launch_unchecked::<R>(
                &self.qkv.client,
                self.cubes(),
                self.cube_dim(),
                tiles.vector,
                input(&self.qkv),
                input(&self.table),
                input(&self.coords),
                input(&transposed),
                input(grad),
                input(rows),
                output(d_qkv),
                self.geometry(),
                tiles,
                self.qkv.dtype.into(),
            );
        }
    }
}
