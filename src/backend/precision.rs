//! What a device can compute in.

use super::BackendKind;
use crate::config::Precision;
use crate::{Error, Result};
use burn::tensor::backend::Backend;
use svitt_ops::device::{Arithmetic, cpu_computes_bf16};

/// The precision of a run on `device`: `asked` if given; else the preset's on CUDA, f32 on other backends (with a
/// warning if the preset asks for more). On a CPU without products of bf16, bf16 means f32 (with a warning): rounding
/// f32 products to bf16 takes 1.7 times as long as f32 and is less exact. int8 means bf16, or f32, in the same way.
///
/// # Errors
/// What was asked for the device cannot compute in.
pub fn precision<B: Backend>(
    kind: BackendKind,
    device: &B::Device,
    asked: Option<Precision>,
    preset: Precision,
) -> Result<Precision> {
    let possible = |precision: Precision| precision.is_f32() || B::supports_dtype(device, precision.dtype());
    match asked {
        Some(asked) if kind == BackendKind::Flex => Ok(on_this_cpu(asked)),
        Some(asked) if possible(asked) && asked != Precision::Int8 => Ok(asked),
        Some(asked) => {
            let problem = format!("this device does not compute in {}", asked.name());
            let others = if asked == Precision::Int8 { "flex" } else { "cuda or flex" };
            let remedy = format!("use option `precision` f32, or option `backend` {others}");
            Err(Error::backend(kind.name(), problem, remedy))
        }
        None if preset.is_f32() || (kind == BackendKind::Cuda && possible(preset)) => Ok(preset),
        None => {
            log::info!("the preset's {} is for CUDA: training in f32 (or ask with --precision)", preset.name());
            Ok(Precision::F32)
        }
    }
}

/// [`precision()`] of a run that trains.
///
/// # Errors
/// Those, or int8 was asked for, which has no gradients of its own.
pub fn training_precision<B: Backend>(
    kind: BackendKind,
    device: &B::Device,
    asked: Option<Precision>,
    preset: Precision,
) -> Result<Precision> {
    if asked == Some(Precision::Int8) || preset == Precision::Int8 {
        return Err(Error::setting("precision", "int8 is for models that are trained already", "train in bf16 or f32"));
    }
    precision::<B>(kind, device, asked, preset)
}

/// `asked`, or what is nearest to it among what this CPU has instructions for, with a warning.
fn on_this_cpu(asked: Precision) -> Precision {
    let found = match asked.arithmetic().on_this_cpu() {
        Arithmetic::F32 => Precision::F32,
        Arithmetic::Bf16 => Precision::Bf16,
        Arithmetic::Int8 => Precision::Int8,
    };
    if found != asked {
        let instruction = if asked == Precision::Int8 { "AVX512-VNNI" } else { "AVX512-BF16" };
        let (wanted, used) = (asked.name(), found.name());
        log::warn!("this CPU has no {wanted} products ({instruction}), or SVITT_CPU masks them: computing in {used}");
    }
    found
}

/// What products of activations are computed in, for reports: f32, or bf16 or int8 and what computes it. `precision` is
/// what [`precision()`] returned.
pub fn arithmetic(kind: BackendKind, precision: Precision) -> &'static str {
    match (precision, kind) {
        (Precision::F32, _) => "f32",
        (Precision::Bf16, BackendKind::Cuda) => "bf16 (tensor cores)",
        (Precision::Bf16, BackendKind::Flex) if cpu_computes_bf16() => "bf16 (AVX512-BF16)",
        (Precision::Bf16, _) => "bf16",
        (Precision::Int8, _) if cpu_computes_bf16() => "int8 (AVX512-VNNI), attention and texts in bf16",
        (Precision::Int8, _) => "int8 (AVX512-VNNI), attention and texts in f32",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use svitt_ops::device::cpu_computes_int8;

    #[test]
    #[cfg(all(feature = "ndarray", feature = "flex"))]
    fn bf16_is_refused_on_devices_without_it() {
        let asked = Some(Precision::Bf16);
        let device = Default::default();
        let refused = precision::<burn_ndarray::NdArray>(BackendKind::NdArray, &device, asked, Precision::F32);
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("ndarray") && message.contains("bf16"), "{message}");
        let on_flex = |asked, preset| {
            precision::<burn_flex::Flex>(BackendKind::Flex, &burn_flex::FlexDevice, asked, preset).unwrap()
        };
        let (wide, narrow) = ((Precision::F32, "f32"), (Precision::Bf16, "bf16 (AVX512-BF16)"));
        let expected = if cpu_computes_bf16() { narrow } else { wide };
        let found = on_flex(asked, Precision::F32);
        assert_eq!((found, arithmetic(BackendKind::Flex, found)), expected, "named as what it computes");
        assert_eq!(on_flex(None, Precision::Bf16), Precision::F32, "a preset's bf16 is for CUDA");
        assert!("fp16".parse::<Precision>().unwrap_err().to_string().contains("f32, bf16 or int8"));
        let int8 = Some(Precision::Int8);
        let refused =
            precision::<burn_ndarray::NdArray>(BackendKind::NdArray, &Default::default(), int8, Precision::F32);
        assert!(refused.unwrap_err().to_string().contains("backend` flex"));
        let training =
            training_precision::<burn_flex::Flex>(BackendKind::Flex, &burn_flex::FlexDevice, int8, Precision::F32);
        assert!(training.unwrap_err().to_string().contains("train in bf16 or f32"));
        let found = on_flex(int8, Precision::F32);
        let named = arithmetic(BackendKind::Flex, found);
        assert_eq!((found == Precision::Int8, named.starts_with("int8")), (cpu_computes_int8(), cpu_computes_int8()));
    }
}
