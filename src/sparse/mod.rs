//! The op room: block-sparse attention; knows no model types.

/// stub
pub trait SparseOps: burn::tensor::backend::Backend {}
impl<B: burn::tensor::backend::Backend> SparseOps for B {}
