//! What a device can compute in.

use super::BackendKind;
use crate::config::Precision;
use crate::{Error, Result};
use burn::tensor::backend::Backend;
use svitt_ops::device::cpu_computes_bf16;

/// The precision of a run on `device`: `asked` if given; else the preset's on CUDA, f32 on other backends (with a
/// warning if the preset asks for more). On a CPU without products of bf16, bf16 means f32 (with a warning): rounding
/// f32 products to bf16 takes 1.7 times as long as f32 and is less exact.
///
/// # Errors
/// bf16 was asked for and the device cannot compute in it.
pub fn precision<B: Backend>(
    kind: BackendKind,
    device: &B::Device,
    asked: Option<Precision>,
    preset: Precision,
) -> Result<Precision> {
    let possible = |precision: Precision| precision.is_f32() || B::supports_dtype(device, precision.dtype());
    match asked {
        Some(Precision::Bf16) if kind == BackendKind::Flex && !cpu_computes_bf16() => {
            log::warn!("this CPU has no bf16 products (AVX512-BF16), or SVITT_CPU masks them: computing in f32");
            Ok(Precision::F32)
        }
        Some(asked) if possible(asked) => Ok(asked),
        Some(asked) => {
            let problem = format!("this device does not compute in {}", asked.name());
            Err(Error::backend(kind.name(), problem, "use option `precision` f32, or option `backend` cuda or flex"))
        }
        None if preset.is_f32() || (kind == BackendKind::Cuda && possible(preset)) => Ok(preset),
        None => {
            log::info!("the preset's {} is for CUDA: training in f32 (or ask with --precision)", preset.name());
            Ok(Precision::F32)
        }
    }
}

/// What products of activations are computed in, for reports: f32, or bf16 and what computes it. `precision` is what
/// [`precision()`] returned.
pub fn arithmetic(kind: BackendKind, precision: Precision) -> &'static str {
    match (precision, kind) {
        (Precision::F32, _) => "f32",
        (Precision::Bf16, BackendKind::Cuda) => "bf16 (tensor cores)",
        (Precision::Bf16, BackendKind::Flex) if cpu_computes_bf16() => "bf16 (AVX512-BF16)",
        (Precision::Bf16, _) => "bf16",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!("fp16".parse::<Precision>().unwrap_err().to_string().contains("f32 or bf16"));
    }
}
