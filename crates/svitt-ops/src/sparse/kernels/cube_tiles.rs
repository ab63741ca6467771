//! What the attention kernels on tensor cores share: products of tiles in shared memory.
//!
//! A unit owns a row (a query, or a key), as in the other kernels. The 32 rows of a plane are multiplied together as
//! matrices of side [`SIDE`]. Tensor cores keep results in registers of undocumented layout, so scores pass through
//! shared memory, where each unit adds the bias and exponentiates in f32. Factors are `F`, sums f32.

use super::cube_common::lanes;
use cubecl::cmma::{self, Matrix, MatrixIdent, MatrixLayout};
use cubecl::prelude::*;

/// Side of the matrices that are multiplied at once.
pub const SIDE: usize = 16;
/// Rows of a plane, one per unit.
pub const ROWS: usize = 32;
/// Columns of a tile of scores: keys of a query, or queries of a key.
pub const TILE: usize = 32;
/// From a row of scores to the next: 4 more than [`TILE`], so that 8 rows lie in 8 groups of banks.
pub const SCORES: usize = TILE + 4;
/// From a row of weights to the next; tensor cores want multiples of 8.
pub const WEIGHTS: usize = TILE + 8;
/// Bytes at whose multiples tensor cores want matrices to begin.
pub const ALIGNED: usize = 32;

/// Sizes known when a kernel is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tiles {
    /// D, a multiple of [`SIDE`].
    pub head_dim: usize,
    /// Elements that are loaded together; divides 8.
    pub vector: usize,
    /// Units of a cube: rows of its run, a multiple of [`ROWS`].
    pub units: usize,
}

impl Tiles {
    /// Vectors of a row.
    pub const fn dims(self) -> usize {
        self.head_dim / self.vector
    }

    /// Vectors from a row of an operand to the next: 8 elements of room, so that 8 rows lie in different banks.
    pub const fn stride(self) -> usize {
        (self.head_dim + 8) / self.vector
    }

    /// Vectors of an operand of `rows` rows.
    pub const fn operand(self, rows: usize) -> usize {
        rows * self.stride()
    }

    /// Matrices side by side in a row.
    pub const fn across(self) -> usize {
        self.head_dim / SIDE
    }
}

/// The column of a tile that `unit` reads as its `j`-th: rotated, so that units 8 rows apart do not hit the same
/// shared-memory bank.
#[cube]
pub fn column_of(unit: usize, j: usize) -> usize {
    (j + unit / 8) % comptime!(TILE)
}

/// Fills `to` with `rows` rows of `source`, `stride` apart from `from` on; rows past `real` become 0.
#[cube]
#[allow(clippy::too_many_arguments, reason = "a kernel's parts have no struct to hide their sizes in")]
pub fn copy_operand<F: Float, N: Size>(
    source: &Array<Vector<F, N>>,
    to: &mut SharedMemory<Vector<F, N>>,
    from: usize,
    stride: usize,
    real: usize,
    #[comptime] rows: usize,
    #[comptime] tiles: Tiles,
) {
    let mut at = UNIT_POS as usize;
    while at < comptime!(rows * tiles.dims()) {
        let row = at / comptime!(tiles.dims());
        let column = at % comptime!(tiles.dims());
        let mut value = Vector::<F, N>::new(F::new(0.0));
        if row < real {
            value = source[from + row * stride + column];
        }
        to[row * comptime!(tiles.stride()) + column] = value;
        at += comptime!(tiles.units);
    }
}

/// The product of the unit's row of `tile` and a row in global memory.
#[cube]
pub fn row_product<F: Float, N: Size>(
    tile: &SharedMemory<Vector<F, N>>,
    row: usize,
    other: &Array<Vector<F, N>>,
    from: usize,
    #[comptime] tiles: Tiles,
) -> f32 {
    let mut sum = Vector::<f32, N>::new(f32::new(0.0));
    #[unroll]
    for i in 0..comptime!(tiles.dims()) {
        let own = Vector::<f32, N>::cast_from(tile[row * comptime!(tiles.stride()) + i]);
        sum += own * Vector::<f32, N>::cast_from(other[from + i]);
    }
    lanes::<N>(sum)
}

