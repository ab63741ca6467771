//! f32 products without tensor cores: cubek's variants that add and multiply in registers, timed at the first use of a
//! shape like Burn's own products.

use burn::tensor::{DType, Shape};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeRuntime, CubeTuneId};
use cubecl::ir::{ElemType, FloatKind, StorageType};
use cubecl::tune::{LocalTuner, Tunable, TunableSet, local_tuner};
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems};
use cubek::matmul::launch::{MatmulAutotuneKey, Strategy, launch_ref};
use cubek::matmul::routines::simple_unit::SimpleUnitSelectionArgs;
use cubek::matmul::routines::{BlueprintStrategy, TileSizeSelection};
use cubek::std::InputBinding;

/// a, b and where their product goes.
type Operands<R> = (CubeTensor<R>, CubeTensor<R>, CubeTensor<R>);

/// Whether Burn's own product might compute `a` in TF32.
pub(super) fn would_round<R: CubeRuntime>(a: &CubeTensor<R>) -> bool {
    let tf32 = StorageType::Scalar(ElemType::Float(FloatKind::TF32));
    a.dtype == DType::F32 && a.client.properties().supports_type(tf32)
}

/// `a` `[.., m, k]` times `b` `[.., k, n]`, both of f32: `[.., m, n]`.
pub(super) fn product<R: CubeRuntime>(a: CubeTensor<R>, b: CubeTensor<R>) -> CubeTensor<R> {
    static TUNER: LocalTuner<MatmulAutotuneKey, CubeTuneId> = local_tuner!();
    let mut shape = a.meta.shape().to_vec();
    let columns = b.meta.shape().to_vec().pop();
    shape.pop();
    shape.extend(columns);
    let (client, device) = (a.client.clone(), a.device.clone());
    let out = empty_device_contiguous_dtype(client.clone(), device.clone(), Shape::from(shape), DType::F32);
    let variants = TUNER.init(|| {
        let set = TunableSet::new(key::<R>, |_: &_, operands: &Operands<R>| operands.clone());
        strategies().into_iter().fold(set, |set, strategy| {
            set.with(Tunable::new(&strategy.to_string(), move |operands| launch::<R>(&strategy, operands)))
        })
    });
    TUNER.execute(&CubeTuneId::new(&client, &device), &client, variants, (a, b, out.clone()));
    out
}

/// The first strategy accepts every shape and is the fallback of tuning. Double-buffered variants are excluded: cubek
/// 0.2 computes them wrongly for a single row of 12 values with stride 16 (errors of half a value; that is the
/// attention of one token).
fn strategies() -> Vec<Strategy> {
    let mut strategies = vec![Strategy::Naive];
    for tile_size in [TileSizeSelection::MaxTileSize, TileSizeSelection::MinTileSize] {
        strategies.push(Strategy::SimpleUnit(BlueprintStrategy::Inferred(SimpleUnitSelectionArgs { tile_size })));
    }
    strategies
}

fn launch<R: CubeRuntime>(strategy: &Strategy, (a, b, out): Operands<R>) -> Result<(), String> {
    let element = DType::F32.into();
    let mut elements = MatmulElems::from_globals(&MatmulGlobalElems { lhs: element, rhs: element, out: element });
    let client = out.client.clone();
    let [a, b] = [a, b].map(|x| InputBinding::new(x.binding(), element));
    launch_ref(strategy, &client, a, b, out.binding(), &mut elements).map_err(|problem| format!("{problem:?}"))
}

fn key<R: CubeRuntime>((a, b, out): &Operands<R>) -> MatmulAutotuneKey {
    MatmulAutotuneKey::generate(
        &a.client,
        a.meta.shape(),
        b.meta.shape(),
        a.meta.strides(),
        b.meta.strides(),
        a.dtype.into(),
        b.dtype.into(),
        out.dtype.into(),
        None,
        None,
    )
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use super::*;
    use crate::testing::{Reference, host, noise};
    use burn::tensor::{Tensor, TensorPrimitive};
    use burn_cuda::Cuda;

    /// Rows that lie further apart than they are long, as CUDA allocates them.
    #[test]
    fn padded_rows_agree_on_cuda() {
        for m in [1usize, 2, 5] {
            let a = noise::<Cuda, 4>(1, [3, 4, m, 12]) * 1.0;
            let b = noise::<Cuda, 3>(2, [3, 12, 64]).reshape([3, 12, 4, 16]).swap_dims(1, 2);
            let on_host = |x: &Tensor<Cuda, 4>| Tensor::<Reference, 4>::from_data(x.to_data(), &Default::default());
            let expected = host(on_host(&a).matmul(on_host(&b)));
            let [a, b] = [a, b].map(|x| x.into_primitive().tensor());
            for strategy in strategies() {
                let (client, device) = (a.client.clone(), a.device.clone());
                let out = empty_device_contiguous_dtype(client, device, Shape::from([3, 4, m, 16]), DType::F32);
                launch(&strategy, (a.clone(), b.clone(), out.clone())).unwrap();
                let found = host(Tensor::<Cuda, 4>::from_primitive(TensorPrimitive::Float(out)));
                let worst = found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max);
                assert!(worst < 1e-5, "{strategy}, {m} rows: off by {worst}");
            }
        }
    }

    /// Whichever of them tuning picks. [m, n, k], and whether b is the transpose of what is stored.
    #[test]
    fn every_variant_agrees_on_cuda() {
        let shapes = [
            [3, 64, 64],
            [3, 128, 64],
            [3, 64, 128],
            [3, 1200, 64],
            [36, 64, 64],
            [12, 31, 20],
            [130, 70, 96],
            [1, 9, 7],
        ];
        let mut wrong = Vec::new();
        for (strategy, [m, n, k], turned) in strategies()
            .iter()
            .flat_map(|strategy| shapes.iter().flat_map(move |shape| [false, true].map(|t| (strategy, *shape, t))))
        {
            let a = noise::<Cuda, 2>(1, [m, k]);
            let b = if turned { noise::<Cuda, 2>(2, [n, k]).transpose() } else { noise(2, [k, n]) };
            let on_host = |x: &Tensor<Cuda, 2>| Tensor::<Reference, 2>::from_data(x.to_data(), &Default::default());
            let expected = host(on_host(&a).matmul(on_host(&b)));
            let [a, b] = [a, b].map(|x| x.into_primitive().tensor());
            let (client, device) = (a.client.clone(), a.device.clone());
            let out = empty_device_contiguous_dtype(client, device, Shape::from([m, n]), DType::F32);
            if launch(strategy, (a, b, out.clone())).is_err() {
                continue;
            }
            let found = host(Tensor::<Cuda, 2>::from_primitive(TensorPrimitive::Float(out)));
            let worst = found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max);
            if worst > 1e-5 {
                wrong.push(format!("{strategy} {m}x{n}x{k} turned {turned}: off by {worst}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
