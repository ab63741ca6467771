//! What the JSON API answers, and that it is what its description says.

use super::Videos;
use crate::search::IndexReport;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Waits until `holds`, for ten seconds.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(10), "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn names(found: &Value) -> Vec<&str> {
    found["results"].as_array().unwrap().iter().map(|result| result["name"].as_str().unwrap()).collect()
}

#[test]
fn results_are_ranked_filtered_and_named() {
    let videos = Videos::new();
    let server = videos.serve();
    let ask = |query: &str| server.get(&format!("/api/search?{query}"), &[]).json();
    let found = ask("q=red");
    assert_eq!(names(&found), ["a.mp4", "b & <i>.webm"]);
    assert_eq!(
        (found["query"].as_str(), found["clips"].as_u64(), found["fits"].is_null()),
        (Some("red"), Some(2), true)
    );
    let first = &found["results"][0];
    assert_eq!(
        (first["rank"].as_u64(), first["end"].as_f64(), first["duration"].as_f64()),
        (Some(1), Some(1.0), Some(1.0))
    );
    assert!(first["modified_ms"].as_i64().unwrap() > 1_500_000_000_000);
    assert_eq!(names(&ask("q=blue&top=1")), ["b & <i>.webm"]);
    let folders = server.get("/api/folders", &[]).json();
    let deep = folders["folders"]
        .as_array()
        .unwrap()
        .iter()
        .find(|folder| folder["folder"].as_str().unwrap().ends_with("deep"));
    assert_eq!(folders["folders"].as_array().unwrap().len(), 2);
    assert_eq!(names(&ask(&format!("q=red&in={}", deep.unwrap()["id"].as_str().unwrap()))), ["b & <i>.webm"]);
    assert_eq!(server.get("/api/search?q=red&in=%2Fetc", &[]).status, 404);
    assert!(names(&ask("q=red&after=2090-01-01")).is_empty() && names(&ask("q=red&longer=1.5")).is_empty());
    assert_eq!(names(&ask("q=red&after=2000-01-01&longer=1&in=")).len(), 2);
    let id = first["id"].as_str().unwrap();
    assert_eq!(names(&server.get(&format!("/api/similar?id={id}"), &[]).json()), ["b & <i>.webm"]);
    assert_eq!(server.get("/api/similar?id=nothing", &[]).status, 404);
    assert_eq!(names(&ask(&format!("like={id}"))).len(), 2);
}

#[test]
fn pictures_are_queries() {
    let videos = Videos::new();
    let server = videos.serve();
    let picture = crate::viz::Canvas::new(8, 8, [200, 0, 0]).png().unwrap();
    let reply = server.send("POST /api/picture?top=1 HTTP/1.1", &picture);
    assert_eq!((reply.status, names(&reply.json())), (200, vec!["b & <i>.webm"]));
    let reply = server.send("POST /api/picture HTTP/1.1", b"<svg onload=alert(1)>");
    assert!(reply.status == 415 && reply.json()["error"].as_str().unwrap().contains("no picture"));
}

/// What another process adds is found without a restart; what is broken is said.
#[test]
fn an_index_that_grows_is_read_again() {
    let videos = Videos::new();
    let server = videos.serve();
    videos.add("fragmented.mp4", "videos/new.mp4", [1.0, 0.0, 0.0]);
    eventually("the new video is found", || names(&server.get("/api/search?q=red", &[]).json())[0] == "new.mp4");
    let status = server.get("/api/status", &[]).json();
    assert_eq!((status["files"].as_u64(), status["clips"].as_u64()), (Some(3), Some(3)));
    assert_eq!((status["watching"].as_bool(), status["indexing"]["running"].as_bool()), (Some(false), Some(false)));
}

/// The folder is indexed at once and after a change; what goes wrong is said and tried again.
#[test]
fn the_folder_is_watched() {
    let videos = Videos::new();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let server = videos.serve_on(
        "127.0.0.1",
        Some(Box::new(move |progress, _| {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            progress.report("indexing videos", run, 5);
            match run {
                0 => Err(crate::Error::setting("x", "went wrong", "try again")),
                _ => Ok(IndexReport::default()),
            }
        })),
    );
    let status = || server.get("/api/status", &[]).json();
    eventually("the first run is told", || {
        status()["problem"].as_str().is_some_and(|problem| problem.contains("went wrong"))
    });
    assert_eq!((status()["indexing"]["total"].as_u64(), status()["watching"].as_bool()), (Some(5), Some(true)));
    std::fs::write(videos.path("videos/more.mp4"), b"x").unwrap();
    eventually("a change starts another run", || runs.load(Ordering::SeqCst) >= 2 && status()["problem"].is_null());
}

#[test]
fn the_description_names_every_route_and_no_other() {
    let videos = Videos::new();
    let server = videos.serve();
    let described = server.get("/openapi.json", &[]).json();
    assert_eq!(described["openapi"].as_str(), Some("3.1.0"));
    let routes = include_str!("../routes.rs").split(".route(\"").skip(1);
    let mut routed: Vec<&str> = routes.filter_map(|rest| rest.split('"').next()).collect();
    routed.retain(|path| !["/", "/app.js", "/style.css", "/icon.svg"].contains(path));
    let mut paths: Vec<&str> = described["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    routed.sort_unstable();
    paths.sort_unstable();
    assert_eq!(routed, paths);
    let described = |name: &str| described["components"]["schemas"][name]["properties"].as_object().unwrap().clone();
    let found = server.get("/api/search?q=red", &[]).json();
    for (name, answer) in
        [("Found", &found), ("Result", &found["results"][0]), ("Status", &server.get("/api/status", &[]).json())]
    {
        for key in answer.as_object().unwrap().keys() {
            assert!(described(name).contains_key(key), "{name} has {key}");
        }
    }
}
