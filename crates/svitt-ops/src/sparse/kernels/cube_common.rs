//! What the attention kernels share: where things lie, how rows are copied into shared memory.
//!
//! A unit owns a row (a query, or a key) and keeps it in registers; a cube's units read the rows of the other side
//! together from shared memory. No plane operations: software Vulkan has none. Sums are f32 whatever `F` is stored.
#![allow(clippy::manual_div_ceil, reason = "the kernel language takes it written out")]

use cubecl::prelude::*;

/// The running maximum is replaced only by a score more than this above it; until then sums grow by at most e^8 and
/// need no rescaling.
pub const RESCALE_MARGIN: f32 = 8.0;

/// The sizes of a call; see the legend of [`crate::sparse`].
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub struct Geometry {
    /// N.
    pub tokens: usize,
    /// H.
    pub heads: usize,
    /// R.
    pub rows: usize,
    /// Rows of the coordinates: 1 or B.
    pub samples: usize,
    /// G.
    pub block: usize,
    /// M.
    pub blocks: usize,
    /// W.
    pub width: usize,
    /// The table row of coordinate difference 0.
    pub centre: i32,
    /// D^(-1/2).
    pub scale: f32,
    /// Marks padding among coordinates; no token has it.
    pub padding: i32,
    /// Lists of all query blocks: 1 that all samples and heads share, or B·H.
    pub lists: usize,
}

/// The patch tokens a cube works on, all of one block.
#[derive(CubeType, Clone, Copy)]
pub struct TokenRun {
    pub sample: usize,
    pub head: usize,
    pub block: usize,
    /// Offset of the first token in its block.
    pub offset: usize,
    /// Tokens of the run; 0 where the last block ends before it.
    pub length: usize,
}

/// Tokens of `block`: G, fewer in the last.
#[cube]
pub fn size_of_block(g: &Geometry, block: usize) -> usize {
    min(g.block, g.tokens - block * g.block)
}

/// The run number `run` of `units` tokens.
#[cube]
pub fn run_at(g: &Geometry, run: usize, head: usize, sample: usize, #[comptime] units: usize) -> TokenRun {
    let per_block = (g.block + units - 1) / units;
    let block = run / per_block;
    let offset = (run % per_block) * units;
    let end = min(size_of_block(g, block), offset + units);
    TokenRun { sample, head, block, offset, length: select(end > offset, end - offset, 0) }
}

/// Index, in vectors, of the query of `token` (0 is the class token); its key lies one [`part`] further.
#[cube]
pub fn query_at(g: &Geometry, sample: usize, head: usize, token: usize, #[comptime] dims: usize) -> usize {
    ((sample * (g.tokens + 1) + token) * 3 * g.heads + head) * dims
}

/// Vectors from queries to keys and from keys to values: C.
#[cube]
pub fn part(g: &Geometry, #[comptime] dims: usize) -> usize {
    g.heads * dims
}

/// Index, in vectors, of the head's part of `token` in `[batch, S, C]`.
#[cube]
pub fn output_at(g: &Geometry, sample: usize, head: usize, token: usize, #[comptime] dims: usize) -> usize {
    ((sample * (g.tokens + 1) + token) * g.heads + head) * dims
}

/// Index of `token` in `[batch, heads, S]`.
#[cube]
pub fn row_at(g: &Geometry, sample: usize, head: usize, token: usize) -> usize {
    (sample * g.heads + head) * (g.tokens + 1) + token
}

/// Index of the first coordinate of `sample`.
#[cube]
pub fn coords_at(g: &Geometry, sample: usize) -> usize {
    select(g.samples == 1, 0, sample * g.tokens)
}

/// Which of the lists is that of the run's sample and head.
#[cube]
pub fn list_of(g: &Geometry, sample: usize, head: usize) -> usize {
    select(g.lists == 1, 0, sample * g.heads + head)
}

