//! Which backend runs which sibling.

use super::SparseOps;

#[cfg(feature = "ndarray")]
impl SparseOps for burn_ndarray::NdArray {}

#[cfg(feature = "flex")]
impl SparseOps for burn_flex::Flex {}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
impl<R, F, I, BT> SparseOps for burn_cubecl::CubeBackend<R, F, I, BT>
where
    R: burn_cubecl::CubeRuntime,
    F: burn_cubecl::FloatElement,
    I: burn_cubecl::IntElement,
    BT: burn_cubecl::element::BoolElement,
{
}
