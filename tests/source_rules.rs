//! Rules that hold for every source file.

use std::fs;
use std::path::{Path, PathBuf};

/// Files that may contain `unsafe`: kernels, memory-mapped checkpoints, allocator settings.
const UNSAFE: [&str; 6] = [
    "crates/svitt-ops/src/device/",
    "crates/svitt-ops/src/sparse/kernels/",
    "crates/svitt-ops/src/fused/",
    "crates/svitt-ops/src/tokens/launch.rs",
    "src/weights/source.rs",
    "src/cli/allocator.rs",
];

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, files),
            false if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
            false => {}
        }
    }
}

#[test]
fn no_file_opens_connections_and_unsafe_is_where_it_may_be() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    ["src", "examples", "xtask/src", "crates"].iter().for_each(|folder| sources(&root.join(folder), &mut files));
    assert!(files.len() > 100);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        for word in ["std::net", "TcpStream", "UdpSocket", "reqwest", "ureq"] {
            assert!(!text.contains(word), "{name} has {word}");
        }
        let blocks =
            text.matches("unsafe {").count() + text.matches("unsafe fn").count() + text.matches("unsafe impl").count();
        let allowed = UNSAFE.iter().any(|place| name.starts_with(place));
        assert!(blocks == 0 || allowed, "{name} has {blocks} unsafe blocks");
        assert!(
            text.matches("SAFETY:").count() >= text.matches("unsafe {").count(),
            "{name}: an unsafe block without its reason"
        );
    }
}