/// A matrix of sums, 0.
#[cube]
fn no_sums() -> Matrix<f32> {
    Matrix::<f32>::from_value(MatrixIdent::Accumulator, SIDE, SIDE, SIDE, MatrixLayout::Undefined, f32::new(0.0))
}

/// The [`ROWS`] × D sums of a plane, 0: the matrices of the upper 16 rows, then those of the lower.
#[cube]
pub fn zero_sums(#[comptime] tiles: Tiles) -> Sequence<Matrix<f32>> {
    let mut sums = Sequence::<Matrix<f32>>::new();
    #[unroll]
    for _ in 0..comptime!(2 * tiles.across()) {
        sums.push(no_sums());
    }
    sums
}

/// `scores` of the plane's rows = `left` · `right`ᵀ: rows of the run against the rows of a tile.
#[cube]
pub fn score_tile<F: Float, N: Size>(
    left: &SharedMemory<Vector<F, N>>,
    right: &SharedMemory<Vector<F, N>>,
    scores: &mut SharedMemory<f32>,
    plane: usize,
    #[comptime] tiles: Tiles,
) {
    let stride = comptime!((tiles.stride() * tiles.vector) as u32);
    let upper = no_sums();
    let upper_right = no_sums();
    let lower = no_sums();
    let lower_right = no_sums();
    #[unroll]
    for k in 0..comptime!(tiles.across()) {
        let column = comptime!(k * SIDE / tiles.vector);
        let first = plane * comptime!(tiles.operand(ROWS)) + column;
        let a = rows_of::<F, N>(left, first, stride, MatrixIdent::A, MatrixLayout::RowMajor);
        let b = rows_of::<F, N>(right, column.runtime(), stride, MatrixIdent::B, MatrixLayout::ColMajor);
        let b_right = rows_of::<F, N>(
            right,
            comptime!(column + tiles.operand(SIDE)).runtime(),
            stride,
            MatrixIdent::B,
            MatrixLayout::ColMajor,
        );
        cmma::execute(&a, &b, &upper, &upper);
        cmma::execute(&a, &b_right, &upper_right, &upper_right);
        let a = rows_of::<F, N>(
            left,
            first + comptime!(tiles.operand(SIDE)),
            stride,
            MatrixIdent::A,
            MatrixLayout::RowMajor,
        );
        cmma::execute(&a, &b, &lower, &lower);
        cmma::execute(&a, &b_right, &lower_right, &lower_right);
    }
    let first = plane * comptime!(ROWS * SCORES);
    store_sums(scores, &upper, first, SCORES);
    store_sums(scores, &upper_right, first + SIDE, SCORES);
    store_sums(scores, &lower, first + comptime!(SIDE * SCORES), SCORES);
    store_sums(scores, &lower_right, first + comptime!(SIDE * SCORES + SIDE), SCORES);
}

/// A matrix of an operand whose first element is `first`, in vectors.
#[cube]
fn rows_of<F: Float, N: Size>(
    operand: &SharedMemory<Vector<F, N>>,
    first: usize,
    stride: u32,
    #[comptime] ident: MatrixIdent,
    #[comptime] layout: MatrixLayout,
) -> Matrix<Vector<F, N>> {
    Matrix::<Vector<F, N>>::from_slice(ident, SIDE, SIDE, SIDE, layout, &operand.slice(first, operand.len()), stride)
}

