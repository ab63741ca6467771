//! Downloads from a hub of the test's own.

use super::Hub;
use super::test_server::{COMMIT, TestServer, name_of};
use crate::progress::ProgressSink;
use std::path::Path;
use std::sync::{Arc, Mutex};

const WEIGHTS: &[u8] = b"eleven bytes and some more";
const FILES: &[(&str, &[u8])] = &[
    ("README.md", b"for people"),
    ("config.json", b"{}"),
    ("model.safetensors", WEIGHTS),
    ("pytorch_model.bin", b"the same weights again"),
    ("deep/x.pth", b"five!"),
];

fn get(hub: &Hub, address: &str) -> crate::Result<std::path::PathBuf> {
    hub.fetch(address, &ProgressSink::default())
}

fn repository(cache: &Path) -> std::path::PathBuf {
    cache.join("models--owner--name")
}

#[test]
fn a_file_comes_once_and_is_there_without_a_network() {
    let (server, cache) = (TestServer::start(FILES), tempfile::tempdir().unwrap());
    let hub = Hub::new(&server.endpoint, cache.path());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sink = ProgressSink::new({
        let heard = heard.clone();
        move |progress| heard.lock().unwrap().push(progress.what.to_owned())
    });
    let path = hub.fetch("hf://owner/name/deep/x.pth", &sink).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"five!");
    // where the hub's other tools look for it
    assert_eq!(path, repository(cache.path()).join("snapshots").join(COMMIT).join("deep/x.pth"));
    assert!(heard.lock().unwrap().iter().any(|what| what == "fetching deep/x.pth (kB)"));
    let asked = server.requests();
    for revision in ["", "@main", &format!("@{COMMIT}")] {
        assert_eq!(get(&hub, &format!("hf://owner/name/deep/x.pth{revision}")).unwrap(), path);
    }
    assert_eq!(get(&hub.clone().offline(), "hf://owner/name/deep/x.pth").unwrap(), path);
    assert_eq!(server.requests(), asked, "the cache was enough");
}

#[test]
fn a_model_is_its_configuration_and_one_format_of_its_weights() {
    let (server, cache) = (TestServer::start(FILES), tempfile::tempdir().unwrap());
    let hub = Hub::new(&server.endpoint, cache.path());
    let folder = get(&hub, "hf://owner/name").unwrap();
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["config.json", "model.safetensors"]);
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), WEIGHTS);
    assert_eq!(get(&hub.offline(), "hf://owner/name").unwrap(), folder);
    // nobody listens at port 1
    let gone = Hub::new("http://127.0.0.1:1", cache.path());
    assert_eq!(get(&gone, "hf://owner/name").unwrap(), folder);
}

#[test]
fn a_cut_download_goes_on_where_it_was() {
    let (server, cache) = (TestServer::start(FILES), tempfile::tempdir().unwrap());
    let blobs = repository(cache.path()).join("blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let part = blobs.join(name_of(WEIGHTS)).with_extension("part");
    std::fs::write(&part, &WEIGHTS[..20]).unwrap();
    let hub = Hub::new(&server.endpoint, cache.path());
    let path = get(&hub, "hf://owner/name/model.safetensors").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), WEIGHTS);
    // a byte for the question about the size, and the rest
    assert_eq!(server.bytes(), 1 + WEIGHTS.len() - 20);
}

