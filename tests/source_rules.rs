//! Rules that hold for every source file.

use std::fs;
use std::path::{Path, PathBuf};

/// Files that may contain `unsafe`: kernels, children that end with their parent, memory-mapped checkpoints and indexes,
/// settings of the allocator and of signals.
const UNSAFE: &[&str] = &[
    "crates/svitt-ops/src/device/",
    "crates/svitt-ops/src/sparse/kernels/",
    "crates/svitt-ops/src/fused/",
    "crates/svitt-ops/src/tokens/launch.rs",
    "crates/svitt-video/src/ffmpeg/child.rs",
    "src/weights/source.rs",
    "src/index/map.rs",
    "src/cli/allocator.rs",
    "src/cli/signals.rs",
];

/// The only files that may open connections, and those that may take them.
const CONNECTIONS: [&str; 2] = ["src/hub/", "src/serve/"];

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
fn connections_and_unsafe_are_where_they_may_be() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    ["src", "examples", "xtask/src", "crates"].iter().for_each(|folder| sources(&root.join(folder), &mut files));
    assert!(files.len() > 100);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        for word in ["std::net", "TcpStream", "UdpSocket", "reqwest", "ureq", "hf_hub"] {
            assert!(
                !text.contains(word) || CONNECTIONS.iter().any(|place| name.starts_with(place)),
                "{name} has {word}"
            );
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

/// The rooms of the library in their order: each may import those before it, and none after it.
const ROOMS: &[&str] = &[
    "printable",
    "error",
    "panics",
    "digest",
    "input",
    "files",
    "checksums",
    "limits",
    "shard",
    "progress",
    "hub",
    "text",
    "data",
    "config",
    "loss",
    "model",
    "profile",
    "weights",
    "viz",
    "eval",
    "index",
    "train",
    "search",
    "serve",
    "visualize",
    "backend",
    "run",
    "cli",
];

/// The lines of a file that are compiled into the library: no comments, nothing from its tests on.
fn library_lines(text: &str) -> Vec<&str> {
    let is_test = |line: &str| line.starts_with("#[cfg(") && line.contains("test") && !line.contains("not(test");
    let lines: Vec<&str> = text.lines().collect();
    let tests = (0..lines.len()).find(|&at| {
        is_test(lines[at])
            && lines[at + 1..]
                .iter()
                .find(|line| !line.starts_with("#["))
                .is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
    });
    let code = lines[..tests.unwrap_or(lines.len())].iter();
    code.copied().filter(|line| !line.trim_start().starts_with("//")).collect()
}

/// Modules that `text` declares for tests only.
fn test_modules(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.windows(2).filter(|pair| pair[0].starts_with("#[cfg(") && pair[0].contains("test"));
    pairs.filter_map(|pair| Some(pair[1].strip_prefix("mod ")?.strip_suffix(';')?.to_owned())).collect()
}

/// Every file of the library below `folder`, tests left out: its name from there and its lines.
fn library(folder: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    sources(folder, &mut files);
    let texts: Vec<(String, String)> = files
        .iter()
        .map(|file| {
            let name = file.strip_prefix(folder).unwrap().to_string_lossy().replace('\\', "/");
            (name, fs::read_to_string(file).unwrap())
        })
        .collect();
    let hidden: Vec<String> = texts
        .iter()
        .flat_map(|(name, text)| {
            let parent = name.strip_suffix("mod.rs").or(name.strip_suffix("lib.rs")).map(str::to_owned);
            let parent = parent.unwrap_or_else(|| name.trim_end_matches(".rs").to_owned() + "/");
            test_modules(text).into_iter().map(move |module| parent.clone() + &module)
        })
        .collect();
    let of_tests = |name: &str| {
        hidden.iter().any(|module| name == format!("{module}.rs") || name.starts_with(&format!("{module}/")))
    };
    let kept = texts.into_iter().filter(|(name, _)| !of_tests(name));
    kept.map(|(name, text)| (name, library_lines(&text).join("\n"))).collect()
}

/// The first names of `crate::…` paths in `text`, groups in braces included.
fn imported(text: &str) -> Vec<String> {
    let word = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = Vec::new();
    for (at, prefix) in text.match_indices("crate::") {
        let rest = &text[at + prefix.len()..];
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let Some(group) = rest.strip_prefix('{') else {
            names.push(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut begins = true;
        for (place, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                letter if begins && letter.is_alphabetic() => {
                    names.push(word(&group[place..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    names
}

#[test]
fn imports_run_one_way_through_the_rooms() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let order = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut seen = 0;
    for (name, text) in library(&root) {
        let room = name.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        if ["lib", "bin", "testing"].contains(&room.as_str()) {
            continue;
        }
        let own = order(&room).unwrap_or_else(|| panic!("{name}: the room `{room}` has no place in the order"));
        for other in imported(&text) {
            let Some(place) = order(&other) else { continue };
            seen += 1;
            assert!(place <= own, "{name} imports crate::{other}, which comes after {room}");
        }
    }
    assert!(seen > 300, "only {seen} imports were found");
}

#[test]
fn only_programs_print() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "crates/svitt-ops/src", "crates/svitt-video/src", "crates/svitt-workshop/src"] {
        for (name, text) in library(&root.join(folder)) {
            if name.starts_with("cli/") || name.starts_with("bin/") {
                continue;
            }
            for word in ["println!(", "print!(", "eprint!(", "dbg!("] {
                assert!(!text.contains(word), "{folder}/{name} has {word}");
            }
        }
    }
}

#[test]
fn the_reader_of_imports_finds_groups_and_single_names() {
    let text =
        "use crate::data::{a, b};\nuse crate::{Error, eval::{x, y}, train};\nlet z = crate::viz::z(); svitt_crate::no";
    assert_eq!(imported(text), ["data", "Error", "eval", "train", "viz"]);
    let file = "fn a() {}\n// crate::cli\n#[cfg(test)]\nmod tests {\nuse crate::cli;\n}";
    assert_eq!(library_lines(file), ["fn a() {}"]);
    assert_eq!(test_modules("#[cfg(test)]\nmod toys;\nmod real;"), ["toys"]);
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
    // This file has sample code in its texts.
    for file in files.iter().filter(|file| !file.ends_with("source_rules.rs")) {
        let text = fs::read_to_string(file).unwrap();
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

/// Files whose texts are commands or reports for people who have the program: instructions for benchmarks, what `data
/// inspect` prints, how an index names its sparsity, and style sheets.
const FLAGS: [&str; 6] =
    ["cli/", "run/", "data/benchmark_files.rs", "data/inspect.rs", "config/sparsity.rs", "viz/html.rs"];

/// The library's errors name options as its users have them (`option \`allow_missing\``); the program makes flags of
/// them.
#[test]
fn errors_of_the_library_name_no_flags() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for (name, text) in library(&folder) {
        if FLAGS.iter().any(|place| name.starts_with(place)) {
            continue;
        }
        for line in library_lines(&text) {
            seen += 1;
            let told = line.contains("cargo ") || line.contains("--features") || line.contains("log::");
            let flag = line.match_indices("--").any(|(at, _)| {
                let before = line[..at].chars().next_back().is_none_or(|c| " \"`([".contains(c));
                before && line[at + 2..].starts_with(|c: char| c.is_ascii_lowercase()) && line.contains('"')
            });
            assert!(told || !flag, "{name}: {line}");
        }
    }
    assert!(seen > 10_000, "{seen} lines were looked at");
}
