//! What the CPU's instructions compute, found out at run time.

use std::sync::OnceLock;

/// Vector instructions of the CPU that this crate distinguishes, each including those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CpuInstructions {
    /// AVX2, or whatever the CPU has below it.
    Avx2,
    /// AVX-512.
    Avx512,
    /// AVX-512 with products of bytes (`avx512_vnni`: Cascade Lake and later, Zen 4 and 5).
    Avx512Vnni,
    /// That with products of bf16 pairs (`avx512_bf16`: Zen 4 and 5, Cooper Lake, Sapphire Rapids).
    Avx512Bf16,
}

/// The instructions in use: those the CPU has, or fewer if the environment variable `SVITT_CPU` is `avx512vnni`, `avx512`
/// or `avx2`. Read once per process. It decides between int8, bf16 and f32 kernels; vectorised loops (crate `pulp`) and f32 products
/// (crate `gemm`) detect by themselves.
pub fn cpu_instructions() -> CpuInstructions {
    static FOUND: OnceLock<CpuInstructions> = OnceLock::new();
    *FOUND.get_or_init(|| lowered(detected(), std::env::var("SVITT_CPU").ok().as_deref()))
}

/// Whether bf16 products are computed by an instruction. Elsewhere tensors of bf16 are computed in f32 and rounded,
/// which is slower than f32 itself.
pub fn cpu_computes_bf16() -> bool {
    cpu_instructions() >= CpuInstructions::Avx512Bf16
}

/// Whether products of bytes are computed by an instruction. Elsewhere int8 means bf16, or f32.
pub fn cpu_computes_int8() -> bool {
    cpu_instructions() >= CpuInstructions::Avx512Vnni
}

fn detected() -> CpuInstructions {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
    {
        let (bytes, pairs) = (is_x86_feature_detected!("avx512vnni"), is_x86_feature_detected!("avx512bf16"));
        return match (bytes, pairs) {
            (true, true) => CpuInstructions::Avx512Bf16,
            (true, false) => CpuInstructions::Avx512Vnni,
            (false, _) => CpuInstructions::Avx512,
        };
    }
    CpuInstructions::Avx2
}

fn lowered(found: CpuInstructions, asked: Option<&str>) -> CpuInstructions {
    match asked {
        Some("avx2") => CpuInstructions::Avx2,
        Some("avx512") => found.min(CpuInstructions::Avx512),
        Some("avx512vnni") => found.min(CpuInstructions::Avx512Vnni),
        _ => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_lowers_and_never_raises() {
        let (avx2, avx512) = (CpuInstructions::Avx2, CpuInstructions::Avx512);
        let (bytes, pairs) = (CpuInstructions::Avx512Vnni, CpuInstructions::Avx512Bf16);
        for found in [avx2, avx512, bytes, pairs] {
            assert_eq!(lowered(found, None), found);
            assert_eq!(lowered(found, Some("avx2")), avx2);
            assert_eq!(lowered(found, Some("avx512")), found.min(avx512));
            assert_eq!(lowered(found, Some("avx512vnni")), found.min(bytes));
            assert_eq!(lowered(found, Some("amx")), found, "an unknown name changes nothing");
        }
    }
}
