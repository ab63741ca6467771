//! The portable implementation: key blocks are gathered, the rest is batched matrix products. Works on any backend.
//!
//! The class key is kept out of the gathered keys and joins the softmax as one more logit column.

use super::bias::is_uniform;
use super::block_list::BlockList;
use super::op::{AttentionPlan, SavedAttention, float};
use crate::device::cast;
use burn::tensor::{DType, IndexingUpdateOp, Int, Tensor, TensorData, backend::Backend};

/// Added to the score of a key that must not be seen; finite, because a row of −∞ has no softmax (its probability
/// underflows to exactly 0).
pub(super) const MASKED: f32 = -1e9;

/// See [`super::SparseOps::sparse_attention`].
pub fn forward<B: Backend>(
    qkv: Tensor<B, 3>,
    table: Tensor<B, 2>,
    coords: Tensor<B, 2, Int>,
    chosen: Option<Tensor<B, 4, Int>>,
    plan: &AttentionPlan,
) -> (Tensor<B, 3>, Tensor<B, 3>) {
    let dtype = qkv.dtype();
    let parts = BlockedInputs::new(wide(qkv), wide(table), coords, chosen, plan);
    let class = parts.class_row();
    let patch = parts.patch_rows();
    let (class_lse, class_out) = (lse(class.clone()), parts.class_out(&class));
    let (patch_lse, patch_out) = (lse(patch.clone()), parts.patch_out(&patch));
    let out = Tensor::cat(vec![class_out, parts.unblock(patch_out)], 2);
    let lse = Tensor::cat(vec![class_lse, parts.unblock(patch_lse)], 2);
    (cast(parts.merge_heads(out), dtype), lse.squeeze_dim(3))
}

/// See [`super::SparseOps::sparse_attention_backward`].
pub fn backward<B: Backend>(
    saved: SavedAttention<B>,
    grad: Tensor<B, 3>,
    plan: &AttentionPlan,
) -> (Tensor<B, 3>, Tensor<B, 2>) {
    let dtype = grad.dtype();
    let (qkv, table) = (wide(float(saved.qkv)), wide(float(saved.table)));
    let chosen = saved.chosen.map(Tensor::from_primitive);
    let parts = BlockedInputs::new(qkv, table, Tensor::from_primitive(saved.coords), chosen, plan);
    let out = parts.split_heads(wide(float(saved.out)));
    let grad = parts.split_heads(wide(grad));
    let lse = float::<B, 3>(saved.lse).unsqueeze_dim::<4>(3);
    let delta = (out * grad.clone()).sum_dim(3);
    let class = parts.class_gradients(&grad, &lse, &delta);
    let patch = parts.patch_gradients(&grad, &lse, &delta);
    let qkv = parts.join_gradients(&class, &patch);
    (cast(qkv, dtype), cast(parts.table_gradient(class.bias, patch.bias), dtype))
}

/// The attention every patch receives from all patches, averaged over them, in one head: `qkv` `[B, S, 3D]`, `table`
/// `[R, 1]`, `chosen` `[B, 1, M, chosen]`, `lse` `[B, 1, S]` to `[B, N]`. Keys outside the graph's blocks count as not attended to.
pub(super) fn received<B: Backend>(
    qkv: Tensor<B, 3>,
    table: Tensor<B, 2>,
    coords: Tensor<B, 2, Int>,
    chosen: Option<Tensor<B, 4, Int>>,
    lse: Tensor<B, 3>,
    plan: &AttentionPlan,
) -> Tensor<B, 2> {
    let (batch, tokens) = (qkv.dims()[0], plan.graph.tokens());
    let parts = BlockedInputs::new(wide(qkv), wide(table), coords, chosen, plan);
    let lse = parts.block(BlockedInputs::patches_of(&lse.unsqueeze_dim::<4>(3)));
    let [blocks, size, width] = parts.sizes();
    let p = (parts.patch_rows() - lse).exp().slice_dim(4, 1..(1 + width * size) as i64);
    let p = match plan.graph.padding() {
        0 => p,
        padding => {
            let real = (0..blocks * size).map(|i| f32::from(u8::from(i < blocks * size - padding))).collect();
            p.clone() * Tensor::from_data(TensorData::new::<f32, _>(real, [1, 1, blocks, size, 1]), &p.device())
        }
    };
    let sums = parts.scatter(p.sum_dim(3).swap_dims(3, 4), &parts.keys);
    sums.reshape([batch, tokens]).div_scalar(tokens as f64)
}

