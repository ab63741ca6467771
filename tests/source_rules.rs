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

/// The bodies of the test functions of a file, with their names.
fn tests_of(text: &str) -> Vec<(&str, &str)> {
    let functions = text.split("#[test]").skip(1).filter_map(|rest| {
        let at = rest.find("fn ")?;
        let line = rest[..at].rfind('\n').map_or(0, |end| end + 1);
        let indent = &rest[line..at - rest[line..at].trim_start().len()];
        let end = rest.find(&format!("\n{indent}}}")).unwrap_or(rest.len());
        Some((rest[at + 3..].split('(').next()?, &rest[at..end.max(at)]))
    });
    functions.collect()
}

/// A test that returns without a value has not tested: it says what it lacked with `skipped(…)`, or leaves its work to
/// a process of its own.
#[test]
fn no_test_ends_early_in_silence() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    ["src", "tests", "xtask/src", "crates"].iter().for_each(|folder| sources(&root.join(folder), &mut files));
    let mut seen = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (name, body) in tests_of(&text) {
            seen += 1;
            let early = body.contains("return;") || body.contains("{ return }");
            assert!(!early || body.contains("run_alone("), "{}: {name} returns in silence", file.display());
        }
    }
    assert!(seen > 500, "only {seen} tests were found");
    let sample = "#[test]\nfn a() {\n    return;\n}\nmod b {\n    #[test]\n    fn c() {\n        d();\n    }\n}";
    assert_eq!(tests_of(sample), [("a", "fn a() {\n    return;"), ("c", "fn c() {\n        d();")]);
}
