//! A small part of the official outputs, compared with ours.
//!
//! `fixtures/parity` has the layout of a parity directory, with some files left out and others thinned out. The whole
//! of such a directory is compared by `cargo xtask parity`.

use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use svitt::backend::BackendKind;
use svitt_workshop::parity::{FileReport, ParityReport, TensorReport, check};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/parity")
}

fn report(folder: &Path, backend: BackendKind) -> ParityReport {
    check(folder, backend, |_| {}).unwrap()
}

fn backends() -> impl Iterator<Item = BackendKind> {
    [BackendKind::NdArray, BackendKind::Flex].into_iter().filter(|backend| backend.compiled())
}

/// A copy of the fixtures that may be changed.
fn copied() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

/// Adds `by` to the value of tensor `name` of `file` that is largest, so that a tolerance relative to it is met too.
fn perturb(file: &Path, name: &str, by: f64) {
    let mut bytes = std::fs::read(file).unwrap();
    let (header, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let info = metadata.info(name).unwrap();
    let (begin, end) = (8 + header + info.data_offsets.0, 8 + header + info.data_offsets.1);
    let data = &mut bytes[begin..end];
    match info.dtype {
        Dtype::F32 => {
            let value = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
            let largest = data.chunks(4).max_by(|a, b| value(a).abs().total_cmp(&value(b).abs())).map(value).unwrap();
            let place = data.chunks(4).position(|bytes| value(bytes) == largest).unwrap();
            let changed = (f64::from(largest) + by) as f32;
            data[4 * place..4 * place + 4].copy_from_slice(&changed.to_le_bytes());
        }
        Dtype::I64 => {
            let changed = i64::from_le_bytes(data[..8].try_into().unwrap()) + by as i64;
            data[..8].copy_from_slice(&changed.to_le_bytes());
        }
        Dtype::U8 => data[0] = if data[0] > 128 { data[0] - by as u8 } else { data[0] + by as u8 },
        other => panic!("no fixture has {other:?}"),
    }
    std::fs::write(file, bytes).unwrap();
}

/// Tensors that are compared and also put into the model: changing them all at once would change what is compared.
fn is_drawn(name: &str) -> bool {
    ["attn_idx", "mlm_", "img_neg", "txt_neg"].iter().any(|prefix| name.starts_with(prefix))
}

fn is_input(file: &FileReport) -> bool {
    ["checkpoint_", "fusion_inputs", "inputs"].iter().any(|prefix| file.file.starts_with(prefix))
}

fn by_name(report: &ParityReport) -> BTreeMap<(&str, &str), &TensorReport> {
    report
        .files
        .iter()
        .flat_map(|file| file.tensors.iter().map(move |tensor| ((file.file.as_str(), tensor.name.as_str()), tensor)))
        .collect()
}

#[test]
fn every_backend_gives_the_official_numbers() {
    for backend in backends() {
        let report = report(&fixtures(), backend);
        assert!(report.passed, "{report}");
        assert_eq!(report.files.len(), 19, "{report}");
    }
}

#[test]
fn ten_tolerances_off_is_a_failure_tensor_by_tensor() {
    let backend = BackendKind::choose(None).unwrap();
    let (clean, copy) = (report(&fixtures(), backend), copied());
    let mut perturbed = Vec::new();
    for file in clean.files.iter().filter(|file| file.file.ends_with(".safetensors") && !is_input(file)) {
        for tensor in file.tensors.iter().filter(|tensor| !is_drawn(&tensor.name)) {
            // Of what must be exact, the least change there is.
            let by = if tensor.tolerance == 0.0 { 1.0 } else { 10.0 * tensor.tolerance };
            perturb(&copy.path().join(&file.file), &tensor.name, by);
            perturbed.push((file.file.as_str(), tensor.name.as_str()));
        }
    }
    let report = report(copy.path(), backend);
    let found = by_name(&report);
    assert!(perturbed.len() > 60 && !report.passed, "{}", perturbed.len());
    for key in perturbed {
        assert!(!found[&key].pass, "{key:?} passes although it was changed: {:?}", found[&key]);
    }
}

#[test]
fn changed_draws_and_inputs_are_detected() {
    let backend = BackendKind::choose(None).unwrap();
    let copy = copied();
    perturb(&copy.path().join("video_hybrid_dup_4f.safetensors"), "attn_idx_04", 1.0);
    perturb(&copy.path().join("losses_hybrid.safetensors"), "mlm_input_ids", 1.0);
    perturb(&copy.path().join("fusion_inputs.safetensors"), "text_embeds", 2e-3);
    perturb(&copy.path().join("checkpoint_micro_model.safetensors"), "itm_head.weight", 1e-6);
    let report = report(copy.path(), backend);
    let found = by_name(&report);
    for key in [
        ("video_hybrid_dup_4f.safetensors", "attn_idx_04"),
        ("losses_hybrid.safetensors", "mlm_input_ids"),
        ("fusion_inputs.safetensors", "text_embeds"),
        ("checkpoint_micro_model.safetensors", "itm_head.weight"),
    ] {
        assert!(!found[&key].pass, "{key:?}");
    }
}

#[test]
fn uncovered_files_fail_and_damaged_ones_are_errors() {
    let backend = BackendKind::choose(None).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let place = |name: &str| copy.path().join(name);
    assert!(check(copy.path(), backend, |_| {}).unwrap_err().to_string().contains("cases.json"));
    std::fs::copy(fixtures().join("cases.json"), place("cases.json")).unwrap();
    std::fs::copy(fixtures().join("adamw.safetensors"), place("adamw.safetensors")).unwrap();
    assert!(report(copy.path(), backend).passed);
    for name in ["stranger.safetensors", "video_stranger.safetensors", "stranger.json"] {
        std::fs::copy(fixtures().join("adamw.safetensors"), place(name)).unwrap();
        let report = report(copy.path(), backend);
        let file = report.files.iter().find(|file| file.file == name).unwrap();
        assert!(!report.passed && !file.covered && !file.pass, "{report}");
        std::fs::remove_file(place(name)).unwrap();
    }
    std::fs::write(place("text.safetensors"), [7; 40]).unwrap();
    let message = check(copy.path(), backend, |_| {}).unwrap_err().to_string();
    assert!(message.contains("text.safetensors") && message.contains("header"), "{message}");
}

/// Ids and shapes that do not fit are said before they reach a tensor operation, which would panic.
#[test]
fn recorded_draws_out_of_range_are_an_error() {
    let cases = [
        ("inputs", "input_ids", 1e6),
        ("losses_hybrid", "img_neg_indices", 50.0),
        ("losses_hybrid", "txt_neg_indices", -50.0),
        ("losses_hybrid", "mlm_input_ids", 1e6),
        ("losses_hybrid", "attn_idx_03", 1e6),
    ];
    for (file, tensor, by) in cases {
        let copy = copied();
        perturb(&copy.path().join(format!("{file}.safetensors")), tensor, by);
        let error = check(copy.path(), BackendKind::NdArray, |_| {}).unwrap_err().to_string();
        assert!(error.contains("; ") && !error.contains("report this"), "{file}.{tensor}: {error}");
    }
}