/// Everything here is computed in f32: this sibling is the reference and the last resort, not the fast path.
fn wide<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    cast(x, DType::F32)
}

fn lse<B: Backend, const D: usize>(scores: Tensor<B, D>) -> Tensor<B, D> {
    let max = scores.clone().max_dim(D - 1);
    (scores - max.clone()).exp().sum_dim(D - 1).log() + max
}

/// Gradients of one group of rows (the class row, or all patch rows).
struct RowGradients<B: Backend, const D: usize> {
    /// Of the queries of these rows.
    query: Tensor<B, 4>,
    /// Of all keys, `[B, H, S, D]`.
    key: Tensor<B, 4>,
    /// Of all values, `[B, H, S, D]`.
    value: Tensor<B, 4>,
    /// Of the scores, hence of the bias.
    bias: Tensor<B, D>,
}

/// Inputs of forward and backward, cut into blocks.
struct BlockedInputs<'a, B: Backend> {
    plan: &'a AttentionPlan,
    /// `[B, H, S, D]`, queries scaled by D^(-1/2).
    query: Tensor<B, 4>,
    key: Tensor<B, 4>,
    value: Tensor<B, 4>,
    /// `[R, H]`.
    table: Tensor<B, 2>,
    /// The blocks whose keys are scored.
    keys: BlockList<B>,
    /// The blocks whose bias and values count.
    values: BlockList<B>,
    /// Table row of every patch-to-patch score, `[1 | B, 1 | H, M, G, W·G]`; none where it is row 0 for all that count.
    rows: Option<Tensor<B, 5, Int>>,
    /// 0 for a visible key, [`MASKED`] for padding: `[1 | B, 1 | H, M, 1, W·G]`.
    mask: Option<Tensor<B, 5>>,
    scale: f64,
}

impl<'a, B: Backend> BlockedInputs<'a, B> {
    fn new(
        qkv: Tensor<B, 3>,
        table: Tensor<B, 2>,
        coords: Tensor<B, 2, Int>,
        chosen: Option<Tensor<B, 4, Int>>,
        plan: &'a AttentionPlan,
    ) -> Self {
        let [batch, s, width] = qkv.dims();
        let (c, d) = (width / 3, width / 3 / plan.heads);
        let scale = (d as f64).powf(-0.5);
        let part = |i: usize| {
            qkv.clone().slice([0..batch, 0..s, i * c..(i + 1) * c]).reshape([batch, s, plan.heads, d]).swap_dims(1, 2)
        };
        let (query, key, value) = (part(0).mul_scalar(scale), part(1), part(2));
        let (graph, device) = (&plan.graph, qkv.device());
        let list = |listed: &[u32]| BlockList::new(listed, chosen.as_ref(), graph, &device);
        let (keys, values) = (list(graph.key_blocks()), list(graph.value_blocks()));
        let uniform = is_uniform(table.dims()[0]) && (graph.padding() == 0 || !graph.padding_attended());
        let rows = (!uniform).then(|| bias_rows(coords, table.dims()[0], &values, plan));
        let mask = values.mask(graph, &device);
        Self { plan, query, key, value, table, keys, values, rows, mask, scale }
    }

    /// `[M, G, W]`.
    fn sizes(&self) -> [usize; 3] {
        [self.plan.graph.blocks(), self.plan.graph.block(), self.plan.graph.width()]
    }

    fn class_of(x: &Tensor<B, 4>) -> Tensor<B, 4> {
        x.clone().slice_dim(2, 0..1)
    }

    fn patches_of(x: &Tensor<B, 4>) -> Tensor<B, 4> {
        let s = x.dims()[2];
        x.clone().slice_dim(2, 1..s as i64)
    }

