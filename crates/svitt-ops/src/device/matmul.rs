//! Matrix products in the precision of their element type.
//!
//! Burn computes f32 products on NVIDIA tensor cores as TF32 (10 bits of fraction instead of 23) wherever that is
//! faster, and has no switch for it. Logits and features were then off by 1e-4 to 4e-3, and every fusion file of the
//! parity set failed. Here f32 stays f32; for tensor cores use bf16.

use super::cast_raw;
use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Shape, Tensor, TensorMetadata, TensorPrimitive};

/// Matrix products as a backend operation.
pub trait MatmulOps: Backend {
    /// `a` `[.., m, k]` times `b` `[.., k, n]`: `[.., m, n]`. The axes in front are equal.
    fn product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(a, b)
    }

    /// `x` `[rows, k]` times `weight` `[k, n]`, plus `bias` `[n]`: `[rows, n]`, in the element type of `x`, to which
    /// weights are cast.
    fn linear_map(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        portable_linear::<Self>(x, weight, bias)
    }
}

fn portable_linear<B: MatmulOps>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
) -> FloatTensor<B> {
    let dtype = x.dtype();
    let y = B::product(x, cast_raw::<B>(weight, dtype));
    let Some(bias) = bias else { return y };
    let n = bias.shape().num_elements();
    B::float_add(y, B::float_reshape(cast_raw::<B>(bias, dtype), Shape::from([1, n])))
}

/// `x` `[rows, k]` times `weight` `[k, n]`, plus `bias` `[n]`: `[rows, n]`, in the element type of `x`.
pub fn linear<B: MatmulOps>(x: Tensor<B, 2>, weight: Tensor<B, 2>, bias: Option<Tensor<B, 1>>) -> Tensor<B, 2> {
    let raw = |tensor: Tensor<B, 2>| tensor.into_primitive().tensor();
    let bias = bias.map(|bias| bias.into_primitive().tensor());
    Tensor::from_primitive(TensorPrimitive::Float(B::linear_map(raw(x), raw(weight), bias)))
}

/// `a` `[.., m, k]` times `b` `[.., k, n]`: `[.., m, n]`. The axes in front are equal.
pub fn matmul<B: MatmulOps, const D: usize>(a: Tensor<B, D>, b: Tensor<B, D>) -> Tensor<B, D> {
    let product = B::product(a.into_primitive().tensor(), b.into_primitive().tensor());
    Tensor::from_primitive(TensorPrimitive::Float(product))
}

/// bf16 where the CPU has products of it; Burn's own otherwise.
#[cfg(any(feature = "ndarray", feature = "flex"))]
impl<B: super::host::HostBackend> MatmulOps for B {
    fn product(a: FloatTensor<B>, b: FloatTensor<B>) -> FloatTensor<B> {
        let short = |x: &FloatTensor<B>| super::Arithmetic::of(x.dtype()).on_this_cpu() == super::Arithmetic::Bf16;
        if short(&a) && short(&b) { bf16_product::<B>(&a, &b) } else { Self::float_matmul(a, b) }
    }

    /// bf16 weights are packed once.
    fn linear_map(x: FloatTensor<B>, weight: FloatTensor<B>, bias: Option<FloatTensor<B>>) -> FloatTensor<B> {
        if super::Arithmetic::of(x.dtype()).on_this_cpu() != super::Arithmetic::Bf16 {
            return portable_linear::<B>(x, weight, bias);
        }
        let [[rows, k], [_, n]] = [&x, &weight].map(|x| x.shape().dims::<2>());
        let bias = bias.as_ref().map(B::values);
        let finish = bias.as_deref().map(super::cpu_gemm::add_bias);
        let finish = finish.as_ref().map(|finish| finish as super::cpu_gemm::Epilogue);
        let left = B::bf16_values(&x);
        let left = super::bf16::PairRows::new(&*left, k);
        let values = super::bf16::parallel_product(&left, &super::host::packed_weight::<B>(&weight), finish);
        super::host::Results::<B>::like(&x).short(values, [rows, n])
    }
}

#[cfg(any(feature = "ndarray", feature = "flex"))]
fn bf16_product<B: super::host::HostBackend>(a: &FloatTensor<B>, b: &FloatTensor<B>) -> FloatTensor<B> {
    use super::bf16::{Packed, PairRows, parallel_product};
    let (mut shape, b_shape) = (a.shape().to_vec(), b.shape().to_vec());
    let axes = shape.len();
    let ([m, k], n) = ([shape[axes - 2], shape[axes - 1]], b_shape[axes - 1]);
    shape[axes - 1] = n;
    let device = B::float_device(a);
    let (a, b) = (B::bf16_values(a), B::bf16_values(b));
    let count = shape[..axes - 2].iter().product::<usize>();
    let mut values = Vec::with_capacity(count * m * n);
    for i in 0..count {
        let left = PairRows::new(&a[i * m * k..(i + 1) * m * k], k);
        let right = Packed::of_rows(&b[i * k * n..(i + 1) * k * n], [k, n]);
        values.extend(parallel_product::<burn::tensor::bf16>(&left, &right, None));
    }
    B::float_from_data(burn::tensor::TensorData::new(values, shape), &device)
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
impl<R, F, I, BT> MatmulOps for burn_cubecl::CubeBackend<R, F, I, BT>
where
    R: burn_cubecl::CubeRuntime,
    F: burn_cubecl::FloatElement,
    I: burn_cubecl::IntElement,
    BT: burn_cubecl::element::BoolElement,
{
    fn product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        if super::matmul_f32::would_round(&a) {
            return super::matmul_f32::product(a, b);
        }
        <Self as burn::tensor::ops::FloatTensorOps<Self>>::float_matmul(a, b)
    }
}

