//! A server on this machine with a model that knows two words, asked by hand.

mod api;
mod media;
mod security;

use super::{FolderIndexer, Listening, SearchModel, ServeSettings, ServedIndex, serve};
use crate::Result;
use crate::index::{ClipEmbedding, Index, IndexWriter, ModelId, Stamp, Words};
use crate::progress::StopFlag;
use crate::search::{
    Calibration, ClipWindows, ComposedQuery, FileFilter, QueryOptions, QueryResult, WordResult, printable, similar,
};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Vectors point to what `red` means, or to what anything else means; `slow` takes its time.
struct TwoWords;

impl SearchModel for TwoWords {
    fn answer(
        &self,
        index: &Index,
        query: &ComposedQuery,
        _: Option<&Calibration>,
        options: &QueryOptions,
    ) -> Result<QueryResult> {
        let text = query.sole_text();
        if text == Some("slow") {
            thread::sleep(Duration::from_millis(300));
        }
        let vector = if text == Some("red") { vec![1.0, 0.0, 0.0] } else { vec![0.0, 1.0, 0.0] };
        // No video is called as the index: none is left out.
        let mut results = similar(index, index.dir(), &[vector], &FileFilter::default(), usize::MAX)?;
        let within = options.files.within.as_deref().unwrap_or(Path::new(""));
        results.retain(|clip| {
            let stamp = index.stamp(&clip.path).unwrap();
            clip.path.starts_with(within) && options.files.admits(stamp, index.spans_of(&clip.path))
        });
        results.truncate(options.top);
        let said = index.search_words(&[1.0, 0.0, 0.0], 1, &|_| text == Some("hello"))?;
        let words = said.iter().map(|hit| WordResult {
            kind: "words",
            rank: 1,
            text: hit.text.to_owned(),
            literal: 1.0,
            cosine: hit.cosine,
            evidence: Some(0.0),
            file: printable(hit.video),
            start: hit.span.start,
            end: hit.span.end,
            subtitles: printable(hit.subtitles),
            path: hit.video.to_path_buf(),
        });
        Ok(QueryResult { words: words.collect(), results, ..QueryResult::default() })
    }

    fn calibration(&self, _: &Index) -> Result<Option<Calibration>> {
        Ok(None)
    }
}

fn model_id() -> ModelId {
    ModelId::of_no_model("two words", 3)
}

/// A folder of videos and an index of it.
struct Videos {
    folder: tempfile::TempDir,
}

impl Videos {
    /// `a.mp4` is red, `deep/b & <i>.webm` is not.
    fn new() -> Self {
        let videos = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(videos.path("videos/deep")).unwrap();
        videos.add("bframes.mp4", "videos/a.mp4", [1.0, 0.1, 0.0]);
        videos.add("vp9.webm", "videos/deep/b & <i>.webm", [0.0, 1.0, 0.0]);
        videos
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    /// Copies a fixture and indexes it.
    fn add(&self, fixture: &str, name: &str, vector: [f32; 3]) {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/svitt-video/tests/fixtures");
        std::fs::copy(fixtures.join(fixture), self.path(name)).unwrap();
        self.index(name, vector);
    }

    /// Indexes the file that is called so.
    fn index(&self, name: &str, vector: [f32; 3]) {
        let mut writer = IndexWriter::open(self.path("index"), &model_id()).unwrap();
        let path = self.path(name);
        let clip = ClipEmbedding { start: 0.0, end: 1.0, vector: vector.to_vec() };
        writer.add(&path, Stamp::of(&path, "").unwrap(), vec![clip]).unwrap();
        writer.finish().unwrap();
    }

    /// Has `text` said in the file that is called so.
    fn say(&self, name: &str, text: &str) {
        let mut writer = IndexWriter::open(self.path("index"), &model_id()).unwrap();
        let (video, subtitles) = (self.path(name), self.path(name).with_extension("srt"));
        let words = Words { video, texts: vec![text.to_owned()] };
        let clip = ClipEmbedding { start: 0.25, end: 0.75, vector: vec![1.0, 0.0, 0.0] };
        let stamp = Stamp { size: 1, modified_ns: 1, clip_windows: String::new() };
        writer.add_words(&subtitles, stamp, words, vec![clip]).unwrap();
        writer.finish().unwrap();
    }

    fn serve(&self) -> Server {
        self.serve_on("127.0.0.1", None)
    }

    fn serve_on(&self, host: &str, indexer: Option<FolderIndexer>) -> Server {
        let folders = indexer.iter().map(|_| self.path("videos")).collect();
        Server::start(host, vec![self.served(folders, indexer)])
    }

    fn served(&self, folders: Vec<PathBuf>, indexer: Option<FolderIndexer>) -> ServedIndex {
        let clip_windows = ClipWindows::new(10.0, 0.5, 4).unwrap();
        ServedIndex { index: self.path("index"), folders, clip_windows, model: Box::new(TwoWords), indexer }
    }
}

/// A running server; it is stopped when it is dropped.
struct Server {
    port: u16,
    token: Option<String>,
    stop: StopFlag,
    running: Option<JoinHandle<()>>,
}

impl Server {
    fn start(host: &str, indexes: Vec<ServedIndex>) -> Self {
        let settings = ServeSettings { host: host.parse().unwrap(), port: 0 };
        let stop = StopFlag::default();
        let (sender, receiver) = channel();
        let stopped = stop.clone();
        let running = thread::spawn(move || {
            let told = |listening: &Listening| {
                sender.send(listening.clone()).unwrap();
                Ok(())
            };
            serve(&settings, indexes, &stopped, &told).unwrap();
        });
        let listening = receiver.recv().unwrap();
        let port = listening.address.rsplit(':').next().unwrap().parse().unwrap();
        Server { port, token: listening.token, stop, running: Some(running) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.set();
        let ended = self.running.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

/// What came back.
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Server {
    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Sends `head`, a host and an end of connection added, and `body`.
    fn send(&self, head: &str, body: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let host = if head.to_ascii_lowercase().contains("\r\nhost:") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.host())
        };
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!("{head}\r\n{host}{length}Connection: close\r\n\r\n");
        // A server that refuses need not read to the end.
        let _ = stream.write_all(&[head.as_bytes(), body].concat());
        read(stream)
    }

    /// `GET path` with `extra` lines of its head.
    fn get(&self, path: &str, extra: &[&str]) -> Reply {
        let first = format!("GET {path} HTTP/1.1");
        self.send(&[&[first.as_str()], extra].concat().join("\r\n"), &[])
    }
}

fn read(mut stream: TcpStream) -> Reply {
    let mut bytes = Vec::new();
    // A connection that the server resets has said what it had to say.
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok()).unwrap_or(0);
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Reply { status, headers, body: bytes.get(end + 4..).unwrap_or_default().to_vec() }
}