    /// Patch tokens `[B, H, N, X]` padded with zeros and cut into blocks `[B, H, M, G, X]`.
    fn block(&self, x: Tensor<B, 4>) -> Tensor<B, 5> {
        let [batch, heads, _, width] = x.dims();
        let padding = self.plan.graph.padding();
        let x = if padding == 0 {
            x
        } else {
            Tensor::cat(vec![x.clone(), Tensor::zeros([batch, heads, padding, width], &x.device())], 2)
        };
        let [blocks, size, _] = self.sizes();
        x.reshape([batch, heads, blocks, size, width])
    }

    /// The inverse of [`Self::block`]; padding is dropped.
    fn unblock(&self, x: Tensor<B, 5>) -> Tensor<B, 4> {
        let [batch, heads, blocks, size, width] = x.dims();
        x.reshape([batch, heads, blocks * size, width]).slice_dim(2, 0..self.plan.graph.tokens() as i64)
    }

    /// The blocks of `list` beside each other: `[B, H, M, W·G, D]`.
    fn gather(&self, x: &Tensor<B, 4>, list: &BlockList<B>) -> Tensor<B, 5> {
        let [batch, heads, _, d] = x.dims();
        let [blocks, size, width] = self.sizes();
        let x = self.block(Self::patches_of(x)).reshape([batch, heads, blocks, size * d]);
        list.gather(x).reshape([batch, heads, blocks, width * size, d])
    }

    /// The adjoint of [`Self::gather`]: sums `[B, H, M, W·G, D]` back onto `[B, H, N, D]`.
    fn scatter(&self, x: Tensor<B, 5>, list: &BlockList<B>) -> Tensor<B, 4> {
        let [batch, heads, _, _, d] = x.dims();
        let [blocks, size, width] = self.sizes();
        let sum = list.scatter(x.reshape([batch, heads, blocks * width, size * d]), blocks);
        self.unblock(sum.reshape([batch, heads, blocks, size, d]))
    }

    /// One of the last three table rows, `[1, H, 1, 1]`: 3 class→patch, 2 patch→class, 1 class→class.
    fn special(&self, from_end: usize) -> Tensor<B, 4> {
        let [rows, heads] = self.table.dims();
        self.table.clone().slice([rows - from_end..rows - from_end + 1, 0..heads]).reshape([1, heads, 1, 1])
    }

    /// Logits of the class query: `[B, H, 1, S]`.
    fn class_row(&self) -> Tensor<B, 4> {
        let s = self.key.dims()[2];
        let bias = Tensor::cat(vec![self.special(1), self.special(3).repeat_dim(3, s - 1)], 3);
        Self::class_of(&self.query).matmul(self.key.clone().swap_dims(2, 3)) + bias
    }

    /// Logits of the patch queries, the class key first: `[B, H, M, G, 1 + W·G]`.
    fn patch_rows(&self) -> Tensor<B, 5> {
        let query = self.block(Self::patches_of(&self.query));
        let keys = self.gather(&self.key, &self.keys);
        let class = query.clone().matmul(Self::class_of(&self.key).unsqueeze_dim::<5>(2).swap_dims(3, 4));
        let class = class + self.special(2).unsqueeze_dim::<5>(4);
        let patch = query.matmul(keys.swap_dims(3, 4)) + self.patch_bias();
        let patch = match &self.mask {
            Some(mask) => patch + mask.clone(),
            None => patch,
        };
        Tensor::cat(vec![class, patch], 4)
    }

    /// `[1 | B, H, M, G, W·G]`, or `[1, H, 1, 1, 1]`.
    fn patch_bias(&self) -> Tensor<B, 5> {
        let heads = self.plan.heads;
        let Some(rows) = &self.rows else {
            return self.table.clone().slice([0..1, 0..heads]).reshape([1, heads, 1, 1, 1]);
        };
        let [batch, own, blocks, size, keys] = rows.dims();
        if own == 1 {
            let bias = self.table.clone().select(0, rows.clone().reshape([batch * blocks * size * keys]));
            let bias = bias.reshape([batch, blocks * size * keys, heads]).swap_dims(1, 2);
            return bias.reshape([batch, heads, blocks, size, keys]);
        }
        let table = self.table.clone().reshape([self.table.dims()[0] * heads]);
        table.select(0, self.entries(rows)).reshape([batch, heads, blocks, size, keys])
    }

