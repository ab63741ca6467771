//! A hub on loopback: repositories in memory, with the few answers that downloads need.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The commit of its only revision.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[derive(Default)]
struct State {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    requests: AtomicUsize,
    bytes: AtomicUsize,
    /// Sends other bytes than the checksum says.
    damages: AtomicBool,
    /// The name of a file is this instead of its checksum.
    names: Mutex<Option<String>>,
    /// Where files are redirected to.
    elsewhere: Mutex<Option<String>>,
    /// Requests that came with a token.
    tokens: AtomicUsize,
    /// Bytes after which an answer breaks off; 0 for none.
    breaks_after: AtomicUsize,
}

/// A hub with the repository `owner/name`.
pub struct TestServer {
    state: Arc<State>,
    /// Its address.
    pub endpoint: String,
}

impl TestServer {
    /// Serves `files` until the process ends.
    pub fn start(files: &[(&str, &[u8])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State::default());
        let owned = files.iter().map(|(name, bytes)| (name.to_string(), bytes.to_vec()));
        state.files.lock().unwrap().extend(owned);
        let serving = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let state = serving.clone();
                std::thread::spawn(move || answer(&state, stream.unwrap()));
            }
        });
        Self { state, endpoint }
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Bytes of files so far.
    pub fn bytes(&self) -> usize {
        self.state.bytes.load(Ordering::SeqCst)
    }

    /// From now on, sends other bytes than it should.
    pub fn damage(&self, damages: bool) {
        self.state.damages.store(damages, Ordering::SeqCst);
    }

    /// From now on, redirects to the same path at `endpoint`.
    pub fn redirect(&self, endpoint: &str) {
        *self.state.elsewhere.lock().unwrap() = Some(endpoint.to_owned());
    }

    /// Requests with a token so far.
    pub fn tokens(&self) -> usize {
        self.state.tokens.load(Ordering::SeqCst)
    }

    /// From now on, breaks every answer off after `bytes` bytes.
    pub fn break_after(&self, bytes: usize) {
        self.state.breaks_after.store(bytes, Ordering::SeqCst);
    }

    /// From now on, calls every file `name`.
    pub fn call_files(&self, name: &str) {
        *self.state.names.lock().unwrap() = Some(name.to_owned());
    }
}

/// SHA-256, hexadecimal: what the server calls a file.
pub fn name_of(bytes: &[u8]) -> String {
    crate::digest::whole(Sha256::new().chain_update(bytes))
}

fn answer(state: &State, mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            match line.trim() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        state.requests.fetch_add(1, Ordering::SeqCst);
        let token = lines.iter().any(|line| line.to_ascii_lowercase().starts_with("authorization:"));
        state.tokens.fetch_add(usize::from(token), Ordering::SeqCst);
        let path = lines[0].split(' ').nth(1).unwrap().to_owned();
        let range =
            lines.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
        let mut whole = response(state, &path, range.as_deref());
        let most = state.breaks_after.load(Ordering::SeqCst);
        let head = whole.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(0) + 4;
        let breaks = most > 0 && whole.len() > head + most;
        if breaks {
            whole.truncate(head + most);
        }
        if stream.write_all(&whole).is_err() || breaks {
            return;
        }
    }
}

fn response(state: &State, path: &str, range: Option<&str>) -> Vec<u8> {
    let files = state.files.lock().unwrap();
    if path == "/api/models/owner/name/revision/main" {
        let siblings: Vec<_> = files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let body = serde_json::json!({ "sha": COMMIT, "siblings": siblings }).to_string();
        return with_headers("200 OK", "content-type: application/json\r\n", body.as_bytes());
    }
    let name = ["main", COMMIT].iter().find_map(|at| path.strip_prefix(&format!("/owner/name/resolve/{at}/")));
    let Some(bytes) = name.and_then(|name| files.get(name)) else {
        let status = if path.contains("gated") { "401 Unauthorized" } else { "404 Not Found" };
        return with_headers(status, "", b"");
    };
    let etag = state.names.lock().unwrap().clone().unwrap_or_else(|| name_of(bytes));
    if let Some(endpoint) = state.elsewhere.lock().unwrap().as_ref() {
        let headers = format!(
            "x-repo-commit: {COMMIT}\r\nx-linked-etag: \"{etag}\"\r\nx-linked-size: {}\r\nlocation: {endpoint}{path}\r\n",
            bytes.len()
        );
        return with_headers("302 Found", &headers, b"");
    }
    let (first, last) = range.and_then(|range| range.split_once('-')).unwrap_or(("0", ""));
    let first: usize = first.parse().unwrap();
    let end = last.parse().map_or(bytes.len(), |last: usize| last + 1).min(bytes.len());
    if first >= bytes.len() {
        return with_headers("416 Range Not Satisfiable", "", b"");
    }
    let mut body = bytes[first..end].to_vec();
    if state.damages.load(Ordering::SeqCst) {
        body.iter_mut().for_each(|byte| *byte ^= 1);
    }
    state.bytes.fetch_add(body.len(), Ordering::SeqCst);
    let headers = format!(
        "x-repo-commit: {COMMIT}\r\netag: \"{etag}\"\r\ncontent-range: bytes {first}-{}/{}\r\n",
        end - 1,
        bytes.len()
    );
    with_headers("206 Partial Content", &headers, &body)
}

fn with_headers(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut whole = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    whole.extend_from_slice(body);
    whole
}
