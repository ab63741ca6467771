//! The official numbers on GPU backends.

use super::check;
use std::path::Path;
use svitt::backend::BackendKind;

fn official(backend: BackendKind) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/parity");
    let report = check(&fixtures, backend, |_| {}).unwrap();
    assert!(report.passed && report.files.len() == 19, "{report}");
}

/// Through both shader languages.
#[cfg(feature = "wgpu")]
mod wgpu {
    use super::official;
    use svitt::backend::BackendKind;
    use svitt_ops::testing::run_alone;

    #[test]
    fn the_official_numbers_through_spirv() {
        official(BackendKind::Wgpu);
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