    /// Where the table, row after row, has the bias of every score: `rows` `[B, H, M, G, W·G]` to `[B·H·M·G·W·G]`.
    fn entries(&self, rows: &Tensor<B, 5, Int>) -> Tensor<B, 1, Int> {
        let ([batch, heads, blocks, size, keys], device) = (rows.dims(), rows.device());
        let head = Tensor::<B, 1, Int>::arange(0..heads as i64, &device).reshape([1, heads, 1, 1, 1]);
        (rows.clone() * heads as i64 + head).reshape([batch * heads * blocks * size * keys])
    }

    fn class_out(&self, logits: &Tensor<B, 4>) -> Tensor<B, 4> {
        burn::tensor::activation::softmax(logits.clone(), 3).matmul(self.value.clone())
    }

    /// `[B, H, M, G, D]`.
    fn patch_out(&self, logits: &Tensor<B, 5>) -> Tensor<B, 5> {
        let probabilities = burn::tensor::activation::softmax(logits.clone(), 4);
        let keys = logits.dims()[4];
        let values = self.gather(&self.value, &self.values);
        let class = probabilities.clone().slice_dim(4, 0..1) * Self::class_of(&self.value).unsqueeze_dim::<5>(2);
        class + probabilities.slice_dim(4, 1..keys as i64).matmul(values)
    }

    fn class_gradients(&self, grad: &Tensor<B, 4>, lse: &Tensor<B, 4>, delta: &Tensor<B, 4>) -> RowGradients<B, 4> {
        let grad = Self::class_of(grad);
        let p = (self.class_row() - Self::class_of(lse)).exp();
        let ds = p.clone() * (grad.clone().matmul(self.value.clone().swap_dims(2, 3)) - Self::class_of(delta));
        RowGradients {
            query: ds.clone().matmul(self.key.clone()),
            key: ds.clone().swap_dims(2, 3).matmul(Self::class_of(&self.query)),
            value: p.swap_dims(2, 3).matmul(grad),
            bias: ds,
        }
    }

    fn patch_gradients(&self, grad: &Tensor<B, 4>, lse: &Tensor<B, 4>, delta: &Tensor<B, 4>) -> RowGradients<B, 5> {
        let grad = self.block(Self::patches_of(grad));
        let (lse, delta) = (self.block(Self::patches_of(lse)), self.block(Self::patches_of(delta)));
        let keys = 1 + self.sizes()[1] * self.sizes()[2];
        let query = self.block(Self::patches_of(&self.query));
        let p = (self.patch_rows() - lse).exp();
        let values = self.gather(&self.value, &self.values);
        let class_value = Self::class_of(&self.value).unsqueeze_dim::<5>(2);
        let dp = Tensor::cat(
            vec![grad.clone().matmul(class_value.swap_dims(3, 4)), grad.clone().matmul(values.swap_dims(3, 4))],
            4,
        );
        let ds = p.clone() * (dp - delta);
        let (ds_class, ds_patch) = (ds.clone().slice_dim(4, 0..1), ds.clone().slice_dim(4, 1..keys as i64));
        let (p_class, p_patch) = (p.clone().slice_dim(4, 0..1), p.slice_dim(4, 1..keys as i64));
        let class_key = Self::class_of(&self.key).unsqueeze_dim::<5>(2);
        let dq = ds_class.clone() * class_key + ds_patch.clone().matmul(self.gather(&self.key, &self.keys));
        let dk = self.scatter(ds_patch.swap_dims(3, 4).matmul(query.clone()), &self.keys);
        let dv = self.scatter(p_patch.swap_dims(3, 4).matmul(grad.clone()), &self.values);
        let dk_class = (ds_class * query).sum_dim(3).sum_dim(2).squeeze_dim::<4>(2);
        let dv_class = (p_class * grad).sum_dim(3).sum_dim(2).squeeze_dim::<4>(2);
        RowGradients {
            query: self.unblock(dq),
            key: Tensor::cat(vec![dk_class, dk], 2),
            value: Tensor::cat(vec![dv_class, dv], 2),
            bias: ds,
        }
    }