#[derive(Debug)]
struct ProductBackward;

impl<B: MatmulOps> Backward<B, 2> for ProductBackward {
    /// a and b, each only if the gradient of the other is needed.
    type State = [Option<NodeId>; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let [a, b] = ops.state.map(|node| {
            node.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node)).map(transposed::<B>)
        });
        let [a_parent, b_parent] = ops.parents;
        if let (Some(node), Some(b)) = (a_parent, b) {
            grads.register::<B>(node.id, B::product(grad.clone(), b));
        }
        if let (Some(node), Some(a)) = (b_parent, a) {
            grads.register::<B>(node.id, B::product(a, grad));
        }
    }
}

fn transposed<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let axes = x.shape().num_dims();
    B::float_swap_dims(x, axes - 2, axes - 1)
}

impl<B: MatmulOps, C: CheckpointStrategy> MatmulOps for Autodiff<B, C> {
    fn product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let product = B::product(a.primitive.clone(), b.primitive.clone());
        match ProductBackward.prepare::<C>([a.node.clone(), b.node.clone()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept = [b.is_tracked().then(|| prep.checkpoint(&a)), a.is_tracked().then(|| prep.checkpoint(&b))];
                prep.finish(kept, product)
            }
            OpsKind::UnTracked(prep) => prep.finish(product),
        }
    }
}

#[cfg(all(test, any(feature = "ndarray", feature = "flex")))]
mod tests {
    use super::*;
    use crate::testing::{Reference, assert_close, assert_gradient, noise, on_every_backend};

    fn on_host<B: Backend>(x: &Tensor<B, 3>) -> Tensor<Reference, 3> {
        Tensor::from_data(x.to_data(), &Default::default())
    }

    fn products_and_their_gradients<B: MatmulOps>() {
        let (a, b) = (noise::<B, 3>(1, [2, 3, 5]), noise::<B, 3>(2, [2, 5, 4]));
        let probe = noise::<B, 3>(3, [2, 3, 4]);
        assert_close(on_host(&matmul(a.clone(), b.clone())), on_host(&a).matmul(on_host(&b)), 1e-5);
        let constant = |x: &Tensor<B, 3>| Tensor::<Autodiff<B>, 3>::from_inner(x.clone());
        assert_gradient(a.clone(), |a| (matmul(a, constant(&b)) * constant(&probe)).sum());
        assert_gradient(b.clone(), |b| (matmul(constant(&a), b) * constant(&probe)).sum());
        assert_gradient(noise::<B, 3>(4, [2, 3, 3]), |x| matmul(x.clone(), x).sum());
    }

    /// Single rows, single columns, transposed operands, and operands with gaps between rows, as attention heads have.
    fn odd_shapes_agree<B: MatmulOps>() {
        for (seed, [batch, heads, m, n, k]) in
            [[2, 3, 1, 7, 5], [3, 2, 6, 1, 9], [1, 1, 1, 1, 33], [3, 4, 1, 5, 8], [1, 1, 3, 41, 20], [2, 2, 19, 17, 24]]
                .into_iter()
                .enumerate()
        {
            // [batch, tokens, heads, width] seen as [batch, heads, tokens, width]
            let split = |seed, tokens, width| noise::<B, 4>(seed, [batch, tokens, heads, width]).swap_dims(1, 2);
            let (a, b) = (split(seed as u64, m, k), split(seed as u64 + 50, n, k).swap_dims(2, 3));
            let host = |x: &Tensor<B, 4>| Tensor::<Reference, 4>::from_data(x.to_data(), &Default::default());
            assert_close(host(&matmul(a.clone(), b.clone())), host(&a).matmul(host(&b)), 1e-5);
            let (a, b) = (a.clone() * 1.0, b.clone() * 1.0);
            assert_close(host(&matmul(a.clone(), b.clone())), host(&a).matmul(host(&b)), 1e-5);
        }
    }

    /// 1 + 2⁻¹² has 12 bits of fraction: as TF32 it is 1.
    fn f32_keeps_its_bits<B: MatmulOps>() {
        let [m, n, k] = [128, 128, 128];
        let a = Tensor::<B, 2>::full([m, k], 1.0 + 1.0 / 4096.0, &Default::default());
        let sums = matmul(a, Tensor::<B, 2>::eye(n, &Default::default()));
        assert!(crate::testing::host(sums).iter().all(|x| *x == 1.0 + 1.0 / 4096.0));
    }

    on_every_backend!(products_and_their_gradients, odd_shapes_agree, f32_keeps_its_bits);
}
