//! The official numbers on GPU backends.

use super::check;
use std::path::Path;
use svitt::backend::BackendKind;

fn official(backend: BackendKind) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/parity");
    let report = check(&fixtures, backend, |_| {}).unwrap();
    assert!(report.passed && report.files.len() == 19, "{report}");
}

/// Through both shader languages; the other families, whose kernels are the same, through one.
#[cfg(feature = "wgpu")]
mod wgpu {
    use super::{check, official};
    use std::path::Path;
    use svitt::backend::BackendKind;
    use svitt_ops::testing::run_alone;

    #[test]
    fn the_official_numbers_through_spirv() {
        official(BackendKind::Wgpu);
    }

    fn family(set: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(set);
        if !folder.is_dir() {
            return crate::skipped::skipped(&format!("../shared/{set}"));
        }
        let report = check(&folder, BackendKind::Wgpu, |_| {}).unwrap();
        assert!(report.passed && report.files.len() == 7, "{report}");
    }

    #[test]
    fn singularity_through_spirv() {
        family("parity-singularity");
    }

    #[test]
    fn umt_through_spirv() {
        family("parity-umt");
    }

    /// A device has one shader language per process.
    #[test]
    fn the_official_numbers_through_wgsl() {
        if run_alone("parity::gpu_tests::wgpu::the_official_numbers_through_wgsl") {
            official(BackendKind::WgpuWgsl);
        }
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    #[test]
    fn the_official_numbers() {
        super::official(svitt::backend::BackendKind::Cuda);
    }
}