/// Index of the first block whose keys query block `block` scores.
#[cube]
pub fn list_at(g: &Geometry, sample: usize, head: usize, block: usize) -> usize {
    (list_of(g, sample, head) * g.blocks + block) * g.width
}

/// From a place in the lists of keys to that in the lists of values.
#[cube]
pub fn values_after_keys(g: &Geometry) -> usize {
    g.lists * g.blocks * g.width
}

/// Index of the first offset of the transposed list of a sample and head.
#[cube]
pub fn transposed_at(g: &Geometry, sample: usize, head: usize) -> usize {
    list_of(g, sample, head) * (g.blocks + 1 + g.blocks * g.width)
}

/// The table row of a query and a key by coordinates; padding uses patch→class (its position id is the class's).
#[cube]
pub fn table_row(g: &Geometry, query: i32, key: i32) -> usize {
    let row = usize::cast_from(query - key + g.centre);
    select(key == g.padding, g.rows - 2, min(row, g.rows - 1))
}

/// The sum of the lanes of a vector.
#[cube]
pub fn lanes<N: Size>(x: Vector<f32, N>) -> f32 {
    let mut sum = f32::new(0.0);
    #[unroll]
    for k in 0..N::value() {
        sum += x[k];
    }
    sum
}

/// Copies `count` rows of `dims` vectors, `stride` apart from `from` on and times `scale`, into `to`; rows past `real`
/// become 0. Neighbouring units read neighbouring vectors.
#[cube]
#[allow(clippy::too_many_arguments, reason = "a kernel's parts have no struct to hide their sizes in")]
pub fn copy_rows<F: Float, N: Size>(
    source: &Array<Vector<F, N>>,
    to: &mut SharedMemory<Vector<f32, N>>,
    from: usize,
    stride: usize,
    real: usize,
    count: usize,
    scale: f32,
    #[comptime] dims: usize,
    #[comptime] units: usize,
) {
    let mut at = UNIT_POS as usize;
    while at < count * dims {
        let row = at / dims;
        let mut value = Vector::<f32, N>::new(f32::new(0.0));
        if row < real {
            value = Vector::<f32, N>::cast_from(source[from + row * stride + at % dims]) * Vector::<f32, N>::new(scale);
        }
        to[at] = value;
        at += units;
    }
}

/// Copies the coordinates of `count` tokens into `to`, `padding` past `real`.
#[cube]
pub fn copy_coords(
    coords: &Array<i32>,
    to: &mut SharedMemory<i32>,
    from: usize,
    real: usize,
    count: usize,
    padding: i32,
    #[comptime] units: usize,
) {
    let mut at = UNIT_POS as usize;
    while at < count {
        let mut value = padding;
        if at < real {
            value = coords[from + at];
        }
        to[at] = value;
        at += units;
    }
}

/// `a` less `b`, 0 where `b` is more.
#[cube]
pub fn less(a: usize, b: usize) -> usize {
    select(a > b, a - b, 0)
}

/// The product of a row in registers and row `row` of a tile.
#[cube]
pub fn product<N: Size>(
    own: &Array<Vector<f32, N>>,
    tile: &SharedMemory<Vector<f32, N>>,
    row: usize,
    #[comptime] dims: usize,
) -> f32 {
    let mut sum = Vector::<f32, N>::new(f32::new(0.0));
    #[unroll]
    for i in 0..dims {
        sum += own[i] * tile[row * dims + i];
    }
    lanes::<N>(sum)
}

/// Adds `factor` times row `row` of a tile to a row in registers.
#[cube]
pub fn accumulate<N: Size>(
    own: &mut Array<Vector<f32, N>>,
    tile: &SharedMemory<Vector<f32, N>>,
    row: usize,
    factor: f32,
    #[comptime] dims: usize,
) {
    let factor = Vector::<f32, N>::new(factor);
    #[unroll]
    for i in 0..dims {
        own[i] += factor * tile[row * dims + i];
    }
}