#[test]
fn a_part_that_is_too_long_or_wrong_costs_a_new_download_only() {
    for part in [vec![0; WEIGHTS.len()], vec![0; 99]] {
        let (server, cache) = (TestServer::start(FILES), tempfile::tempdir().unwrap());
        let blobs = repository(cache.path()).join("blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join(name_of(WEIGHTS)).with_extension("part"), part).unwrap();
        let hub = Hub::new(&server.endpoint, cache.path());
        assert_eq!(std::fs::read(get(&hub, "hf://owner/name/model.safetensors").unwrap()).unwrap(), WEIGHTS);
    }
}

#[test]
fn damaged_bytes_are_refused_and_not_kept() {
    let (server, cache) = (TestServer::start(FILES), tempfile::tempdir().unwrap());
    let hub = Hub::new(&server.endpoint, cache.path());
    server.damage(true);
    let message = get(&hub, "hf://owner/name/model.safetensors").unwrap_err().to_string();
    assert!(message.contains("model.safetensors is not what the hub has"), "{message}");
    assert!(get(&hub.clone().offline(), "hf://owner/name/model.safetensors").is_err());
    server.damage(false);
    assert_eq!(std::fs::read(get(&hub, "hf://owner/name/model.safetensors").unwrap()).unwrap(), WEIGHTS);
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let (hub_server, cdn, cache) = (TestServer::start(FILES), TestServer::start(FILES), tempfile::tempdir().unwrap());
    hub_server.redirect(&cdn.endpoint.replace("127.0.0.1", "localhost"));
    let hub = Hub { token: Some("secret".into()), ..Hub::new(&hub_server.endpoint, cache.path()) };
    assert_eq!(std::fs::read(get(&hub, "hf://owner/name/model.safetensors").unwrap()).unwrap(), WEIGHTS);
    assert!(hub_server.tokens() > 0 && cdn.requests() > 0);
    assert_eq!(cdn.tokens(), 0);
}

#[test]
fn redirections_without_end_are_given_up() {
    let (server, cache) = (TestServer::start(FILES), tempfile::tempdir().unwrap());
    server.redirect(&server.endpoint);
    let message = get(&Hub::new(&server.endpoint, cache.path()), "hf://owner/name/model.safetensors").unwrap_err();
    assert!(message.to_string().contains("redirects without end"), "{message}");
}

#[test]
fn a_connection_that_breaks_off_is_made_again() {
    let (server, cache) = (TestServer::start(FILES), tempfile::tempdir().unwrap());
    server.break_after(9);
    let hub = Hub::new(&server.endpoint, cache.path());
    assert_eq!(std::fs::read(get(&hub, "hf://owner/name/model.safetensors").unwrap()).unwrap(), WEIGHTS);
}

#[test]
fn a_hub_cannot_write_outside_the_cache() {
    let (server, folder) = (TestServer::start(FILES), tempfile::tempdir().unwrap());
    server.call_files("../../../../outside");
    let cache = folder.path().join("a/b/c");
    let message = get(&Hub::new(&server.endpoint, &cache), "hf://owner/name/config.json").unwrap_err().to_string();
    assert!(message.contains("gives it a name that cannot be a file's"), "{message}");
    assert!(!folder.path().join("outside").exists() && !cache.exists());
}

#[test]
fn every_refusal_says_what_to_do() {
    let (server, cache) = (TestServer::start(FILES), tempfile::tempdir().unwrap());
    let hub = Hub::new(&server.endpoint, cache.path());
    let message = |hub: &Hub, address: &str| get(hub, address).unwrap_err().to_string();
    let missing = message(&hub, "hf://owner/name/none.pth@v2");
    assert!(missing.contains("has no owner/name at revision v2 with a file none.pth"), "{missing}");
    let gated = message(&hub, "hf://owner/gated/x.pth");
    assert!(gated.contains("set HF_TOKEN"), "{gated}");
    let gone = message(&Hub::new("http://127.0.0.1:1", cache.path()), "hf://owner/name/x.pth");
    assert!(gone.contains("http://127.0.0.1:1 cannot be reached") && gone.contains("HF_ENDPOINT"), "{gone}");
    let offline = message(&hub.clone().offline(), "hf://owner/name");
    assert!(offline.contains("HF_HUB_OFFLINE is set"), "{offline}");
    std::fs::write(cache.path().join("models--owner--name"), "a file where a folder belongs").unwrap();
    let blocked = message(&hub, "hf://owner/name/config.json");
    assert!(blocked.contains("cannot be written to the cache") && blocked.contains("HF_HUB_CACHE"), "{blocked}");
}
