//! Which tokens survive, and where they came from: scores, order-preserving selection, token orders.

/// stub
pub trait SelectOps: burn::tensor::backend::Backend {}
impl<B: burn::tensor::backend::Backend> SelectOps for B {}
