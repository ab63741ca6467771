//! The official numbers on a wgpu device, through both shader languages.

use super::check;
use crate::backend::BackendKind;
use crate::testing::alone;
use std::path::Path;

fn official(backend: BackendKind) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity");
    let report = check(&fixtures, backend, |_| {}).unwrap();
    assert!(report.passed && report.files.len() == 19, "{report}");
}

#[test]
fn the_official_numbers_through_spirv() {
    official(BackendKind::Wgpu);
}

/// A device has one shader language per process.
#[test]
fn the_official_numbers_through_wgsl() {
    if alone("parity::wgpu_tests::the_official_numbers_through_wgsl") {
        official(BackendKind::WgpuWgsl);
    }
}
