//! What a device can compute in.

use super::BackendKind;
use crate::config::Precision;
use crate::{Error, Result};
use burn::tensor::backend::Backend;

/// The precision of a run on `device`: `asked` if given; else the preset's on CUDA, f32 on other backends (with a
/// warning if the preset asks for more).
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
        assert_eq!(on_flex(asked, Precision::F32), Precision::Bf16);
        assert_eq!(on_flex(None, Precision::Bf16), Precision::F32, "a preset's bf16 is for CUDA");
        assert!("fp16".parse::<Precision>().unwrap_err().to_string().contains("f32 or bf16"));
    }
}