    /// `[B, S, 3C]`.
    fn join_gradients(&self, class: &RowGradients<B, 4>, patch: &RowGradients<B, 5>) -> Tensor<B, 3> {
        let query = Tensor::cat(vec![class.query.clone(), patch.query.clone()], 2).mul_scalar(self.scale);
        let key = class.key.clone() + patch.key.clone();
        let value = class.value.clone() + patch.value.clone();
        Tensor::cat([query, key, value].map(|x| self.merge_heads(x)).to_vec(), 2)
    }

    /// Sums the score gradients over the rows of the table they used: `[R, H]`. Padded queries add zeros, their
    /// output was discarded.
    fn table_gradient(&self, class: Tensor<B, 4>, patch: Tensor<B, 5>) -> Tensor<B, 2> {
        let [rows, heads] = self.table.dims();
        let s = class.dims()[3];
        let by_head = |x: Tensor<B, 4>| x.sum_dim(0).sum_dim(2).sum_dim(3).reshape([1, heads]);
        let to_class = by_head(patch.clone().slice_dim(4, 0..1).squeeze_dim(4));
        let to_patch = by_head(class.clone().slice_dim(3, 1..s as i64));
        let to_self = by_head(class.slice_dim(3, 0..1));
        let special = Tensor::cat(vec![to_patch, to_class, to_self], 0);
        let columns = patch.dims()[4];
        let patch = patch.slice_dim(4, 1..columns as i64);
        let Some(index) = &self.rows else {
            let all = patch.sum_dim(0).sum_dim(2).sum_dim(3).sum_dim(4).reshape([1, heads]);
            return Tensor::cat(vec![all, special], 0);
        };
        let [samples, own, blocks, size, keys] = index.dims();
        let mut table = Tensor::zeros([rows, heads], &patch.device());
        table = table.slice_assign([rows - 3..rows, 0..heads], special);
        if own > 1 {
            let (flat, length) = (table.reshape([rows * heads]), samples * own * blocks * size * keys);
            let sum = flat.select_assign(0, self.entries(index), patch.reshape([length]), IndexingUpdateOp::Add);
            return sum.reshape([rows, heads]);
        }
        let patch = if samples == 1 { patch.sum_dim(0) } else { patch };
        let flat = patch
            .reshape([samples, heads, blocks * size * keys])
            .swap_dims(1, 2)
            .reshape([samples * blocks * size * keys, heads]);
        let index = index.clone().reshape([samples * blocks * size * keys]);
        table.select_assign(0, index, flat, IndexingUpdateOp::Add)
    }

    fn split_heads(&self, x: Tensor<B, 3>) -> Tensor<B, 4> {
        let [batch, s, c] = x.dims();
        x.reshape([batch, s, self.plan.heads, c / self.plan.heads]).swap_dims(1, 2)
    }

    fn merge_heads(&self, x: Tensor<B, 4>) -> Tensor<B, 3> {
        let [batch, heads, s, d] = x.dims();
        x.swap_dims(1, 2).reshape([batch, s, heads * d])
    }
}

/// The table row of every patch-to-patch score, `[1 | B, 1 | H, M, G, W·G]`; padded keys use patch→class (their position
/// id is 0, the class token's; docs/model.md, "Edge sparsity"), padded queries whatever is in range.
fn bias_rows<B: Backend>(
    coords: Tensor<B, 2, Int>,
    rows: usize,
    values: &BlockList<B>,
    plan: &AttentionPlan,
) -> Tensor<B, 5, Int> {
    let ([samples, _], graph, device) = (coords.dims(), &plan.graph, coords.device());
    let (blocks, size, padding) = (graph.blocks(), graph.block(), graph.padding());
    let padded = Tensor::zeros([samples, padding], &device);
    let coords = if padding == 0 { coords } else { Tensor::cat(vec![coords, padded], 1) };
    let coords = coords.reshape([samples, blocks, size]);
    let keys = values.coords(coords.clone());
    let rows_of = coords.reshape([samples, 1, blocks, size, 1]) - keys + plan.centre as i64;
    if padding == 0 {
        return rows_of;
    }
    let shape = rows_of.dims();
    rows_of.mask_fill(values.padded(graph, &device).expand(shape), rows as i64 - 2)
}
