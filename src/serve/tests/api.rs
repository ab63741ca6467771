//! What the JSON API answers, and that it is what its description says.

use super::{Server, Videos};
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
fn clips_like_another_are_filtered_as_well() {
    let videos = Videos::new();
    videos.add("fragmented.mp4", "videos/third.mp4", [0.9, 0.1, 0.0]);
    let server = videos.serve();
    let id = server.get("/api/search?q=red", &[]).json()["results"][0]["id"].as_str().unwrap().to_owned();
    let ask = |filter: &str| server.get(&format!("/api/similar?id={id}{filter}"), &[]);
    assert_eq!(names(&ask("").json()).len(), 2);
    let folders = server.get("/api/folders", &[]).json();
    let deep =
        folders["folders"].as_array().unwrap().iter().find(|one| one["folder"].as_str().unwrap().ends_with("deep"));
    assert_eq!(names(&ask(&format!("&in={}", deep.unwrap()["id"].as_str().unwrap())).json()), ["b & <i>.webm"]);
    assert!(names(&ask("&after=2090-01-01").json()).is_empty() && names(&ask("&longer=1.5").json()).is_empty());
    assert_eq!(names(&ask("&longer=1&after=2000-01-01&top=1").json()).len(), 1);
    assert_eq!((ask("&in=nowhere").status, ask("&longer=-1").status, ask("&x=1").status), (404, 400, 400));
}

#[test]
fn words_are_a_list_of_their_own() {
    let videos = Videos::new();
    videos.say("videos/deep/b & <i>.webm", "hello <b>there</b>");
    let server = videos.serve();
    let found = server.get("/api/search?q=hello", &[]).json();
    let said = &found["words"][0];
    assert_eq!((said["kind"].as_str(), said["text"].as_str()), (Some("words"), Some("hello <b>there</b>")));
    assert_eq!((said["name"].as_str(), names(&found).len()), (Some("b & <i>.webm"), 2));
    let id = said["id"].as_str().unwrap();
    assert!(found["results"].as_array().unwrap().iter().any(|clip| clip["id"].as_str() == Some(id)));
    assert_eq!(server.get(&format!("/video/{}", said["video"].as_str().unwrap()), &[]).status, 200);
    assert!(server.get("/api/search?q=red", &[]).json()["words"].as_array().unwrap().is_empty());
    assert_eq!(server.get("/api/status", &[]).json()["words"].as_u64(), Some(1));
}

/// Two indexes of the same file: each answers with ids of its own, and what is of the one is unknown to the other.
#[test]
fn several_indexes_are_asked_by_their_numbers() {
    let (videos, others) = (Videos::new(), Videos::new());
    others.add("fragmented.mp4", "videos/third.mp4", [1.0, 0.0, 0.0]);
    let server = Server::start("127.0.0.1", vec![videos.served(vec![], None), others.served(vec![], None)]);
    let ask = |query: &str| server.get(&format!("/api/search?q=red{query}"), &[]).json();
    assert_eq!((names(&ask("")).len(), names(&ask("&index=0")).len()), (2, 2));
    let found = ask("&index=1");
    assert_eq!(names(&found)[..1], ["third.mp4"]);
    let (first, other) = (ask("")["results"][0].clone(), found["results"][0].clone());
    let id = |clip: &Value, name: &str| clip[name].as_str().unwrap().to_owned();
    assert!(!id(&first, "id").contains('~') && id(&other, "id").contains("~1-"), "{other}");
    assert_eq!(server.get(&format!("/video/{}", id(&other, "video")), &[]).status, 200);
    assert_eq!(server.get(&format!("/video/{}", id(&other, "video").replace("~1", "")), &[]).status, 404);
    assert_eq!(names(&server.get(&format!("/api/similar?id={}", id(&other, "id")), &[]).json()).len(), 2);
    for wrong in
        ["/api/search?q=red&index=2", "/api/status?index=7", "/thumb/abc~9-0", "/video/abc~x", "/api/folders?index=2"]
    {
        assert_eq!(server.get(wrong, &[]).status, 404, "{wrong}");
    }
    assert_eq!(server.get(&format!("/api/search?like={}&index=0", id(&other, "id")), &[]).status, 404);
    let status = server.get("/api/status?index=1", &[]).json();
    assert_eq!((status["files"].as_u64(), status["indexes"].as_array().unwrap().len()), (Some(3), 2));
    assert_eq!((status["indexes"][1]["number"].as_u64(), status["indexes"][1]["clips"].as_u64()), (Some(1), Some(3)));
}

#[test]
fn results_are_saved_as_files_for_other_programs() {
    let videos = Videos::new();
    videos.say("videos/a.mp4", "hello");
    let server = videos.serve();
    for (format, kind, begins) in [
        ("csv", "text/csv", "kind,rank,"),
        ("m3u", "application/vnd.apple.mpegurl", "#EXTM3U\n"),
        ("edl", "text/plain", "TITLE: "),
    ] {
        let reply = server.get(&format!("/api/search?q=hello&format={format}"), &[]);
        let text = String::from_utf8(reply.body.clone()).unwrap();
        assert!(reply.status == 200 && text.starts_with(begins), "{format}: {text}");
        assert!(text.contains(&videos.path("videos/a.mp4").display().to_string()), "{format}: {text}");
        assert!(reply.header("content-type").unwrap().starts_with(kind));
        assert!(reply.header("content-disposition").unwrap().starts_with("attachment; filename=\"svitt-results."));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
    let json = server.get("/api/search?q=red&format=json", &[]);
    assert!(names(&json.json()).len() == 2 && json.header("content-disposition").is_none());
    let picture = crate::viz::Canvas::new(8, 8, [200, 0, 0]).png().unwrap();
    assert!(server.send("POST /api/picture?format=csv HTTP/1.1", &picture).body.starts_with(b"kind,"));
    assert_eq!(server.get("/api/search?q=red&format=xml", &[]).status, 400);
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
    videos.say("videos/a.mp4", "hello");
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
    let found = server.get("/api/search?q=hello", &[]).json();
    for (name, answer) in [
        ("Found", &found),
        ("Result", &found["results"][0]),
        ("Words", &found["words"][0]),
        ("Status", &server.get("/api/status", &[]).json()),
    ] {
        for key in answer.as_object().unwrap().keys() {
            assert!(described(name).contains_key(key), "{name} has {key}");
        }
    }
}