/// `sums` += the plane's rows of `weights` · `right`, whose rows are those of a tile.
#[cube]
pub fn add_product<F: Float, N: Size>(
    weights: &SharedMemory<F>,
    right: &SharedMemory<Vector<F, N>>,
    sums: &Sequence<Matrix<f32>>,
    plane: usize,
    #[comptime] tiles: Tiles,
) {
    #[unroll]
    for k in 0..comptime!(TILE / SIDE) {
        let first = plane * comptime!(ROWS * WEIGHTS) + comptime!(k * SIDE);
        let upper = weights_of::<F>(weights, first);
        let lower = weights_of::<F>(weights, first + comptime!(SIDE * WEIGHTS));
        #[unroll]
        for n in 0..comptime!(tiles.across()) {
            let from = comptime!(k * tiles.operand(SIDE) + n * SIDE / tiles.vector);
            let stride = comptime!((tiles.stride() * tiles.vector) as u32);
            let b = rows_of::<F, N>(right, from.runtime(), stride, MatrixIdent::B, MatrixLayout::RowMajor);
            cmma::execute(&upper, &b, sums.index(n), sums.index(n));
            let below = comptime!(n + tiles.across());
            cmma::execute(&lower, &b, sums.index(below), sums.index(below));
        }
    }
}

#[cube]
fn weights_of<F: Float>(weights: &SharedMemory<F>, first: usize) -> Matrix<F> {
    let rows = weights.slice(first, weights.len());
    Matrix::<F>::from_slice(MatrixIdent::A, SIDE, SIDE, SIDE, MatrixLayout::RowMajor, &rows, comptime!(WEIGHTS as u32))
}

#[cube]
fn store_sums(to: &mut SharedMemory<f32>, sums: &Matrix<f32>, first: usize, #[comptime] stride: usize) {
    let length = to.len();
    cmma::store(&mut to.slice_mut(first, length), sums, comptime!(stride as u32), MatrixLayout::RowMajor);
}

/// Multiplies the plane's rows of `sums` by their units' `factor`; `scores` is where they pass through. Called by
/// whole planes.
#[cube]
pub fn scale_rows(
    sums: &Sequence<Matrix<f32>>,
    scores: &mut SharedMemory<f32>,
    factor: f32,
    plane: usize,
    #[comptime] tiles: Tiles,
) {
    let unit = UNIT_POS as usize;
    #[unroll]
    for n in 0..comptime!(tiles.across()) {
        spill(sums, scores, plane, n, tiles);
        #[unroll]
        for i in 0..SIDE {
            scores[unit * SCORES + i] *= factor;
        }
        sync_plane();
        let first = plane * comptime!(ROWS * SCORES);
        let below = comptime!(n + tiles.across());
        load_sums(sums.index(n), scores, first);
        load_sums(sums.index(below), scores, first + comptime!(SIDE * SCORES));
        sync_plane();
    }
}

#[cube]
fn load_sums(sums: &Matrix<f32>, scores: &SharedMemory<f32>, first: usize) {
    let rows = scores.slice(first, scores.len());
    cmma::load_with_layout(sums, &rows, comptime!(SCORES as u32), MatrixLayout::RowMajor);
}

/// Stores columns 16·`n` to 16·`n` + 15 of the plane's sums into its rows of `scores`.
#[cube]
pub fn spill(
    sums: &Sequence<Matrix<f32>>,
    scores: &mut SharedMemory<f32>,
    plane: usize,
    #[comptime] n: usize,
    #[comptime] tiles: Tiles,
) {
    let first = plane * comptime!(ROWS * SCORES);
    let below = comptime!(n + tiles.across());
    sync_plane();
    store_sums(scores, sums.index(n), first, SCORES);
    store_sums(scores, sums.index(below), first + comptime!(SIDE * SCORES), SCORES);
    sync_plane();
}

/// A vector of `scores` from `first` on.
#[cube]
pub fn row_part<N: Size>(scores: &SharedMemory<f32>, first: usize) -> Vector<f32, N> {
    let mut part = Vector::<f32, N>::new(f32::new(0.0));
    #[unroll]
    for k in 0..N::value() {
        part[k] = scores[first + k];
    }
    part
}
