//! The op on CubeCL backends: kernels where the device can run them, tensor operations elsewhere.

use super::launch::KernelCall;
use crate::sparse::op::{SavedAttention, float};
use crate::sparse::{AttentionPlan, BlockGraph, SparseOps, class, gathered, top};
use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, Int, Tensor, TensorMetadata};
use burn_cubecl::element::BoolElement;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeRuntime, FloatElement, IntElement};
use std::sync::Arc;

/// `[R, H]` to `[H, R]` of f32: neighbouring queries then look up neighbouring values.
fn by_head<B: Backend>(table: FloatTensor<B>) -> Tensor<B, 2> {
    float::<B, 2>(table).cast(DType::F32).transpose()
}

fn raw<B: Backend, const D: usize>(x: Tensor<B, D>) -> FloatTensor<B> {
    x.into_primitive().tensor()
}

fn coords_i32<B: Backend>(coords: IntTensor<B>) -> IntTensor<B> {
    Tensor::<B, 2, Int>::from_primitive(coords).cast(DType::I32).into_primitive()
}

impl<R, F, I, BT> SparseOps for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn sparse_attention(
        qkv: FloatTensor<Self>,
        table: FloatTensor<Self>,
        coords: IntTensor<Self>,
        chosen: Option<IntTensor<Self>>,
        plan: &AttentionPlan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if KernelCall::possible(&qkv, plan) {
            let table = raw(by_head::<Self>(table));
            let call = KernelCall::new(qkv, table, coords_i32::<Self>(coords), plan);
            return with_lists(call, chosen.as_ref()).forward();
        }
        let (coords, chosen) = (Tensor::from_primitive(coords), chosen.map(Tensor::from_primitive));
        let (out, lse) = gathered::forward::<Self>(float(qkv), float(table), coords, chosen, plan);
        (raw(out), raw(lse))
    }

    fn sparse_attention_backward(
        saved: SavedAttention<Self>,
        grad: FloatTensor<Self>,
        plan: &AttentionPlan,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if KernelCall::possible(&saved.qkv, plan) && grad.dtype == saved.qkv.dtype {
            let atomics = crate::device::launch::adds_atomically(&grad.client);
            return backward::<R, F, I, BT>(saved, grad, plan, atomics);
        }
        let (qkv, table) = gathered::backward::<Self>(saved, float(grad), plan);
        (raw(qkv), raw(table))
    }

    fn top_blocks(qkv: FloatTensor<Self>, plan: &AttentionPlan) -> IntTensor<Self> {
        if !KernelCall::possible(&qkv, plan) {
            return top::blocks::<Self>(float(qkv), plan).into_primitive();
        }
        let device = qkv.device.clone();
        // The choice looks at no bias.
        let table = raw(Tensor::<Self, 2>::zeros([plan.heads, 1], &device));
        let coords = Tensor::<Self, 2, Int>::zeros([1, 1], &device).into_primitive();
        KernelCall::new(qkv, table, coords, plan).top_blocks(I::dtype())
    }

    fn class_attention(qkv: FloatTensor<Self>, table: FloatTensor<Self>) -> FloatTensor<Self> {
        let [_, s, _] = qkv.shape().dims();
        let [_, heads] = table.shape().dims();
        let plan = AttentionPlan { graph: Arc::new(BlockGraph::dense(s - 1)), heads, centre: 0 };
        if !KernelCall::possible(&qkv, &plan) {
            return raw(class::attention::<Self>(float(qkv), float(table)));
        }
        let (device, dtype) = (qkv.device.clone(), qkv.dtype);
        // The class row looks at no coordinates.
        let coords = Tensor::<Self, 2, Int>::zeros([1, 1], &device).into_primitive();
        let scores = KernelCall::new(qkv, raw(by_head::<Self>(table)), coords, &plan).class_scores();
        raw(float::<Self, 2>(scores).cast(dtype))
    }
}

/// `call` with the lists of its graph, joined by the chosen blocks where there are any.
fn with_lists<'a, R: CubeRuntime>(call: KernelCall<'a, R>, chosen: Option<&CubeTensor<R>>) -> KernelCall<'a, R> {
    match chosen {
        Some(chosen) => call.with_chosen(chosen),
        None => call,
    }
}

/// Whether the device takes calls on `qkv` `[batch, S, 3C]` with `heads` heads to its tensor cores.
#[cfg(all(test, feature = "cuda"))]
pub(in crate::sparse) fn on_tensor_cores<R: CubeRuntime>(qkv: &CubeTensor<R>, heads: usize) -> bool {
    let [_, _, width] = qkv.shape().dims();
    super::launch_tiles::tiles(qkv, width / 3 / heads, 64).is_some()
}

/// The kernels' backward, with the table's gradient by atomics or by histograms.
pub(in crate::sparse) fn backward<R, F, I, BT>(
    saved: SavedAttention<CubeBackend<R, F, I, BT>>,
    grad: CubeTensor<R>,
    plan: &AttentionPlan,
    atomics: bool,
) -> (CubeTensor<R>, CubeTensor<R>)
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    type B<R, F, I, BT> = CubeBackend<R, F, I, BT>;
    let dtype = saved.table.dtype;
    let table = raw(by_head::<B<R, F, I, BT>>(saved.table));
    let coords = coords_i32::<B<R, F, I, BT>>(saved.coords);
    let call = with_lists(KernelCall::new(saved.qkv, table, coords, plan), saved.chosen.as_ref());
    let [d_qkv, d_table, rows] = call.backward(&saved.out, &saved.lse, &grad, atomics);
    let d_table = table_gradient::<B<R, F, I, BT>>(float(d_table), float(rows));
    (d_qkv, raw(d_table.cast(dtype)))
}

/// Joins the parts of the table's gradient, `[R, H]`: patch-to-patch rows `[chunks, H, R]` and, from the third value
/// of `rows` `[B, H, S, 3]`, the last three. The score gradients of a softmax row add up to 0, so the class query's
/// towards patches are together the negative of its own.
fn table_gradient<B: Backend>(patch: Tensor<B, 3>, rows: Tensor<B, 4>) -> Tensor<B, 2> {
    let [_, heads, length] = patch.dims();
    let [batch, _, s, values] = rows.dims();
    let special = rows.slice([0..batch, 0..heads, 0..s, values - 1..values]).reshape([batch, heads, s]);
    let special = special.sum_dim(0).reshape([heads, s]);
    let to_self = special.clone().slice([0..heads, 0..1]);
    let to_class = special.slice([0..heads, 1..s]).sum_dim(1);
    let last = Tensor::cat(vec![to_self.clone().neg(), to_class, to_self], 1);
    let patch = patch.sum_dim(0).reshape([heads, length]);
    patch.slice_assign([0..heads, length - 3..length], last).transpose()
}
