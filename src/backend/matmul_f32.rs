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
use cubek::matmul::routines::double_unit::DoubleUnitSelectionArgs;
use cubek::matmul::routines::simple_unit::SimpleUnitSelectionArgs;
use cubek::matmul::routines::{BlueprintStrategy, TileSizeSelection};
use cubek::std::InputBinding;

/// a, b and where their product goes.
type Operands<R> = (CubeTensor<R>, CubeTensor<R>, CubeTensor<R>);

/// Whether Burn's own product might take `a` for TF32.
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

/// The first takes every shape: tuning falls back on it.
fn strategies() -> Vec<Strategy> {
    let mut strategies = vec![Strategy::Naive];
    for tile_size in [TileSizeSelection::MaxTileSize, TileSizeSelection::MinTileSize] {
        strategies.push(Strategy::SimpleUnit(BlueprintStrategy::Inferred(SimpleUnitSelectionArgs { tile_size })));
        strategies.push(Strategy::DoubleUnit(BlueprintStrategy::Inferred(DoubleUnitSelectionArgs { tile_size })));
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
