//! Every page the program writes, opened in a browser: no complaint, nothing asked of the network, all charts drawn.

use crate::browser::Browser;
use crate::project::{checkpoint, example, project, refusal, stdout, svitt};
use crate::skipped::skipped;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn run(program: &Path, arguments: &[&str], folder: &Path) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    stdout(&output)
}

fn report(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap()
}

#[test]
fn the_training_page_shows_the_run() {
    let page = project().join("runs/pretrain/report.html");
    let html = std::fs::read_to_string(&page).unwrap();
    let titles = ["Text to video on the gallery", "Patch tokens entering each layer", "Losses", "Learning rate"];
    for title in titles.iter().chain(&["Throughput", "Waiting for data", "Memory"]) {
        assert!(html.contains(&format!("aria-label=\"{title}\"")), "{title}");
    }
    assert!(html.contains("ceiling: no order") && html.contains(">second</text>"), "ceilings and stages are marked");
    let Some(browser) = Browser::find() else { return skipped("a browser") };
    let dom = browser.assert_fine(&page, "report", [1100, 1750]);
    assert_eq!(dom.matches("<svg class=\"chart\"").count(), 7);
}

#[test]
fn the_search_page_shows_what_was_found() {
    let dir = tempfile::tempdir().unwrap();
    let (videos, checkpoint) = (project().join("my-videos"), checkpoint());
    let [videos, checkpoint] = [&videos, &checkpoint].map(|path| path.to_str().unwrap());
    let search = example("search");
    run(&search, &["index", videos, "--checkpoint", checkpoint], dir.path());
    let query = ["query", "a <b> red & \"square\"", "--checkpoint", checkpoint, "--html", "found.html"];
    assert_eq!(run(&search, &query, dir.path()).lines().count(), 3);
    let Some(browser) = Browser::find() else { return skipped("a browser") };
    let dom = browser.assert_fine(&dir.path().join("found.html"), "search", [1100, 1200]);
    assert_eq!((dom.matches("<section class=\"card\"").count(), dom.matches("<meter").count()), (3, 3));
    assert!(dom.contains("a &lt;b&gt; red &amp; \"square\""), "the text is shown as it was typed");
}

#[test]
fn the_page_of_a_clip_shows_both_models() {
    let dir = tempfile::tempdir().unwrap();
    let (video, checkpoint) = (project().join("my-videos/a.mp4"), checkpoint());
    let [video, checkpoint] = [&video, &checkpoint].map(|path| path.to_str().unwrap());
    let common = ["visualize", video, "--checkpoint", checkpoint];
    let text =
        [&common[..], &["--text", "the red square moves left", "--out", "seen", "--keep-by-text", "0.25"]].concat();
    let printed = run(&svitt(), &text, dir.path());
    assert!(printed.contains("63 of 128 patch tokens") && printed.contains("16 after the text chose"), "{printed}");
    let numbers = report(&dir.path().join("seen"));
    let models = &numbers["clip"]["models"];
    assert_eq!(models[1]["tokens_per_layer"].to_string(), "[128,128,90,63]");
    assert_eq!(models[0]["tokens_per_layer"].to_string(), "[128,128,128,128]");
    assert!(models[1]["gflops"].as_f64() < models[0]["gflops"].as_f64());
    let kept: Vec<usize> = (0..3).map(|n| models[1]["stages"][n]["alive"].as_array().unwrap().len()).collect();
    assert_eq!(kept, [90, 63, 16]);
    let sheet = std::fs::read(dir.path().join("seen/sheet.png")).unwrap();
    assert!(sheet.starts_with(b"\x89PNG"));
    let wrong = [&common[..], &["--patch", "9,1,1"]].concat();
    let refused = Command::new(svitt()).args(wrong).current_dir(dir.path()).output().unwrap();
    assert!(refusal(&refused).contains("`9,1,1` is no patch of 8 frames of 4 × 4"));
    assert!(!dir.path().join("visualize").exists(), "nothing is written then");
    let Some(browser) = Browser::find() else { return skipped("a browser") };
    let dom = browser.assert_fine(&dir.path().join("seen/index.html"), "visualize", [1440, 5200]);
    assert!(dom.matches("<img ").count() > 12 && dom.contains("blue: local blocks"));
}

#[test]
fn the_pruning_recall_page_compares_with_random_pruning() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint();
    let arguments = ["visualize", "--shapes", "--clips", "36", "--out", "kept", "--checkpoint"];
    run(&svitt(), &[&arguments[..], &[checkpoint.to_str().unwrap()]].concat(), dir.path());
    let measured = &report(&dir.path().join("kept"))["pruning_recall"];
    assert_eq!((measured["clips"].as_u64(), measured["stages"].as_array().unwrap().len()), (Some(36), 3));
    for stage in measured["stages"].as_array().unwrap() {
        let [kept, recall, random] = ["kept", "recall", "random"].map(|name| stage[name].as_f64().unwrap());
        // A lot keeps as much of the target as of everything: 36 clips of 8 patches, three standard deviations.
        assert!((random - kept).abs() < 0.1 && (0.0..=1.0).contains(&recall), "{stage}");
    }
    let Some(browser) = Browser::find() else { return skipped("a browser") };
    browser.assert_fine(&dir.path().join("kept/index.html"), "pruning-recall", [1440, 4200]);
}
