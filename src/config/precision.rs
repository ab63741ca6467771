//! What numbers a model is computed with.

use crate::{Error, Result};
use burn::tensor::DType;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use svitt_ops::device::Arithmetic;

/// The element type of activations and matrix products. Weights, their gradients' means and the optimizer are f32 in
/// either case, and so are statistics of norms, softmax, log-sum-exp and losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits with the exponent of f32, so that losses need no scaling.
    Bf16,
    /// 8 bits in the linear maps of the video encoder, with a scale per row and per output; everything else as bf16. On
    /// CPUs, and not for training.
    Int8,
}

impl Precision {
    /// The element type of activations.
    pub fn dtype(self) -> DType {
        self.arithmetic().dtype()
    }

    /// What the linear maps of the video encoder compute in.
    pub fn arithmetic(self) -> Arithmetic {
        match self {
            Self::F32 => Arithmetic::F32,
            Self::Bf16 => Arithmetic::Bf16,
            Self::Int8 => Arithmetic::Int8,
        }
    }

    /// The name on command lines and in presets.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// Whether this is the default, which presets leave out.
    pub fn is_f32(&self) -> bool {
        *self == Self::F32
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::F32, Self::Bf16, Self::Int8]
            .into_iter()
            .find(|precision| precision.name() == name)
            .ok_or_else(|| Error::setting("precision", format!("`{name}` is no precision"), "use f32, bf16 or int8"))
    }
}
